#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "outlet.h"
#include "pty.h"
#include "script.h"

static void kill_group(const struct process *process, int signo) {
  if (process->stream.pid && !process->group_gone) kill(-(pid_t)process->stream.pid, signo);
}

/* Once gone, the number may be another group's. */
static bool group_is_empty(struct process *process) {
  if (!process->group_gone) process->group_gone = kill(-(pid_t)process->stream.pid, 0) < 0 && errno == ESRCH;
  return process->group_gone;
}

static ssize_t take(struct stream *stream, const uint8_t *bytes, size_t length) {
  struct process *process = owner_of(stream, struct process, stream);
  if (process->in.fd < 0) return -1;
  ssize_t count = write(process->in.fd, bytes, length);
  if (count < 0 && errno != EAGAIN && errno != EINTR) {
    /* Nobody reads any more. */
    source_close(&stream->agent->loop, &process->in);
    return -1;
  }
  if (count < (ssize_t)length) source_watch(&stream->agent->loop, &process->in, EPOLLOUT);
  return count < 0 ? 0 : count;
}

static void on_input_ready(struct source *source, uint32_t events) {
  struct process *process = owner_of(source, struct process, in);
  source_watch(&process->stream.agent->loop, source, 0);
  stream_pump_input(&process->stream);
}

static void input_ended(struct stream *stream) {
  struct process *process = owner_of(stream, struct process, stream);
  /* The input of a terminal does not end; its user sends a control character. */
  if (stream->kind != KIND_PTY) source_close(&stream->agent->loop, &process->in);
}

static void window_opened(struct stream *stream) {
  struct process *process = owner_of(stream, struct process, stream);
  outlet_resume(&process->out);
  outlet_resume(&process->err);
}

static void send_signal(struct stream *stream, int signo) {
  const struct process *process = owner_of(stream, struct process, stream);
  if (!process->exited) kill_group(process, signo);
}

static void resize(struct stream *stream, uint16_t rows, uint16_t cols) {
  struct process *process = owner_of(stream, struct process, stream);
  if (stream->kind == KIND_PTY && process->out.source.fd >= 0) pty_resize(process->out.source.fd, rows, cols);
}

static void release(struct stream *stream) {
  struct process *process = owner_of(stream, struct process, stream);
  struct loop *loop = &stream->agent->loop;
  if (!stream->over) kill_group(process, SIGKILL);
  timer_disarm(loop, &process->timeout);
  timer_disarm(loop, &process->linger);
  timer_disarm(loop, &process->settle);
  source_close(loop, &process->in);
  outlet_release(&process->out);
  outlet_release(&process->err);
  script_remove(process->script);
  free(process->script);
  free(process->stderr_tail);
  process->script = NULL;
  process->stderr_tail = NULL;
}

static const struct stream_ops process_ops = {
    .take = take,
    .input_ended = input_ended,
    .window_opened = window_opened,
    .signal = send_signal,
    .resize = resize,
    .release = release,
};

static void finish_exec(struct process *process) {
  struct builder *end = stream_end_fields(&process->stream);
  int status = process->status;
  bool signalled = WIFSIGNALED(status);
  put_u32(end, TAG_EXIT_CODE, (uint32_t)(signalled ? 128 + WTERMSIG(status) : WEXITSTATUS(status)));
  if (signalled) put_u32(end, TAG_EXIT_SIGNAL, (uint32_t)WTERMSIG(status));
  put_u8(end, TAG_TIMED_OUT, process->timed_out ? 1 : 0);
  put_u64(end, TAG_DURATION_NS, process->ended_ns - process->started_ns);
  stream_end(&process->stream);
}

void process_check_end(struct process *process) {
  if (!process->exited || process->settling || process->stream.released || process->stream.over) return;
  if (process->out.source.fd >= 0 || process->err.source.fd >= 0) return;
  if (process->finish) {
    process->finish(process);
  } else {
    finish_exec(process);
  }
}

enum { LINGER_FIRST_MS = 50, LINGER_LONGEST_MS = 10000 };

static void drain_outlets(struct process *process) {
  outlet_drain(&process->out);
  if (!process->stream.released) outlet_drain(&process->err);
}

/*
 * The program has gone but its output has not ended: somebody else holds it. While that may be one of its group, go on;
 * what holds it after them (a daemon) is not waited for. Most deaths are seen by process_reaped; the timer is for
 * processes that some other process reaps, and for terminals: the kernel carries their last bytes to the master some
 * time after they were written.
 */
static void check_linger(struct process *process, bool by_timer) {
  if (!process->exited || process->stream.released) return;
  if (group_is_empty(process) && (by_timer || process->stream.kind != KIND_PTY)) {
    timer_disarm(&process->stream.agent->loop, &process->linger);
    drain_outlets(process);
    return;
  }
  if (process->linger.armed) return;
  process->linger_ms = process->linger_ms ? process->linger_ms * 2 : LINGER_FIRST_MS;
  if (process->linger_ms > LINGER_LONGEST_MS) process->linger_ms = LINGER_LONGEST_MS;
  timer_arm(&process->stream.agent->loop, &process->linger, process->linger_ms);
}

static void on_linger(struct timer *timer) { check_linger(owner_of(timer, struct process, linger), true); }

static void on_timeout(struct timer *timer) {
  struct process *process = owner_of(timer, struct process, timeout);
  if (!process->exited) process->timed_out = true;
  kill_group(process, process->terminated ? SIGKILL : SIGTERM);
  if (!process->terminated) timer_arm(&process->stream.agent->loop, timer, process->kill_after_ms);
  process->terminated = true;
}

void process_exited(struct agent *agent, pid_t pid, int status) {
  for (struct stream *stream = agent->streams.first; stream; stream = stream->next) {
    if (stream->ops != &process_ops || stream->pid != (uint32_t)pid || stream->released) continue;
    struct process *process = owner_of(stream, struct process, stream);
    if (process->exited) continue;
    process->exited = true;
    process->status = status;
    process->ended_ns = boot_clock_ns();
    process->settling = process->kill_group;
    outlet_wake(&process->out);
    outlet_wake(&process->err);
    process_check_end(process);
    return;
  }
}

enum { SETTLE_MS = 100 };

static void settled(struct process *process) {
  timer_disarm(&process->stream.agent->loop, &process->settle);
  process->settling = false;
  check_linger(process, false);
  process_check_end(process);
}

/*
 * What a program left running in its group is killed, but not at once: a child that is about to leave the group by
 * setsid has not come to it yet when a shell exits right after starting it.
 */
static void check_settled(struct process *process) {
  if (!process->settling || process->stream.released) return;
  if (group_is_empty(process)) {
    settled(process);
  } else if (!process->settle.armed) {
    timer_arm(&process->stream.agent->loop, &process->settle, SETTLE_MS);
  }
}

static void on_settle(struct timer *timer) {
  struct process *process = owner_of(timer, struct process, settle);
  kill_group(process, SIGKILL);
  settled(process);
}

void process_reaped(struct agent *agent) {
  struct stream *next;
  for (struct stream *stream = agent->streams.first; stream; stream = next) {
    next = stream->next;
    if (stream->ops != &process_ops) continue;
    struct process *process = owner_of(stream, struct process, stream);
    if (process->settling) {
      check_settled(process);
    } else {
      check_linger(process, false);
    }
  }
}

struct process *process_new(struct agent *agent, const struct stream *common) {
  struct process *process = must_alloc(calloc(1, sizeof *process));
  process->stream = *common;
  process->in = (struct source){.fd = -1, .ready = on_input_ready};
  outlet_init(&process->out, process, CHANNEL_OUT);
  outlet_init(&process->err, process, CHANNEL_ERR);
  process->timeout.fire = on_timeout;
  process->linger.fire = on_linger;
  process->settle.fire = on_settle;
  stream_add(agent, &process->stream, &process_ops);
  return process;
}

static void close_all(const struct agent *agent, const int *fds) {
  for (int i = 0; i < 3; i++) {
    if (fds[i] >= 0 && fds[i] != agent->null_fd) close(fds[i]);
  }
}

/* A pipe, or /dev/null for a direction that is not wanted. 0 or an errno. */
static int make_pipe(const struct agent *agent, bool wanted, int child_side, int *ours, int *childs) {
  int pipe_fds[2];
  *childs = agent->null_fd;
  if (!wanted) return 0;
  if (pipe2(pipe_fds, O_CLOEXEC) < 0) return errno;
  *childs = pipe_fds[child_side];
  *ours = pipe_fds[1 - child_side];
  return 0;
}

static int make_pipes(struct process *process, const struct process_start *start, int *fds) {
  const struct agent *agent = process->stream.agent;
  int error = make_pipe(agent, start->with_input, 0, &process->in.fd, &fds[0]);
  if (!error) error = make_pipe(agent, start->with_output, 1, &process->out.source.fd, &fds[1]);
  if (!error) error = make_pipe(agent, true, 1, &process->err.source.fd, &fds[2]);
  /* Only this side may not block. Output is read when there is some, so its pipes need no such flag. */
  if (!error && process->in.fd >= 0 && fcntl(process->in.fd, F_SETFL, O_NONBLOCK) < 0) error = errno;
  return error;
}

static int make_terminal(struct process *process, const struct process_start *start, int *fds) {
  int error = pty_open(&process->out.source.fd, &fds[0], start->rows, start->cols, start->modes);
  if (error) return error;
  process->in.fd = fcntl(process->out.source.fd, F_DUPFD_CLOEXEC, 3);
  fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
  fds[2] = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
  return process->in.fd < 0 || fds[1] < 0 || fds[2] < 0 ? errno : 0;
}

void process_start(struct process *process, const struct process_start *start) {
  struct agent *agent = process->stream.agent;
  bool terminal = process->stream.kind == KIND_PTY;
  struct spawn spawn = {
      .argv = start->argv,
      .envp = start->env->entries,
      .search_path = start->env->path,
      .cwd = start->cwd,
      .cwd_optional = start->cwd_optional,
      .terminal = terminal,
      .fds = {-1, -1, -1},
      .files = agent->program_files,
  };
  int error = terminal ? make_terminal(process, start, spawn.fds) : make_pipes(process, start, spawn.fds);
  const char *step = "descriptors";
  pid_t pid = -1;
  if (!error) {
    process->started_ns = boot_clock_ns();
    pid = spawn_program(&spawn, &error, &step);
  }
  close_all(agent, spawn.fds);
  if (pid < 0) {
    stream_refuse(&process->stream, error, step, NULL);
    return;
  }
  process->stream.pid = (uint32_t)pid;
  outlet_start(&process->out);
  outlet_start(&process->err);
  stream_opened(&process->stream);
}
