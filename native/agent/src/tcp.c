/* TCP: a connection to a port of the guest. It ends when both directions have, or with an error. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "open.h"

struct tcp {
  struct stream stream;
  struct source source;
  bool connecting;
  bool paused;      /* until the window opens */
  bool want_write;  /* input waits for the socket */
  bool read_ended, write_ended;
};

static void watch(struct tcp *tcp) {
  uint32_t events = 0;
  if (tcp->connecting || tcp->want_write) events |= EPOLLOUT;
  if (!tcp->connecting && !tcp->read_ended && !tcp->paused) events |= EPOLLIN;
  source_watch(&tcp->stream.agent->loop, &tcp->source, events);
}

static void end_if_done(struct tcp *tcp) {
  if (!tcp->read_ended || !tcp->write_ended) return;
  stream_end_fields(&tcp->stream);
  stream_end(&tcp->stream);
}

static void read_some(struct tcp *tcp) {
  struct stream *stream = &tcp->stream;
  size_t room;
  uint8_t *space = stream_output_space(stream, &room);
  if (!space) {
    tcp->paused = true;
    watch(tcp);
    return;
  }
  ssize_t count = recv(tcp->source.fd, space, room, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) {
    stream_fail(stream, errno, "read", NULL);
    return;
  }
  if (count > 0) {
    stream_output_commit(stream, CHANNEL_OUT, (size_t)count, false);
    return;
  }
  tcp->read_ended = true;
  stream_output_commit(stream, CHANNEL_OUT, 0, true);
  watch(tcp);
  end_if_done(tcp);
}

static void connected(struct tcp *tcp) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(tcp->source.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  if (error) {
    stream_refuse(&tcp->stream, error, "connect", NULL);
    return;
  }
  tcp->connecting = false;
  watch(tcp);
  stream_opened(&tcp->stream);
}

static void on_ready(struct source *source, uint32_t events) {
  struct tcp *tcp = owner_of(source, struct tcp, source);
  if (tcp->connecting) {
    connected(tcp);
    return;
  }
  if (tcp->want_write && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    tcp->want_write = false;
    watch(tcp);
    stream_pump_input(&tcp->stream);
    if (tcp->stream.released) return;
  }
  if (!tcp->read_ended && events & (EPOLLIN | EPOLLERR | EPOLLHUP)) read_some(tcp);
}

static ssize_t take(struct stream *stream, const uint8_t *bytes, size_t length) {
  struct tcp *tcp = owner_of(stream, struct tcp, stream);
  ssize_t count = send(tcp->source.fd, bytes, length, MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN && errno != EINTR) {
    stream_fail(stream, errno, "write", NULL);
    return -1;
  }
  if (count < (ssize_t)length) {
    tcp->want_write = true;
    watch(tcp);
  }
  return count < 0 ? 0 : count;
}

static void input_ended(struct stream *stream) {
  struct tcp *tcp = owner_of(stream, struct tcp, stream);
  tcp->write_ended = true;
  shutdown(tcp->source.fd, SHUT_WR);
  end_if_done(tcp);
}

static void window_opened(struct stream *stream) {
  struct tcp *tcp = owner_of(stream, struct tcp, stream);
  tcp->paused = false;
  watch(tcp);
}

static void release(struct stream *stream) {
  struct tcp *tcp = owner_of(stream, struct tcp, stream);
  /* Cut short: let the other end see that as an error, not as a proper end. */
  if (!stream->over && tcp->source.fd >= 0) {
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(tcp->source.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  source_close(&stream->agent->loop, &tcp->source);
}

static const struct stream_ops tcp_ops = {
    .take = take, .input_ended = input_ended, .window_opened = window_opened, .release = release};

static bool read_address(struct sockaddr_storage *address, socklen_t *size, struct span fields) {
  uint16_t port;
  if (field_u16(fields, TAG_PORT, &port) || port == 0) return false;
  struct span value;
  char *text = field_span(fields, TAG_ADDRESS, &value) ? field_string(fields, TAG_ADDRESS)
                                                       : must_alloc(strdup("127.0.0.1"));
  struct sockaddr_in *v4 = (struct sockaddr_in *)address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
  *address = (struct sockaddr_storage){0};
  bool valid = true;
  if (text && inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    *size = sizeof *v4;
  } else if (text && inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *size = sizeof *v6;
  } else {
    valid = false;
  }
  free(text);
  return valid;
}

void open_tcp(struct agent *agent, const struct stream *common, struct span fields) {
  struct sockaddr_storage address;
  socklen_t size = 0;
  if (!read_address(&address, &size, fields)) {
    open_refuse(agent, common, EINVAL, "OPEN", "PORT must be 1-65535 and ADDRESS a numeric address");
    return;
  }
  struct tcp *tcp = must_alloc(calloc(1, sizeof *tcp));
  tcp->stream = *common;
  tcp->source = (struct source){.fd = -1, .ready = on_ready};
  tcp->connecting = true;
  stream_add(agent, &tcp->stream, &tcp_ops);
  tcp->source.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (tcp->source.fd < 0) {
    stream_refuse(&tcp->stream, errno, "socket", NULL);
    return;
  }
  int one = 1;
  setsockopt(tcp->source.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(tcp->source.fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS) {
    stream_refuse(&tcp->stream, errno, "connect", NULL);
    return;
  }
  watch(tcp);
}
