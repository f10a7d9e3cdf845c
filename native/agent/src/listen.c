/*
 * LISTEN: a port or socket of the guest on which connections come in. The host is told of each and takes it by ACCEPT.
 * As many as WAITING wait for that; more stay in the kernel's backlog.
 */
#include "listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "agent.h"
#include "die.h"
#include "freeze.h"
#include "open.h"

enum {
  WAITING = 16,
  BACKLOG = 128,
  /* When to look again whether there is a descriptor or memory for one more. */
  REST_MS = 200,
};

struct waiting {
  int fd; /* -1: none */
  uint32_t number;
};

struct listener {
  struct stream stream;
  struct source source;
  struct timer rest;
  struct address address;
  struct stat file; /* of a Unix socket, so that nothing else is removed in its place */
  bool paused; /* until the window opens */
  struct waiting waiting[WAITING];
};

static bool is_file(const struct address *address) { return address->any.sa_family == AF_UNIX; }

static struct waiting *waiting_find(struct listener *listener, int fd, uint32_t number) {
  for (int i = 0; i < WAITING; i++) {
    struct waiting *at = &listener->waiting[i];
    if (fd < 0 ? at->fd < 0 : at->fd >= 0 && at->number == number) return at;
  }
  return NULL;
}

static struct waiting *free_place(struct listener *listener) { return waiting_find(listener, -1, 0); }

static void watch(struct listener *listener) {
  bool ready = !listener->paused && !listener->rest.armed && free_place(listener);
  source_watch(&listener->stream.agent->loop, &listener->source, ready ? EPOLLIN : 0);
}

static void tell(struct listener *listener, uint8_t *space, uint32_t number, const struct address *peer) {
  struct builder record = {0};
  char text[INET6_ADDRSTRLEN];
  address_text(peer, text);
  put_u32(&record, TAG_CONNECTION, number);
  if (text[0]) {
    put_text(&record, TAG_ADDRESS, text);
    put_u16(&record, TAG_PORT, address_port(peer));
  }
  memcpy(space, record.bytes, record.length);
  stream_output_commit(&listener->stream, CHANNEL_OUT, record.length, false);
  builder_free(&record);
}

static void rested(struct timer *timer) { watch(owner_of(timer, struct listener, rest)); }

static void on_ready(struct source *source, uint32_t events) {
  struct listener *listener = owner_of(source, struct listener, source);
  struct stream *stream = &listener->stream;
  struct waiting *place = free_place(listener);
  size_t room;
  /* A record is as large as the space may be, and the note is far smaller than any. */
  uint8_t *space = place ? stream_output_space(stream, &room) : NULL;
  if (!space) {
    listener->paused = place != NULL;
    watch(listener);
    return;
  }
  struct address peer = {.size = sizeof peer.path};
  int fd = accept4(source->fd, &peer.any, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
    timer_arm(&stream->agent->loop, &listener->rest, REST_MS);
    watch(listener);
    return;
  }
  *place = (struct waiting){.fd = fd, .number = ++stream->agent->streams.last_connection};
  watch(listener);
  tell(listener, space, place->number, &peer);
}

int listen_take(struct agent *agent, uint32_t number) {
  for (struct stream *stream = agent->streams.first; stream; stream = stream->next) {
    if (stream->kind != KIND_LISTEN || stream->released) continue;
    struct listener *listener = owner_of(stream, struct listener, stream);
    struct waiting *at = waiting_find(listener, 0, number);
    if (!at) continue;
    int fd = at->fd;
    at->fd = -1;
    watch(listener);
    return fd;
  }
  return -1;
}

void listen_drop(struct agent *agent, struct span fields) {
  uint32_t number;
  int fd = field_u32(fields, TAG_CONNECTION, &number) ? -1 : listen_take(agent, number);
  if (fd >= 0) close(fd);
}

static void window_opened(struct stream *stream) {
  struct listener *listener = owner_of(stream, struct listener, stream);
  listener->paused = false;
  watch(listener);
}

static void release(struct stream *stream) {
  struct listener *listener = owner_of(stream, struct listener, stream);
  for (int i = 0; i < WAITING; i++) {
    if (listener->waiting[i].fd >= 0) close(listener->waiting[i].fd);
  }
  timer_disarm(&stream->agent->loop, &listener->rest);
  if (is_file(&listener->address)) unlink_when_thawed(stream->agent, listener->address.path.sun_path, &listener->file);
  source_close(&stream->agent->loop, &listener->source);
}

static const struct stream_ops listen_ops = {.window_opened = window_opened, .release = release};
/* The mount is in use as long as the socket is. */
static const struct stream_ops file_listen_ops = {
    .window_opened = window_opened, .release = release, .holds_files = true};

/* What is bound to a name of the disk has the mode that the socket had before. */
static const char *start_file(int fd, const struct address *address, struct stat *file) {
  const char *path = address->path.sun_path;
  if (fchmod(fd, 0600) < 0) return "chmod";
  if (bind(fd, &address->any, address->size) < 0) return "bind";
  if (lstat(path, file) == 0 && listen(fd, BACKLOG) == 0) return NULL;
  int error = errno;
  unlink(path);
  errno = error;
  return "listen";
}

/* Binds and listens. The name of the step that failed, or NULL. */
static const char *start(int fd, struct address *address) {
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, &address->any, address->size) < 0) return "bind";
  if (listen(fd, BACKLOG) < 0) return "listen";
  if (getsockname(fd, &address->any, &address->size) < 0) return "getsockname";
  return NULL;
}

void open_listen(struct agent *agent, const struct stream *common, struct span fields) {
  struct address address;
  if (!address_read(&address, fields)) {
    open_refuse(agent, common, EINVAL, "OPEN", "PORT must be a number and ADDRESS a numeric address, or PATH that of a socket");
    return;
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct stat file = {0};
  const char *failed = fd < 0 ? "socket" : is_file(&address) ? start_file(fd, &address, &file) : start(fd, &address);
  if (failed) {
    int error = errno;
    if (fd >= 0) close(fd);
    open_refuse(agent, common, error, failed, NULL);
    return;
  }
  struct listener *listener = must_alloc(calloc(1, sizeof *listener));
  listener->stream = *common;
  listener->source = (struct source){.fd = fd, .ready = on_ready};
  listener->rest.fire = rested;
  listener->address = address;
  listener->file = file;
  for (int i = 0; i < WAITING; i++) listener->waiting[i].fd = -1;
  stream_add(agent, &listener->stream, is_file(&address) ? &file_listen_ops : &listen_ops);
  listener->stream.port = is_file(&address) ? 0 : address_port(&address);
  watch(listener);
  stream_opened(&listener->stream);
}
