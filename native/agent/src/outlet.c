#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent.h"

enum {
  /* A program that fills its pipe gets one of this size: fewer switches between it and the agent. */
  WIDE_PIPE = 262144,
  DEFAULT_PIPE = 65536,
  /*
   * A program that prints in small pieces, one after the other, would have the agent run after each: twice as much work for the
   * program's own processor. After so many small reads, each soon after the last, the agent lets output gather.
   */
  CHATTY_READS = 8,
  CHATTY_BYTES = 16384,
  REST_MS = 2,
};

static void update_watch(struct outlet *outlet) {
  if (outlet->source.fd < 0) return;
  bool wanted = !outlet->paused && !outlet->resting;
  source_watch(&outlet->process->stream.agent->loop, &outlet->source, wanted ? EPOLLIN : 0);
}

void outlet_release(struct outlet *outlet) {
  struct loop *loop = &outlet->process->stream.agent->loop;
  timer_disarm(loop, &outlet->rest);
  source_close(loop, &outlet->source);
}

void outlet_wake(struct outlet *outlet) {
  timer_disarm(&outlet->process->stream.agent->loop, &outlet->rest);
  outlet->resting = false;
  update_watch(outlet);
}

static void on_rested(struct timer *timer) { outlet_wake(owner_of(timer, struct outlet, rest)); }

static void rest_if_chatty(struct outlet *outlet, size_t count) {
  struct process *process = outlet->process;
  struct loop *loop = &process->stream.agent->loop;
  bool soon = loop->now_ms - outlet->read_at_ms <= REST_MS + 1;
  outlet->small_reads = soon && count < CHATTY_BYTES ? outlet->small_reads + 1 : 0;
  outlet->read_at_ms = loop->now_ms;
  if (outlet->small_reads < CHATTY_READS || process->exited) return;
  outlet->resting = true;
  update_watch(outlet);
  timer_arm(loop, &outlet->rest, REST_MS);
}

static void close_outlet(struct outlet *outlet) {
  struct process *process = outlet->process;
  outlet_release(outlet);
  process_check_end(process);
}

static void keep_tail(struct tail *tail, const char *text, size_t length) {
  if (length > sizeof tail->text) {
    text += length - sizeof tail->text;
    length = sizeof tail->text;
  }
  size_t keep = sizeof tail->text - length;
  if (tail->length > keep) {
    memmove(tail->text, tail->text + tail->length - keep, keep);
    tail->length = keep;
  }
  memcpy(tail->text + tail->length, text, length);
  tail->length += length;
}

static void pause_outlet(struct outlet *outlet) {
  outlet->paused = true;
  update_watch(outlet);
}

/* One read. Returns what read returned, or 0 at the end of what is to be read; -1 with EAGAIN when it has to wait. */
static ssize_t read_once(struct outlet *outlet) {
  struct process *process = outlet->process;
  struct stream *stream = &process->stream;
  char text[2048];
  bool to_tail = process->stderr_tail && outlet->channel == CHANNEL_ERR;
  size_t room = sizeof text;
  uint8_t *space = to_tail ? (uint8_t *)text : stream_output_space(stream, &room);
  if (!space) {
    pause_outlet(outlet);
    errno = EAGAIN;
    return -1;
  }
  if (outlet->draining && outlet->left < room) room = outlet->left;
  ssize_t count = room > 0 ? read(outlet->source.fd, space, room) : 0;
  if (count <= 0) return count;
  if (outlet->draining) outlet->left -= (size_t)count;
  if (to_tail) {
    keep_tail(process->stderr_tail, text, (size_t)count);
    return count;
  }
  stream_output_commit(stream, outlet->channel, (size_t)count, false);
  if (!outlet->wide && count >= DEFAULT_PIPE / 2 && stream->kind != KIND_PTY) {
    outlet->wide = true;
    fcntl(outlet->source.fd, F_SETPIPE_SZ, WIDE_PIPE);
  }
  if (!stream_has_room(stream)) pause_outlet(outlet);
  rest_if_chatty(outlet, (size_t)count);
  return count;
}

static size_t bytes_there(const struct outlet *outlet) {
  int count = 0;
  return ioctl(outlet->source.fd, FIONREAD, &count) < 0 ? 0 : (size_t)count;
}

/*
 * What gathers in the other pipe while it rests was most likely written before what comes now, and is to be numbered
 * before it.
 */
static void read_gathered(struct outlet *other) {
  if (other->source.fd < 0 || other->small_reads < CHATTY_READS) return;
  outlet_wake(other);
  other->small_reads = 0;
  if (bytes_there(other) > 0) read_once(other);
}

static void on_readable(struct source *source, uint32_t events) {
  struct outlet *outlet = owner_of(source, struct outlet, source);
  struct process *process = outlet->process;
  read_gathered(outlet == &process->out ? &process->err : &process->out);
  ssize_t count = read_once(outlet);
  if (count > 0 && !(outlet->draining && outlet->left == 0)) return;
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  /* A terminal ends with EIO, when the last process has closed it. */
  close_outlet(outlet);
}

void outlet_init(struct outlet *outlet, struct process *process, uint8_t channel) {
  *outlet = (struct outlet){.source = {.fd = -1, .ready = on_readable},
                            .process = process,
                            .channel = channel,
                            .rest = {.fire = on_rested}};
}

void outlet_start(struct outlet *outlet) { update_watch(outlet); }

void outlet_resume(struct outlet *outlet) {
  outlet->paused = false;
  update_watch(outlet);
}

void outlet_drain(struct outlet *outlet) {
  if (outlet->source.fd < 0 || outlet->draining) return;
  outlet->draining = true;
  outlet->left = bytes_there(outlet);
  if (outlet->left == 0) close_outlet(outlet);
}
