/*
 * Streams of a running program: EXEC, PTY, and the tar of TAR_OUT and TAR_IN, which differ in where the program's
 * descriptors lead and in what END says.
 *
 * A stream ends when the program has exited and its output is read: to the end of file; or, when only processes that left
 * its process group still hold the pipe, as far as bytes were there when the last of the group had gone.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include "environment.h"
#include "loop.h"
#include "spawn.h"
#include "stream.h"

struct process;

/* A pipe or PTY from the program. */
struct outlet {
  struct source source;
  struct process *process;
  uint8_t channel;
  bool paused;   /* until the window opens */
  bool resting;  /* for a moment, so that many small writes become one record */
  bool draining; /* read `left` more bytes, then close */
  bool wide;
  size_t left;
  unsigned small_reads; /* one soon after the other */
  uint64_t read_at_ms;
  struct timer rest;
};

/* The end of what a helper program wrote on stderr. */
struct tail {
  size_t length;
  char text[2048];
};

struct process {
  struct stream stream;
  /* Completes END; `process->status` is as from waitpid. NULL: as EXEC does. */
  void (*finish)(struct process *process);
  bool kill_group;
  bool exited, group_gone;     /* the program; its group */
  bool settling;               /* exited, and what is left of its group may still leave it */
  bool terminated, timed_out;  /* SIGTERM was sent by the time-out; and the program had not exited by then */
  int status;
  uint64_t started_ns, ended_ns;
  uint64_t kill_after_ms, linger_ms;
  struct outlet out, err;
  struct tail *stderr_tail; /* stderr goes here instead of channel 2 */
  struct source in;
  struct timer timeout, linger, settle;
  char *script;
};

/* A new stream in the table, nothing started. Freed by stream_close or stream_refuse. */
struct process *process_new(struct agent *agent, const struct stream *common);
struct process_start {
  char *const *argv;
  const struct environment *env;
  const char *cwd;
  bool cwd_optional;
  bool with_input, with_output; /* else /dev/null */
  uint16_t rows, cols;          /* for a PTY */
  struct span modes;            /* for a PTY; may be empty */
};
/* Starts it and answers OPEN; refuses the stream when that fails. */
void process_start(struct process *process, const struct process_start *start);

/* To be called for each child that ended, before it is reaped. */
void process_exited(struct agent *agent, pid_t pid, int status);
/* To be called after children were reaped. */
void process_reaped(struct agent *agent);

#endif
