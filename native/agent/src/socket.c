/* TCP and ACCEPT: a connection to a port or socket of the guest, or one that came in. It ends when both directions have, or with an error. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "agent.h"
#include "die.h"
#include "listen.h"
#include "open.h"

enum {
  MOST_DROPPED_READS = 64,
  /* How soon to try a Unix socket again whose backlog is full: its kernel says so at once, where that of TCP waits. */
  DIAL_AGAIN_MS = 20,
};

struct connection {
  struct stream stream;
  struct source source;
  struct address address; /* that is dialled */
  struct timer again;
  bool connecting;
  bool paused;      /* until the window opens */
  bool want_write;  /* input waits for the socket */
  bool read_ended, write_ended;
  int write_error; /* why nothing can be written any more; what comes the other way still goes to the host */
};

static void watch(struct connection *connection) {
  uint32_t events = 0;
  if (connection->connecting || connection->want_write) events |= EPOLLOUT;
  if (!connection->connecting && !connection->read_ended && !connection->paused) events |= EPOLLIN;
  source_watch(&connection->stream.agent->loop, &connection->source, events);
}

static void end_if_done(struct connection *connection) {
  if (!connection->read_ended || !connection->write_ended) return;
  if (connection->write_error) {
    stream_fail(&connection->stream, connection->write_error, "write", NULL);
    return;
  }
  stream_end_fields(&connection->stream);
  stream_end(&connection->stream);
}

static void read_some(struct connection *connection) {
  struct stream *stream = &connection->stream;
  size_t room;
  uint8_t *space = stream_output_space(stream, &room);
  if (!space) {
    connection->paused = true;
    watch(connection);
    return;
  }
  ssize_t count = recv(connection->source.fd, space, room, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  /* A reset that writing has heard of already looks like an end. */
  if (count < 0 || (count == 0 && connection->write_error == ECONNRESET)) {
    stream_fail(stream, count < 0 ? errno : ECONNRESET, "read", NULL);
    return;
  }
  if (count > 0) {
    stream_output_commit(stream, CHANNEL_OUT, (size_t)count, false);
    return;
  }
  connection->read_ended = true;
  stream_output_commit(stream, CHANNEL_OUT, 0, true);
  watch(connection);
  end_if_done(connection);
}

static void connected(struct connection *connection) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(connection->source.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  if (error) {
    stream_refuse(&connection->stream, error, "connect", NULL);
    return;
  }
  connection->connecting = false;
  watch(connection);
  stream_opened(&connection->stream);
}

static void on_ready(struct source *source, uint32_t events) {
  struct connection *connection = owner_of(source, struct connection, source);
  if (connection->connecting) {
    connected(connection);
    return;
  }
  if (connection->want_write && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    connection->want_write = false;
    watch(connection);
    stream_pump_input(&connection->stream);
    if (connection->stream.released) return;
  }
  if (!connection->read_ended && events & (EPOLLIN | EPOLLERR | EPOLLHUP)) read_some(connection);
}

static ssize_t take(struct stream *stream, const uint8_t *bytes, size_t length) {
  struct connection *connection = owner_of(stream, struct connection, stream);
  ssize_t count = send(connection->source.fd, bytes, length, MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN && errno != EINTR) {
    connection->write_error = errno;
    connection->write_ended = true;
    end_if_done(connection);
    return -1;
  }
  if (count < (ssize_t)length) {
    connection->want_write = true;
    watch(connection);
  }
  return count < 0 ? 0 : count;
}

static void input_ended(struct stream *stream) {
  struct connection *connection = owner_of(stream, struct connection, stream);
  connection->write_ended = true;
  shutdown(connection->source.fd, SHUT_WR);
  end_if_done(connection);
}

static void window_opened(struct stream *stream) {
  struct connection *connection = owner_of(stream, struct connection, stream);
  connection->paused = false;
  watch(connection);
}

/* The kernel resets a connection that is closed with bytes unread, and what was written may then not arrive. */
static void drop_unread(int fd) {
  uint8_t bytes[16384];
  for (int i = 0; i < MOST_DROPPED_READS && recv(fd, bytes, sizeof bytes, 0) > 0; i++) continue;
}

static void release(struct stream *stream) {
  struct connection *connection = owner_of(stream, struct connection, stream);
  int fd = connection->source.fd;
  if (fd >= 0 && connection->write_ended) drop_unread(fd);
  /* Cut short: let the other end see that as an error, not as a proper end. Unix sockets have no such thing. */
  if (fd >= 0 && !connection->write_ended) {
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  timer_disarm(&stream->agent->loop, &connection->again);
  source_close(&stream->agent->loop, &connection->source);
}

static const struct stream_ops connection_ops = {
    .take = take, .input_ended = input_ended, .window_opened = window_opened, .release = release};
/* What came in at a Unix socket keeps the mount of its name in use. */
static const struct stream_ops file_connection_ops = {.take = take,
                                                      .input_ended = input_ended,
                                                      .window_opened = window_opened,
                                                      .release = release,
                                                      .holds_files = true};

static bool is_unix(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static void dial(struct connection *connection) {
  const struct address *to = &connection->address;
  struct stream *stream = &connection->stream;
  if (connect(connection->source.fd, &to->any, to->size) == 0 || errno == EINPROGRESS) {
    watch(connection);
  } else if (errno == EAGAIN && to->any.sa_family == AF_UNIX) {
    timer_arm(&stream->agent->loop, &connection->again, DIAL_AGAIN_MS);
  } else {
    stream_refuse(stream, errno, "connect", NULL);
  }
}

static void dial_again(struct timer *timer) { dial(owner_of(timer, struct connection, again)); }

static struct connection *add(struct agent *agent, const struct stream *common, int fd) {
  struct connection *connection = must_alloc(calloc(1, sizeof *connection));
  connection->stream = *common;
  connection->source = (struct source){.fd = fd, .ready = on_ready};
  connection->again.fire = dial_again;
  bool came_to_file = common->kind == KIND_ACCEPT && is_unix(fd);
  stream_add(agent, &connection->stream, came_to_file ? &file_connection_ops : &connection_ops);
  return connection;
}

static void send_at_once(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* refused by a Unix socket */
}

void open_tcp(struct agent *agent, const struct stream *common, struct span fields) {
  struct address address;
  if (!address_read(&address, fields) || address_port(&address) == 0) {
    open_refuse(agent, common, EINVAL, "OPEN", "PORT must be 1-65535 and ADDRESS a numeric address, or PATH that of a socket");
    return;
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    open_refuse(agent, common, errno, "socket", NULL);
    return;
  }
  send_at_once(fd);
  struct connection *connection = add(agent, common, fd);
  connection->address = address;
  connection->connecting = true;
  dial(connection);
}

void open_accept(struct agent *agent, const struct stream *common, struct span fields) {
  uint32_t number;
  if (field_u32(fields, TAG_CONNECTION, &number)) {
    open_refuse(agent, common, EINVAL, "OPEN", "CONNECTION is missing");
    return;
  }
  int fd = listen_take(agent, number);
  if (fd < 0) {
    open_refuse(agent, common, ENOENT, "accept", "no such connection waits");
    return;
  }
  send_at_once(fd);
  struct connection *connection = add(agent, common, fd);
  watch(connection);
  stream_opened(&connection->stream);
}
