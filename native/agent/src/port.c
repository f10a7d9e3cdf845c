#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "die.h"

enum {
  /* A virtio port takes at most 32 KiB a write. */
  STAGE_TARGET = 32768,
  /* Frames up to this size are copied together; larger ones are written from where they are. */
  SMALL_CHUNK = 8192,
  INPUT_SLICE = 512 * 1024,
  /* Replies that a host does not fetch: beyond this its requests wait too. */
  MAX_STAGED = 4 * 1024 * 1024,
  KEEP_CAPACITY = 2 * STAGE_TARGET,
};

static void on_ready(struct source *source, uint32_t events) {
  struct port *port = owner_of(source, struct port, source);
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) port->readable = true;
  /* A hang-up may be a host that went and another that came: try to write again. */
  if (events & (EPOLLOUT | EPOLLHUP)) port->blocked = false;
}

void port_init(struct port *port, struct loop *loop, int fd, const struct port_ops *ops, void *context) {
  port->loop = loop;
  port->ops = ops;
  port->context = context;
  port->source = (struct source){.fd = fd, .ready = on_ready};
  port->readable = true;
  source_watch(loop, &port->source, EPOLLIN | EPOLLET);
}

uint8_t *port_stage(struct port *port, size_t length) {
  if (port->staged_capacity - port->staged_end < length) {
    size_t pending = port_staged(port);
    if (port->staged_start > 0) memmove(port->staged, port->staged + port->staged_start, pending);
    port->staged_start = 0;
    port->staged_end = pending;
    size_t capacity = port->staged_capacity ? port->staged_capacity : STAGE_TARGET;
    while (capacity - pending < length) capacity *= 2;
    if (capacity != port->staged_capacity) port->staged = must_alloc(realloc(port->staged, capacity));
    port->staged_capacity = capacity;
  }
  uint8_t *at = port->staged + port->staged_end;
  port->staged_end += length;
  return at;
}

size_t port_staged(const struct port *port) { return port->staged_end - port->staged_start; }

static void drop_current(struct port *port) {
  if (!port->current.bytes) return;
  port->ops->release(port, &port->current);
  port->current.bytes = NULL;
}

static void clear_staged(struct port *port) {
  port->staged_start = port->staged_end = 0;
  if (port->staged_capacity <= KEEP_CAPACITY) return;
  free(port->staged);
  port->staged = NULL;
  port->staged_capacity = 0;
}

void port_reset_output(struct port *port) {
  drop_current(port);
  clear_staged(port);
  port->blocked = false;
}

bool port_has_input(const struct port *port) { return port->readable && port_staged(port) < MAX_STAGED; }

void port_pump_input(struct port *port) {
  size_t slice = INPUT_SLICE;
  while (port_has_input(port) && slice > 0) {
    size_t room;
    uint8_t *at = reader_space(&port->reader, &room);
    ssize_t count = read(port->source.fd, at, room < slice ? room : slice);
    if (count > 0) {
      reader_filled(&port->reader, (size_t)count);
      slice -= (size_t)count;
      struct frame frame;
      while (reader_next(&port->reader, &frame)) port->ops->on_frame(port, &frame);
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else {
      /* Somebody took the device away: nothing that runs here would be heard of any more. */
      if (count < 0 && errno == ENODEV) die("its port to the host was removed", 0);
      port->readable = false;
      port->hung_up = count == 0 || errno != EAGAIN;
    }
  }
}

/* Returns the bytes written; 0 when the port takes none now. */
static size_t write_some(struct port *port, const uint8_t *bytes, size_t length) {
  ssize_t count = write(port->source.fd, bytes, length);
  if (count > 0) return (size_t)count;
  if (count < 0 && errno == EINTR) return 0;
  port->blocked = true;
  return 0;
}

static bool write_staged(struct port *port) {
  while (port_staged(port) > 0 && !port->blocked) {
    port->staged_start += write_some(port, port->staged + port->staged_start, port_staged(port));
  }
  if (port_staged(port) > 0) return false;
  clear_staged(port);
  return true;
}

static bool write_current(struct port *port) {
  while (port->current.bytes && !port->blocked) {
    port->current_written +=
        write_some(port, port->current.bytes + port->current_written, port->current.length - port->current_written);
    if (port->current_written == port->current.length) drop_current(port);
  }
  return port->current.bytes == NULL;
}

/* Takes small chunks into the staging buffer, or one large chunk as the current one. False when there is nothing. */
static bool refill(struct port *port) {
  if (!port->ops->next_chunk) return false;
  struct chunk chunk;
  while (port_staged(port) < STAGE_TARGET - SMALL_CHUNK && port->ops->next_chunk(port, &chunk)) {
    if (chunk.length > SMALL_CHUNK) {
      port->current = chunk;
      port->current_written = 0;
      return true;
    }
    memcpy(port_stage(port, chunk.length), chunk.bytes, chunk.length);
    port->ops->release(port, &chunk);
  }
  return port_staged(port) > 0;
}

void port_flush(struct port *port) {
  /* What is staged always comes before the current chunk. */
  while (!port->blocked) {
    if (!write_staged(port) || !write_current(port)) continue;
    if (!refill(port)) break;
  }
  uint32_t events = EPOLLIN | EPOLLET | (port->blocked ? EPOLLOUT : 0);
  source_watch(port->loop, &port->source, events);
}

bool port_drained(const struct port *port) { return port_staged(port) == 0 && !port->current.bytes; }
