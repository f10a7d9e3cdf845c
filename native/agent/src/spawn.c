#include "spawn.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Written by the child into the parent's memory, which vfork shares. */
struct failure {
  int error;
  const char *step;
};

/* Returns only when it fails, with an errno. */
static int exec_in_path(const struct spawn *spawn) {
  const char *name = spawn->argv[0];
  if (strchr(name, '/')) {
    execve(name, spawn->argv, spawn->envp);
    return errno;
  }
  int error = ENOENT;
  size_t name_length = strlen(name);
  for (const char *dir = spawn->search_path; dir && name_length > 0;) {
    const char *colon = strchr(dir, ':');
    size_t length = colon ? (size_t)(colon - dir) : strlen(dir);
    char path[PATH_MAX];
    if (length + name_length + 2 <= sizeof path) {
      memcpy(path, dir, length);
      /* An empty directory in PATH means the current one. */
      if (length > 0) path[length++] = '/';
      memcpy(path + length, name, name_length + 1);
      execve(path, spawn->argv, spawn->envp);
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) return errno;
      if (errno == EACCES) error = EACCES;
    }
    dir = colon ? colon + 1 : NULL;
  }
  return error;
}

static void become_program(const struct spawn *spawn, volatile struct failure *failure) {
  failure->step = "setsid";
  if (setsid() < 0) goto failed;
  if (spawn->terminal) {
    failure->step = "controlling terminal";
    if (ioctl(spawn->fds[0], TIOCSCTTY, 0) < 0) goto failed;
  }
  failure->step = "descriptors";
  for (int i = 0; i < 3; i++) {
    if (dup2(spawn->fds[i], i) < 0) goto failed;
  }
  failure->step = "limits";
  if (setrlimit(RLIMIT_NOFILE, &spawn->files) < 0) goto failed;
  failure->step = "chdir";
  if (chdir(spawn->cwd) < 0 && (!spawn->cwd_optional || chdir("/") < 0)) goto failed;
  failure->step = "signals";
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) < 0) goto failed;
  failure->step = "exec";
  /* Only now that it has failed: the parent reads this when the exec succeeded, too. */
  failure->error = exec_in_path(spawn);
  return;
failed:
  failure->error = errno;
}

pid_t spawn_program(const struct spawn *spawn, int *error, const char **step) {
  volatile struct failure failure = {0, "vfork"};
  pid_t pid = vfork();
  if (pid == 0) {
    become_program(spawn, &failure);
    _exit(127);
  }
  if (pid > 0 && !failure.error) return pid;
  *error = pid < 0 ? errno : failure.error;
  *step = failure.step;
  return -1;
}
