#ifndef MAGS_LAUNCH_LIMITS_H
#define MAGS_LAUNCH_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A resource limit: what holds, and how far it may be changed later. */
struct limit {
  int resource;
  unsigned long value, most;
};

/* Finds the resource of a name: nofile, fsize, nproc or as. False when there is none of that name. */
bool find_resource(const char *name, int *resource);

/* Sets the limits of this process: those given; beside them no core files, no locked memory, no message queues. */
void set_limits(const struct limit *limits, size_t count);

/*
 * Changes a limit, up to what it was given at most, of a process that belongs to `uid`:`gid`, whom this process becomes for
 * it: that needs no capability which a root in a container may lack, and cannot hit a process of somebody else that got
 * the number meanwhile. A program whose system calls are filtered cannot do that itself.
 */
void change_limit_of(pid_t pid, uid_t uid, gid_t gid, struct limit limit);

#endif
