#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "input.h"
#include "output.h"

struct stream *stream_find(struct agent *agent, uint32_t id) {
  struct stream *stream = agent->streams.first;
  while (stream && stream->id != id) stream = stream->next;
  return stream;
}

void stream_add(struct agent *agent, struct stream *stream, const struct stream_ops *ops) {
  struct stream_table *table = &agent->streams;
  stream->agent = agent;
  stream->ops = ops;
  stream->next = table->first;
  table->first = stream;
  table->count++;
  if (stream->kind == KIND_PTY) table->ttys++;
}

static void remove_from_table(struct stream *stream) {
  struct stream_table *table = &stream->agent->streams;
  struct stream **at = &table->first;
  while (*at != stream) at = &(*at)->next;
  *at = stream->next;
  table->count--;
}

static void release(struct stream *stream) {
  if (stream->released) return;
  stream->released = true;
  if (stream->kind == KIND_PTY) stream->agent->streams.ttys--;
  stream->ops->release(stream);
}

void stream_opened(struct stream *stream) {
  stream->opened = true;
  struct builder *out = session_build(stream->agent);
  put_u32(out, TAG_WINDOW, INPUT_WINDOW);
  if (stream->pid) put_u32(out, TAG_PID, stream->pid);
  if (stream->port) put_u16(out, TAG_PORT, stream->port);
  session_send(stream->agent, MSG_OPEN, FLAG_REPLY, stream->id, out);
}

void stream_refuse(struct stream *stream, int error, const char *step, const char *text) {
  session_fail(stream->agent, MSG_OPEN, stream->id, error, step, text);
  stream_close(stream);
}

void stream_close(struct stream *stream) {
  release(stream);
  output_free(stream);
  input_free(stream);
  builder_free(&stream->end);
  remove_from_table(stream);
  free(stream);
}

struct builder *stream_end_fields(struct stream *stream) {
  builder_reset(&stream->end);
  put_u64(&stream->end, TAG_SENT, stream->out.next_seq);
  return &stream->end;
}

void stream_end(struct stream *stream) {
  stream->over = true;
  session_send(stream->agent, MSG_END, 0, stream->id, &stream->end);
  release(stream);
  input_free(stream);
}

void stream_fail(struct stream *stream, int error, const char *step, const char *text) {
  struct builder *end = stream_end_fields(stream);
  put_u32(end, TAG_ERRNO, (uint32_t)error);
  put_text(end, TAG_STEP, step);
  if (text) put_text(end, TAG_MESSAGE, text);
  stream_end(stream);
}

void streams_begin_session(struct agent *agent) {
  struct stream *next;
  for (struct stream *stream = agent->streams.first; stream; stream = next) {
    next = stream->next;
    /* One whose OPEN was not answered is a request that is forgotten. */
    if (!stream->keep || !stream->opened) stream_close(stream);
  }
}

void streams_describe(struct agent *agent, struct builder *out) {
  for (struct stream *stream = agent->streams.first; stream; stream = stream->next) {
    size_t group = open_group(out, TAG_STREAM);
    put_u32(out, TAG_STREAM_ID, stream->id);
    put_u8(out, TAG_KIND, stream->kind);
    put_bytes(out, TAG_KEY, stream->key, stream->key_length);
    put_u64(out, TAG_SENT, stream->out.next_seq);
    put_u64(out, TAG_ACKED, stream->out.acked_seq);
    put_u64(out, TAG_RECEIVED, stream->in.next_seq);
    put_u64(out, TAG_OFFSET, stream->in.next_offset);
    put_u64(out, TAG_SEQ, stream->in.taken_seq);
    put_u64(out, TAG_BYTES, stream->in.taken_offset);
    put_u32(out, TAG_WINDOW, INPUT_WINDOW);
    put_u8(out, TAG_ENDED, stream->over ? 1 : 0);
    if (stream->pid) put_u32(out, TAG_PID, stream->pid);
    close_group(out, group);
    /* What is described as taken needs no acknowledgement of its own. */
    stream->in.acked_seq = stream->in.taken_seq;
    stream->in.acked_offset = stream->in.taken_offset;
  }
}

void streams_resend(struct agent *agent) {
  for (struct stream *stream = agent->streams.first; stream; stream = stream->next) {
    output_rewind(stream);
    if (stream->over) session_send(agent, MSG_END, 0, stream->id, &stream->end);
  }
}

void streams_thawed(struct agent *agent) {
  for (struct stream *stream = agent->streams.first; stream; stream = stream->next) {
    if (stream->ops->thawed && stream->opened && !stream->released) stream->ops->thawed(stream);
  }
}

void streams_detach(struct agent *agent) {
  for (struct stream *stream = agent->streams.first; stream; stream = stream->next) {
    if (stream->ops->holds_files && !stream->released) {
      stream_fail(stream, ECANCELED, "detach", "the disk of the microVM was detached");
    }
  }
}
