#include "watchdog.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "die.h"

enum { STACK_SIZE = 65536 };

struct watchdog {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool stopped, thawed;
  int fd, event_fd;
  struct timespec deadline; /* CLOCK_MONOTONIC */
};

static void *watch(void *argument) {
  struct watchdog *watchdog = argument;
  pthread_mutex_lock(&watchdog->lock);
  int result = 0;
  while (!watchdog->stopped && result != ETIMEDOUT) {
    result = pthread_cond_clockwait(&watchdog->changed, &watchdog->lock, CLOCK_MONOTONIC, &watchdog->deadline);
  }
  if (!watchdog->stopped) {
    watchdog->thawed = ioctl(watchdog->fd, FITHAW, 0) == 0;
    uint64_t one = 1;
    if (write(watchdog->event_fd, &one, sizeof one) < 0) die("eventfd", errno);
  }
  pthread_mutex_unlock(&watchdog->lock);
  return NULL;
}

struct watchdog *watchdog_start(int fd, int event_fd, uint32_t after_ms) {
  struct watchdog *watchdog = must_alloc(calloc(1, sizeof *watchdog));
  pthread_mutex_init(&watchdog->lock, NULL);
  pthread_cond_init(&watchdog->changed, NULL);
  watchdog->fd = fd;
  watchdog->event_fd = event_fd;
  clock_gettime(CLOCK_MONOTONIC, &watchdog->deadline);
  uint64_t nanoseconds = (uint64_t)watchdog->deadline.tv_nsec + (uint64_t)after_ms % 1000 * 1000000;
  watchdog->deadline.tv_sec += (time_t)(after_ms / 1000 + nanoseconds / 1000000000);
  watchdog->deadline.tv_nsec = (long)(nanoseconds % 1000000000);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_SIZE);
  int error = pthread_create(&watchdog->thread, &attributes, watch, watchdog);
  pthread_attr_destroy(&attributes);
  if (!error) return watchdog;
  free(watchdog);
  errno = error;
  return NULL;
}

bool watchdog_stop(struct watchdog *watchdog) {
  pthread_mutex_lock(&watchdog->lock);
  watchdog->stopped = true;
  pthread_cond_signal(&watchdog->changed);
  pthread_mutex_unlock(&watchdog->lock);
  pthread_join(watchdog->thread, NULL);
  bool thawed = watchdog->thawed;
  pthread_mutex_destroy(&watchdog->lock);
  pthread_cond_destroy(&watchdog->changed);
  free(watchdog);
  return thawed;
}
