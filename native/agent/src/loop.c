#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "die.h"

uint64_t boot_clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void loop_init(struct loop *loop) {
  *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC)};
  if (loop->epoll < 0) die("epoll", errno);
  loop->tasks_tail = &loop->tasks;
  loop->now_ms = boot_clock_ns() / 1000000;
}

void source_watch(struct loop *loop, struct source *source, uint32_t events) {
  if (source->events == events) return;
  int op = source->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(loop->epoll, op, source->fd, &event) < 0) die("epoll_ctl", errno);
  source->events = events;
  if (events != 0) return;
  for (int i = loop->batch_next; i < loop->batch_count; i++) {
    if (loop->batch[i].data.ptr == source) loop->batch[i].data.ptr = NULL;
  }
}

void source_close(struct loop *loop, struct source *source) {
  if (source->fd < 0) return;
  source_watch(loop, source, 0);
  close(source->fd);
  source->fd = -1;
}

void timer_arm(struct loop *loop, struct timer *timer, uint64_t delay_ms) {
  timer_disarm(loop, timer);
  timer->armed = true;
  /* Something in this round may have taken long. */
  loop->now_ms = boot_clock_ns() / 1000000;
  timer->at_ms = delay_ms > UINT64_MAX - loop->now_ms ? UINT64_MAX : loop->now_ms + delay_ms;
  struct timer **at = &loop->timers;
  while (*at && (*at)->at_ms <= timer->at_ms) at = &(*at)->next;
  timer->next = *at;
  *at = timer;
}

void timer_disarm(struct loop *loop, struct timer *timer) {
  if (!timer->armed) return;
  timer->armed = false;
  for (struct timer **at = &loop->timers; *at; at = &(*at)->next) {
    if (*at != timer) continue;
    *at = timer->next;
    return;
  }
}

void task_queue(struct loop *loop, struct task *task) {
  if (task->queued) return;
  task->queued = true;
  task->next = NULL;
  *loop->tasks_tail = task;
  loop->tasks_tail = &task->next;
}

void task_cancel(struct loop *loop, struct task *task) {
  if (!task->queued) return;
  task->queued = false;
  for (struct task **at = &loop->tasks; *at; at = &(*at)->next) {
    if (*at != task) continue;
    *at = task->next;
    if (loop->tasks_tail == &task->next) loop->tasks_tail = at;
    return;
  }
}

static int wait_ms(const struct loop *loop, bool idle) {
  if (!idle || loop->tasks) return 0;
  if (!loop->timers) return -1;
  if (loop->timers->at_ms <= loop->now_ms) return 0;
  uint64_t delay = loop->timers->at_ms - loop->now_ms;
  return delay > INT_MAX ? INT_MAX : (int)delay;
}

static void run_timers(struct loop *loop) {
  while (loop->timers && loop->timers->at_ms <= loop->now_ms) {
    struct timer *timer = loop->timers;
    timer_disarm(loop, timer);
    timer->fire(timer);
  }
}

/* Only the tasks queued by now: one that queues itself again has its turn in the next round. */
static void run_tasks(struct loop *loop) {
  int count = 0;
  for (struct task *task = loop->tasks; task; task = task->next) count++;
  while (count-- > 0 && loop->tasks) {
    struct task *task = loop->tasks;
    task_cancel(loop, task);
    task->run(task);
  }
}

void loop_round(struct loop *loop, bool idle) {
  int count = epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, wait_ms(loop, idle));
  if (count < 0 && errno != EINTR) die("epoll_wait", errno);
  loop->now_ms = boot_clock_ns() / 1000000;
  loop->batch_count = count < 0 ? 0 : count;
  for (loop->batch_next = 0; loop->batch_next < loop->batch_count;) {
    struct epoll_event *event = &loop->batch[loop->batch_next++];
    struct source *source = event->data.ptr;
    if (source) source->ready(source, event->events);
  }
  run_timers(loop);
  run_tasks(loop);
}
