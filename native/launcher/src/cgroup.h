#ifndef MAGS_LAUNCH_CGROUP_H
#define MAGS_LAUNCH_CGROUP_H

/* Moves this process into a control group. The path is that of the group's cgroup.procs on the host. */
void enter_cgroup(const char *procs_file);

#endif
