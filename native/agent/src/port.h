/*
 * One of the two ports to the host: a virtio-serial device, or a socket in tests. Input is read in slices, so that a busy
 * host cannot keep the loop from its other work. Output is collected and written without blocking, small frames
 * together: each write of a virtio port is a trip to the host.
 *
 * A virtio port is watched edge-triggered: while no host is connected it reports a hang-up for ever, and a parked
 * clone must sleep. Reading 0 bytes from it means just that; from a socket it means that the host has gone for good.
 */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "loop.h"

struct port;

/* More output for the port, written in one go. The bytes stay valid until `release`. */
struct chunk {
  const uint8_t *bytes;
  size_t length;
  void *owner;
};

struct port_ops {
  void (*on_frame)(struct port *port, const struct frame *frame);
  /* The next chunk to send, or false. NULL: the port sends only what was staged. */
  bool (*next_chunk)(struct port *port, struct chunk *chunk);
  void (*release)(struct port *port, struct chunk *chunk);
};

struct port {
  struct loop *loop;
  const struct port_ops *ops;
  void *context;
  struct source source;
  bool readable, hung_up;
  bool blocked; /* the last write was refused; the loop tells when to go on */
  uint8_t *staged;
  size_t staged_start, staged_end, staged_capacity;
  struct chunk current; /* being written on its own; `bytes` is NULL when there is none */
  size_t current_written;
  struct frame_reader reader;
};

void port_init(struct port *port, struct loop *loop, int fd, const struct port_ops *ops, void *context);
/* Room for `length` more bytes of staged output; the caller fills all of it. */
uint8_t *port_stage(struct port *port, size_t length);
size_t port_staged(const struct port *port);
/* Forgets all output that is not written, half a frame included. */
void port_reset_output(struct port *port);
/* True when there may be input, and replies to it have somewhere to go. */
bool port_has_input(const struct port *port);
/* Reads and handles a slice of input. */
void port_pump_input(struct port *port);
void port_flush(struct port *port);
/* True when everything is written. */
bool port_drained(const struct port *port);

#endif
