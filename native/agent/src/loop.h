/*
 * The one event loop: descriptors (epoll), timers, and work that needs no descriptor to go on (regular files are always
 * ready). Everything is embedded in its owner's struct and found again with `owner_of`. A source or timer may be removed
 * at any time, also from within a callback of the same round.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define owner_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

struct source {
  int fd; /* -1: none */
  uint32_t events; /* 0: not watched (epoll would still report a hang-up, so the descriptor is taken out) */
  void (*ready)(struct source *source, uint32_t events);
};

struct timer {
  struct timer *next;
  bool armed;
  uint64_t at_ms;
  void (*fire)(struct timer *timer);
};

struct task {
  struct task *next;
  bool queued;
  void (*run)(struct task *task);
};

enum { LOOP_BATCH = 64 };

struct loop {
  int epoll;
  uint64_t now_ms; /* CLOCK_BOOTTIME, read once a round */
  struct timer *timers; /* soonest first */
  struct task *tasks, **tasks_tail;
  struct epoll_event batch[LOOP_BATCH];
  int batch_next, batch_count;
};

uint64_t boot_clock_ns(void);

void loop_init(struct loop *loop);
/* Waits for something to happen (not at all when `idle` is false or tasks are queued) and runs the callbacks. */
void loop_round(struct loop *loop, bool idle);

/* Sets what is watched; 0 stops watching. */
void source_watch(struct loop *loop, struct source *source, uint32_t events);
/* Stops watching and closes the descriptor. Harmless when there is none. */
void source_close(struct loop *loop, struct source *source);

void timer_arm(struct loop *loop, struct timer *timer, uint64_t delay_ms);
void timer_disarm(struct loop *loop, struct timer *timer);

/* Runs the task once in the next round. Queueing it twice is the same as once. */
void task_queue(struct loop *loop, struct task *task);
void task_cancel(struct loop *loop, struct task *task);

#endif
