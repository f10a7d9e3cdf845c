/*
 * mags-launch: runs one program of the runtime root in a jail, or puts a jailed program back to normal priority.
 *
 * The steps stand in this order because each still needs what the next one takes away: the control groups and the network before the mounts
 * (the namespace's path and /dev/net/tun are the host's), the mounts before the identity (they need capabilities).
 * The process itself becomes the program, so its id is the launcher's. Sessions and process groups are the caller's.
 */
#include <unistd.h>

#include "cgroup.h"
#include "fail.h"
#include "identity.h"
#include "limits.h"
#include "network.h"
#include "options.h"
#include "schedule.h"
#include "view.h"

int main(int argc, char **argv) {
  struct options options = parse_options(argc, argv);
  if (options.resched) {
    schedule_normal(options.resched);
    return 0;
  }
  for (size_t i = 0; i < options.cgroup_count; i++) enter_cgroup(options.cgroups[i]);
  if (options.netns) enter_netns(options.netns);
  if (options.tap_name) attach_tap(options.tap_name, options.tap_fd);
  enter_view(&options);
  close_descriptors(options.tap_fd);
  set_limits(options.nofile);
  schedule_nice(options.nice);
  if (options.idle) schedule_idle();
  drop_privileges(options.uid, options.gid);
  execve(options.program[0], options.program, options.env);
  fail_errno("run %s", options.program[0]);
}
