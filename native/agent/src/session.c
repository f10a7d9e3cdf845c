#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "remove.h"
#include "die.h"
#include "requests.h"

void session_init(struct agent *agent) {
  agent->session = (struct session){.deferred_tail = &agent->session.deferred};
}

struct builder *session_build(struct agent *agent) {
  builder_reset(&agent->session.out);
  return &agent->session.out;
}

void session_send(struct agent *agent, uint8_t type, uint8_t flags, uint32_t id, const struct builder *payload) {
  if (!agent->session.open) return;
  size_t sent = 0;
  do {
    size_t length = payload->length - sent;
    bool more = length > MAX_PAYLOAD;
    if (more) length = MAX_PAYLOAD;
    uint8_t *at = port_stage(&agent->control, FRAME_OVERHEAD + length);
    frame_header(at, type, (uint8_t)(flags | (more ? FLAG_MORE : 0)), id, (uint32_t)length);
    if (length > 0) memcpy(at + FRAME_HEADER, payload->bytes + sent, length);
    frame_trailer(at + FRAME_HEADER + length);
    sent += length;
  } while (sent < payload->length);
}

void session_reply(struct agent *agent, const struct message *message, const struct builder *payload) {
  session_send(agent, message->type, FLAG_REPLY, message->id, payload);
}

void session_fail(struct agent *agent, uint8_t type, uint32_t id, int error, const char *step, const char *text) {
  struct builder *out = session_build(agent);
  put_u32(out, TAG_ERRNO, (uint32_t)error);
  put_text(out, TAG_STEP, step);
  if (text) put_text(out, TAG_MESSAGE, text);
  session_send(agent, type, FLAG_REPLY | FLAG_ERROR, id, out);
}

static void append_deferred(struct session *session, struct deferred *deferred) {
  deferred->next = NULL;
  *session->deferred_tail = deferred;
  session->deferred_tail = &deferred->next;
}

void session_defer(struct agent *agent, const struct message *message) {
  struct deferred *deferred = must_alloc(malloc(sizeof *deferred + message->fields.length));
  memcpy(deferred->bytes, message->fields.bytes, message->fields.length);
  deferred->message = *message;
  deferred->message.fields.bytes = deferred->bytes;
  append_deferred(&agent->session, deferred);
}

static struct deferred *take_deferred(struct session *session) {
  struct deferred *first = session->deferred;
  session->deferred = NULL;
  session->deferred_tail = &session->deferred;
  return first;
}

void session_run_deferred(struct agent *agent) {
  struct deferred *next;
  for (struct deferred *deferred = take_deferred(&agent->session); deferred; deferred = next) {
    next = deferred->next;
    handle_request(agent, &deferred->message);
    free(deferred);
  }
}

void session_forget_deferred(struct agent *agent, uint32_t id) {
  struct deferred *next;
  for (struct deferred *deferred = take_deferred(&agent->session); deferred; deferred = next) {
    next = deferred->next;
    if (deferred->message.type == MSG_OPEN && deferred->message.id == id) {
      free(deferred);
    } else {
      append_deferred(&agent->session, deferred);
    }
  }
}

void session_drop_deferred(struct agent *agent, int error) {
  struct deferred *next;
  for (struct deferred *deferred = take_deferred(&agent->session); deferred; deferred = next) {
    next = deferred->next;
    session_fail(agent, deferred->message.type, deferred->message.id, error, "wait for the thaw", NULL);
    free(deferred);
  }
}

/* Data goes out once HELLO came on both ports with the same nonce. */
static void open_bulk(struct agent *agent) {
  struct session *session = &agent->session;
  session->bulk_open =
      session->open && session->bulk_greeted && !memcmp(session->nonce, session->bulk_nonce, NONCE_SIZE);
  if (!session->bulk_open) return;
  struct builder *out = session_build(agent);
  put_bytes(out, TAG_NONCE, session->nonce, NONCE_SIZE);
  uint8_t *at = port_stage(&agent->bulk, FRAME_OVERHEAD + out->length);
  frame_header(at, MSG_HELLO, FLAG_REPLY, 0, (uint32_t)out->length);
  memcpy(at + FRAME_HEADER, out->bytes, out->length);
  frame_trailer(at + FRAME_HEADER + out->length);
}

static bool read_nonce(struct span fields, uint8_t *nonce) {
  struct span value;
  if (!fields_valid(fields) || !field_span(fields, TAG_NONCE, &value) || value.length != NONCE_SIZE) return false;
  memcpy(nonce, value.bytes, NONCE_SIZE);
  return true;
}

static void begin_session(struct agent *agent, struct span fields) {
  struct session *session = &agent->session;
  if (!read_nonce(fields, session->nonce)) return;
  uint16_t oldest = 0, newest = 0;
  bool versions = !field_u16(fields, TAG_VERSION_MIN, &oldest) && !field_u16(fields, TAG_VERSION_MAX, &newest);
  bool served = versions && oldest <= PROTOCOL_VERSION && newest >= PROTOCOL_VERSION;

  /* The host that asked has gone; what is answered to it goes with the rest of the output. */
  session_drop_deferred(agent, ECANCELED);
  port_reset_output(&agent->control);
  session->assembly.active = false;
  session->open = true;
  if (!served) {
    struct builder *out = session_build(agent);
    put_bytes(out, TAG_NONCE, session->nonce, NONCE_SIZE);
    put_u32(out, TAG_ERRNO, EPROTONOSUPPORT);
    put_text(out, TAG_STEP, "HELLO");
    put_text(out, TAG_MESSAGE, "this agent speaks version 1 of the protocol only");
    session_send(agent, MSG_HELLO, FLAG_REPLY | FLAG_ERROR, 0, out);
    session->open = session->bulk_open = false;
    return;
  }
  streams_begin_session(agent);
  removals_forget(agent);
  struct builder *out = session_build(agent);
  put_bytes(out, TAG_NONCE, session->nonce, NONCE_SIZE);
  put_u16(out, TAG_VERSION, PROTOCOL_VERSION);
  put_text(out, TAG_AGENT_BUILD, AGENT_BUILD);
  put_bytes(out, TAG_IDENTITY, agent->identity.machine_id, sizeof agent->identity.machine_id);
  put_u8(out, TAG_DISK_STATE, disk_state(agent));
  streams_describe(agent, out);
  session_send(agent, MSG_HELLO, FLAG_REPLY, 0, out);
  open_bulk(agent);
  streams_resend(agent);
}

static void dispatch(struct agent *agent, const struct message *message) {
  if (message->type == MSG_HELLO) {
    begin_session(agent, message->fields);
  } else if (agent->session.open) {
    handle_request(agent, message);
  }
}

static void oversized(struct agent *agent) {
  const struct assembly *assembly = &agent->session.assembly;
  session_fail(agent, assembly->type, assembly->id, EMSGSIZE, "message", "a message may have at most 2 MiB");
}

static void on_control_frame(struct port *port, const struct frame *frame) {
  struct agent *agent = port->context;
  struct assembly *assembly = &agent->session.assembly;
  if (assembly->active && (assembly->type != frame->type || assembly->id != frame->id)) assembly->active = false;
  bool more = frame->flags & FLAG_MORE;
  if (!assembly->active && !more) {
    dispatch(agent, &(struct message){frame->type, frame->id, {frame->payload, frame->length}});
    return;
  }
  if (!assembly->active) {
    builder_reset(&assembly->bytes);
    *assembly = (struct assembly){.active = true, .type = frame->type, .id = frame->id, .bytes = assembly->bytes};
  }
  if (assembly->bytes.length + frame->length > MAX_MESSAGE) assembly->oversized = true;
  if (!assembly->oversized) builder_append(&assembly->bytes, frame->payload, frame->length);
  if (more) return;
  assembly->active = false;
  if (assembly->oversized) {
    oversized(agent);
  } else {
    dispatch(agent, &(struct message){frame->type, frame->id, {assembly->bytes.bytes, assembly->bytes.length}});
  }
  builder_free(&assembly->bytes);
}

static void on_bulk_frame(struct port *port, const struct frame *frame) {
  struct agent *agent = port->context;
  struct session *session = &agent->session;
  if (frame->type == MSG_HELLO) {
    session->bulk_greeted = read_nonce((struct span){frame->payload, frame->length}, session->bulk_nonce);
    port_reset_output(port);
    open_bulk(agent);
  } else if (frame->type == MSG_DATA && session->bulk_open) {
    struct data_header header;
    if (!data_header_read(&header, frame->payload, frame->length)) return;
    struct span bytes = {frame->payload + DATA_HEADER, frame->length - DATA_HEADER};
    streams_input(agent, frame->id, &header, bytes);
  }
}

const struct port_ops control_port_ops = {.on_frame = on_control_frame};
const struct port_ops bulk_port_ops = {
    .on_frame = on_bulk_frame, .next_chunk = streams_next_chunk, .release = streams_release_chunk};
