#ifndef MAGS_LAUNCH_OPTIONS_H
#define MAGS_LAUNCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "limits.h"

struct listener {
  const char *path; /* host path */
  int fd;
};

struct bind {
  const char *source; /* host path */
  const char *target; /* absolute path inside the root; must exist there */
  bool read_only;
};

/* What the command line says. Strings point into argv. */
struct options {
  pid_t resched; /* not 0: only put this process back to normal scheduling */
  pid_t relimit; /* not 0: only lower the limit below of this process, which is that of uid and gid */
  const char *hand_over_path; /* not NULL: only make a socket there and hand it over, with this message */
  const char *hand_over_message;
  const char *root;
  uid_t uid;
  gid_t gid;
  struct bind *binds;
  size_t bind_count;
  char **env; /* NULL-terminated */
  size_t env_count;
  const char *cwd;
  bool kvm;
  const char **cgroups; /* cgroup.procs files to enter */
  size_t cgroup_count;
  const char *netns;
  const char *tap_name; /* NULL: no tap */
  int tap_fd;
  struct listener *listeners;
  size_t listener_count;
  int *descriptors; /* of tap and listeners: what the program gets beside 0, 1 and 2 */
  size_t descriptor_count;
  bool idle;
  int nice; /* what the caller has is not passed on */
  bool scratch;
  struct limit *limits;
  size_t limit_count;
  bool qemu_filter; /* of system calls */
  char **program;   /* argv of the program, NULL-terminated */
};

/* Reads the command line. Ends the process with usage and LAUNCH_FAILED when it makes no sense. */
struct options parse_options(int argc, char **argv);

#endif
