#include "freeze.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "steps.h"
#include "watchdog.h"

struct unlink_later {
  struct unlink_later *next;
  bool any;
  struct stat only;
  char path[];
};

/* A round of syncfs that takes less than this had nothing left to write. */
enum { CALM_NS = 5000000 };

bool disk_is_frozen(const struct agent *agent) { return agent->disk.freeze.watchdog != NULL; }

static void unlink_only(const char *path, const struct stat *only) {
  struct stat now;
  if (only && (lstat(path, &now) < 0 || now.st_dev != only->st_dev || now.st_ino != only->st_ino)) return;
  unlink(path);
}

void unlink_when_thawed(struct agent *agent, const char *path, const struct stat *only) {
  if (!disk_is_frozen(agent)) {
    unlink_only(path, only);
    return;
  }
  size_t size = strlen(path) + 1;
  struct unlink_later *later = must_alloc(malloc(sizeof *later + size));
  memcpy(later->path, path, size);
  later->any = !only;
  if (only) later->only = *only;
  later->next = agent->disk.freeze.unlink_later;
  agent->disk.freeze.unlink_later = later;
}

static void unlink_now(struct agent *agent) {
  while (agent->disk.freeze.unlink_later) {
    struct unlink_later *later = agent->disk.freeze.unlink_later;
    agent->disk.freeze.unlink_later = later->next;
    unlink_only(later->path, later->any ? NULL : &later->only);
    free(later);
  }
}

int disk_thaw(struct agent *agent) {
  struct freeze *freeze = &agent->disk.freeze;
  if (!freeze->watchdog) return EINVAL;
  bool was_thawed = watchdog_stop(freeze->watchdog);
  freeze->watchdog = NULL;
  int error = was_thawed ? EINVAL : ioctl(agent->disk.upper_fd, FITHAW, 0) < 0 ? errno : 0;
  unlink_now(agent);
  streams_thawed(agent);
  session_run_deferred(agent);
  return error;
}

static void on_watchdog(struct source *source, uint32_t events) {
  struct agent *agent = owner_of(source, struct agent, disk.watchdog_event);
  uint64_t count;
  if (read(source->fd, &count, sizeof count) == sizeof count) disk_thaw(agent);
}

static int watchdog_event(struct agent *agent) {
  struct source *event = &agent->disk.watchdog_event;
  if (event->fd >= 0) return event->fd;
  *event = (struct source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_watchdog};
  if (event->fd < 0) die("eventfd", errno);
  source_watch(&agent->loop, event, EPOLLIN);
  return event->fd;
}

static void answer(struct agent *agent, const struct message *message, int error, const char *step,
                   const struct steps *steps) {
  if (error) {
    session_fail(agent, message->type, message->id, error, step, NULL);
    return;
  }
  struct builder *out = session_build(agent);
  put_text(out, TAG_STEPS, steps->text);
  session_reply(agent, message, out);
}

void request_sync(struct agent *agent, const struct message *message) {
  uint8_t rounds;
  uint64_t trim_at_least;
  struct steps steps;
  steps_begin(&steps);
  int error = 0;
  if (field_u8(message->fields, TAG_ROUNDS, &rounds) || rounds == 0) error = EINVAL;
  if (!error && agent->disk.upper_fd < 0) error = ENODEV;
  /* It would wait for the thaw, which could then not be asked for. A frozen file system is in sync. */
  if (!error && disk_is_frozen(agent)) error = EBUSY;
  for (uint8_t i = 0; i < rounds && !error; i++) {
    uint64_t began = boot_clock_ns();
    if (syncfs(agent->disk.upper_fd) < 0) error = errno;
    steps_done(&steps, "syncfs");
    if (boot_clock_ns() - began < CALM_NS) break;
  }
  const char *step = "syncfs";
  if (!error && !field_u64(message->fields, TAG_TRIM_STALE, &trim_at_least)) {
    step = "trim";
    error = trim_stale(agent, trim_at_least);
    steps_done(&steps, step);
  }
  answer(agent, message, error, step, &steps);
}

void request_freeze(struct agent *agent, const struct message *message) {
  uint32_t watchdog_ms;
  struct steps steps;
  steps_begin(&steps);
  int error = 0;
  if (field_u32(message->fields, TAG_WATCHDOG_MS, &watchdog_ms) || watchdog_ms == 0) error = EINVAL;
  if (!error && agent->disk.upper_fd < 0) error = ENODEV;
  if (!error && disk_is_frozen(agent)) error = EBUSY;
  if (!error && ioctl(agent->disk.upper_fd, FIFREEZE, 0) < 0) error = errno;
  if (!error) {
    steps_done(&steps, "freeze");
    agent->disk.freeze.watchdog = watchdog_start(agent->disk.upper_fd, watchdog_event(agent), watchdog_ms);
    if (!agent->disk.freeze.watchdog) {
      error = errno;
      ioctl(agent->disk.upper_fd, FITHAW, 0);
    }
    steps_done(&steps, "watchdog");
  }
  answer(agent, message, error, "freeze", &steps);
}

void request_thaw(struct agent *agent, const struct message *message) {
  struct steps steps;
  steps_begin(&steps);
  int error = disk_thaw(agent);
  steps_done(&steps, "thaw");
  answer(agent, message, error, "thaw", &steps);
}
