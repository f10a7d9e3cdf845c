#include "schedule.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "fail.h"

void schedule_idle(void) {
  struct sched_param none = {0};
  if (sched_setscheduler(0, SCHED_IDLE, &none)) fail_errno("lower the priority to idle");
}

void schedule_nice(int nice) {
  if (setpriority(PRIO_PROCESS, 0, nice)) fail_errno("set the nice value %d", nice);
}

/* True when the thread had to be changed. A thread that ended meanwhile needs nothing. */
static bool normalize(pid_t tid) {
  struct sched_param none = {0};
  int policy = sched_getscheduler(tid);
  errno = 0;
  int nice = getpriority(PRIO_PROCESS, (id_t)tid);
  if (policy == SCHED_OTHER && nice == 0 && !errno) return false;
  if (sched_setscheduler(tid, SCHED_OTHER, &none) || setpriority(PRIO_PROCESS, (id_t)tid, 0)) {
    if (errno == ESRCH) return false;
    fail_errno("raise the priority of thread %d", tid);
  }
  return true;
}

void schedule_normal(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  /* A thread that was just made by one not yet changed inherited its policy: repeat until a pass changes nothing. */
  for (bool changed = true; changed;) {
    changed = false;
    DIR *threads = opendir(path);
    if (!threads) fail_errno("list the threads of process %d", pid);
    for (struct dirent *entry; (entry = readdir(threads));) {
      pid_t tid = (pid_t)atoi(entry->d_name);
      if (tid > 0 && normalize(tid)) changed = true;
    }
    closedir(threads);
  }
}
