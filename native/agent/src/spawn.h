/*
 * Starts a program by vfork and exec: the agent's memory is lent, not copied, and the agent waits until the exec. Every
 * other descriptor is close-on-exec and the agent installs no signal handlers, so the child has little to undo.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct spawn {
  char *const *argv;
  char *const *envp;
  const char *search_path; /* directories to look in when argv[0] has no slash */
  const char *cwd;
  bool cwd_optional; /* go to / when cwd does not exist */
  bool terminal;     /* fds[0] is the slave of a PTY: make it the controlling terminal */
  int fds[3];
  struct rlimit files;
};

/* The pid, or -1 with `*error` an errno and `*step` what failed. */
pid_t spawn_program(const struct spawn *spawn, int *error, const char **step);

#endif
