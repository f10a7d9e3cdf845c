/*
 * The conversation with one host process: HELLO, messages put together from frames, replies. A session begins with HELLO
 * on the control port and lasts until the next; nothing is served before the first.
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "fields.h"
#include "frame.h"
#include "port.h"

struct agent;

struct message {
  uint8_t type;
  uint32_t id;
  struct span fields;
};

/* A message that comes in several frames. */
struct assembly {
  bool active, oversized;
  uint8_t type;
  uint32_t id;
  struct builder bytes;
};

/* A request that must wait until the disk is thawed. */
struct deferred {
  struct deferred *next;
  struct message message;
  uint8_t bytes[];
};

struct session {
  bool open;
  bool bulk_open; /* HELLO came on both ports */
  uint8_t nonce[NONCE_SIZE];
  bool bulk_greeted;
  uint8_t bulk_nonce[NONCE_SIZE];
  struct assembly assembly;
  struct deferred *deferred, **deferred_tail;
  struct builder out; /* the message being built by a reply */
  bool shutting_down;
};

void session_init(struct agent *agent);

extern const struct port_ops control_port_ops;
extern const struct port_ops bulk_port_ops;

/* Sends what was put into the builder, cut into frames. */
void session_send(struct agent *agent, uint8_t type, uint8_t flags, uint32_t id, const struct builder *payload);
/* The session's builder, empty. */
struct builder *session_build(struct agent *agent);
void session_reply(struct agent *agent, const struct message *message, const struct builder *payload);
/* `error`: errno; `step`: what was being done; `text` may be NULL. */
void session_fail(struct agent *agent, uint8_t type, uint32_t id, int error, const char *step, const char *text);

/* Keeps a request until session_run_deferred. */
void session_defer(struct agent *agent, const struct message *message);
void session_run_deferred(struct agent *agent);
/* The host has given up an OPEN that waits. */
void session_forget_deferred(struct agent *agent, uint32_t id);
/* Answers all of them with an error. */
void session_drop_deferred(struct agent *agent, int error);

#endif
