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
};

static void close_outlet(struct outlet *outlet) {
  struct process *process = outlet->process;
  source_close(&process->stream.agent->loop, &outlet->source);
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
  source_watch(&outlet->process->stream.agent->loop, &outlet->source, 0);
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
  return count;
}

static void on_readable(struct source *source, uint32_t events) {
  struct outlet *outlet = owner_of(source, struct outlet, source);
  ssize_t count = read_once(outlet);
  if (count > 0 && !(outlet->draining && outlet->left == 0)) return;
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  /* A terminal ends with EIO, when the last process has closed it. */
  close_outlet(outlet);
}

void outlet_init(struct outlet *outlet, struct process *process, uint8_t channel) {
  *outlet = (struct outlet){.source = {.fd = -1, .ready = on_readable}, .process = process, .channel = channel};
}

void outlet_watch(struct outlet *outlet) {
  if (outlet->source.fd >= 0) source_watch(&outlet->process->stream.agent->loop, &outlet->source, EPOLLIN);
}

void outlet_resume(struct outlet *outlet) {
  if (!outlet->paused || outlet->source.fd < 0) return;
  outlet->paused = false;
  outlet_watch(outlet);
}

void outlet_drain(struct outlet *outlet) {
  if (outlet->source.fd < 0 || outlet->draining) return;
  int left = 0;
  if (ioctl(outlet->source.fd, FIONREAD, &left) < 0) left = 0;
  outlet->draining = true;
  outlet->left = (size_t)left;
  if (left == 0) close_outlet(outlet);
}
