#include "requests.h"

#include <errno.h>

#include "agent.h"
#include "freeze.h"
#include "open.h"
#include "reclaim.h"
#include "remove.h"

static void request_ping(struct agent *agent, const struct message *message) {
  struct span payload = {NULL, 0};
  field_span(message->fields, TAG_PAYLOAD, &payload);
  if (payload.length > MAX_PING) {
    session_fail(agent, message->type, message->id, EMSGSIZE, "PING", "a PING carries at most 1 KiB");
    return;
  }
  struct builder *out = session_build(agent);
  put_bytes(out, TAG_PAYLOAD, payload.bytes, payload.length);
  session_reply(agent, message, out);
}

static void request_shutdown(struct agent *agent, const struct message *message) {
  /* What is to be written out could not be while it is frozen. */
  disk_thaw(agent);
  session_reply(agent, message, session_build(agent));
  agent->session.shutting_down = true;
}

static void on_ack(struct agent *agent, const struct message *message) {
  uint64_t seq, offset;
  if (field_u64(message->fields, TAG_SEQ, &seq) || field_u64(message->fields, TAG_OFFSET, &offset)) return;
  streams_acknowledged(agent, message->id, seq, offset);
}

static void on_signal(struct agent *agent, const struct message *message) {
  uint32_t signo;
  struct stream *stream = stream_find(agent, message->id);
  if (!stream || stream->released || !stream->ops->signal) return;
  if (field_u32(message->fields, TAG_SIGNO, &signo) || signo == 0 || signo > 64) return;
  stream->ops->signal(stream, (int)signo);
}

static void on_resize(struct agent *agent, const struct message *message) {
  uint16_t rows, cols;
  struct stream *stream = stream_find(agent, message->id);
  if (!stream || stream->released || !stream->ops->resize) return;
  if (field_u16(message->fields, TAG_ROWS, &rows) || field_u16(message->fields, TAG_COLS, &cols)) return;
  stream->ops->resize(stream, rows, cols);
}

static void on_close(struct agent *agent, const struct message *message) {
  struct stream *stream = stream_find(agent, message->id);
  if (stream) stream_close(stream);
  session_forget_deferred(agent, message->id);
}

typedef void handler(struct agent *agent, const struct message *message);

struct route {
  handler *handle;
  bool one_way;   /* no answer, not even to a malformed one */
  bool init_only; /* needs a microVM */
};

static const struct route routes[] = {
    [MSG_PING] = {.handle = request_ping},
    [MSG_IDENT] = {.handle = request_ident, .init_only = true},
    [MSG_DISK_ATTACH] = {.handle = request_disk_attach, .init_only = true},
    [MSG_DISK_DETACH] = {.handle = request_disk_detach, .init_only = true},
    [MSG_SYNC] = {.handle = request_sync, .init_only = true},
    [MSG_FREEZE] = {.handle = request_freeze, .init_only = true},
    [MSG_THAW] = {.handle = request_thaw, .init_only = true},
    [MSG_GROW] = {.handle = request_grow, .init_only = true},
    [MSG_STATS] = {.handle = request_stats},
    [MSG_STAT] = {.handle = request_stat},
    [MSG_SHUTDOWN] = {.handle = request_shutdown, .init_only = true},
    [MSG_CLOCK] = {.handle = request_clock, .init_only = true},
    [MSG_REMOVE] = {.handle = request_remove},
    [MSG_RENAME] = {.handle = request_rename},
    [MSG_MKDIR] = {.handle = request_mkdir},
    [MSG_AWAKE] = {.handle = request_awake, .init_only = true},
    [MSG_RECLAIM] = {.handle = request_reclaim, .init_only = true},
    [MSG_OPEN] = {.handle = request_open},
    [MSG_ACK] = {.handle = on_ack, .one_way = true},
    [MSG_SIGNAL] = {.handle = on_signal, .one_way = true},
    [MSG_RESIZE] = {.handle = on_resize, .one_way = true},
    [MSG_CLOSE] = {.handle = on_close, .one_way = true},
};

void handle_request(struct agent *agent, const struct message *message) {
  static const struct route unknown = {0};
  const struct route *route = &unknown;
  if (message->type < sizeof routes / sizeof routes[0]) route = &routes[message->type];
  if (route->one_way) {
    if (fields_valid(message->fields)) route->handle(agent, message);
    return;
  }
  int error = 0;
  if (!route->handle || (route->init_only && !agent->is_init)) error = ENOSYS;
  if (message->id == 0 || !fields_valid(message->fields)) error = EBADMSG;
  if (error) {
    session_fail(agent, message->type, message->id, error, "request", NULL);
  } else {
    route->handle(agent, message);
  }
}
