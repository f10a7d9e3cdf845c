#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "die.h"

enum {
  /* Acknowledge when this much was taken: often enough for the window, seldom enough to be cheap. */
  ACK_BYTES = INPUT_WINDOW / 4,
  ACK_RECORDS = MAX_UNACKED_RECORDS / 8,
  CHUNK_CAPACITY = 4096,
};

static void free_chunks(struct input *in) {
  while (in->first) {
    struct input_chunk *chunk = in->first;
    in->first = chunk->next;
    free(chunk);
  }
  in->last = NULL;
}

void input_free(struct stream *stream) {
  free_chunks(&stream->in);
  stream->in.dead = true;
}

bool stream_input_waits(const struct stream *stream) { return stream->in.first != NULL; }

/* `all`: everything that will ever come was taken, which the host may wait for. */
static void acknowledge(struct stream *stream, bool all) {
  struct input *in = &stream->in;
  bool due = in->taken_offset - in->acked_offset >= ACK_BYTES || in->taken_seq - in->acked_seq >= ACK_RECORDS;
  if (!due && !(all && !in->dead)) return;
  in->acked_seq = in->taken_seq;
  in->acked_offset = in->taken_offset;
  struct builder *out = session_build(stream->agent);
  put_u64(out, TAG_SEQ, in->acked_seq);
  put_u64(out, TAG_OFFSET, in->acked_offset);
  session_send(stream->agent, MSG_ACK, 0, stream->id, out);
}

/* Returns how many bytes were taken; all of them when nobody can take any. */
static size_t offer(struct stream *stream, const uint8_t *bytes, size_t length) {
  struct input *in = &stream->in;
  if (in->dead || length == 0) return length;
  ssize_t count = stream->ops->take ? stream->ops->take(stream, bytes, length) : -1;
  if (count >= 0) return (size_t)count;
  in->dead = true;
  return length;
}

static void taken(struct input *in, uint64_t seq, uint64_t offset) {
  in->taken_seq = seq;
  in->taken_offset = offset;
}

void stream_pump_input(struct stream *stream) {
  struct input *in = &stream->in;
  bool fin = false;
  while (in->first) {
    struct input_chunk *chunk = in->first;
    size_t count = offer(stream, chunk->bytes + chunk->start, chunk->end - chunk->start);
    /* The chunk went with the stream. */
    if (stream->released) return;
    chunk->start += (uint32_t)count;
    if (chunk->start < chunk->end) break;
    taken(in, chunk->end_seq, chunk->end_offset);
    fin = chunk->fin;
    in->first = chunk->next;
    if (!in->first) in->last = NULL;
    free(chunk);
  }
  acknowledge(stream, fin);
  if (fin && stream->ops->input_ended) stream->ops->input_ended(stream);
}

/* Keeps what was not taken. Small records share a chunk, so that their number costs nothing. */
static void keep_rest(struct input *in, const uint8_t *bytes, size_t length, bool fin) {
  struct input_chunk *chunk = in->last;
  if (!chunk || chunk->capacity - chunk->end < length) {
    size_t capacity = length > CHUNK_CAPACITY ? length : CHUNK_CAPACITY;
    chunk = must_alloc(malloc(sizeof *chunk + capacity));
    *chunk = (struct input_chunk){.capacity = (uint32_t)capacity};
    if (in->last) {
      in->last->next = chunk;
    } else {
      in->first = chunk;
    }
    in->last = chunk;
  }
  if (length > 0) memcpy(chunk->bytes + chunk->end, bytes, length);
  chunk->end += (uint32_t)length;
  chunk->end_seq = in->next_seq;
  chunk->end_offset = in->next_offset;
  chunk->fin = fin;
}

static bool in_order(const struct input *in, const struct data_header *header, struct span bytes) {
  return header->channel == CHANNEL_IN && header->seq == in->next_seq && header->offset == in->next_offset &&
         !in->fin_received && in->next_offset + bytes.length - in->taken_offset <= INPUT_WINDOW &&
         in->next_seq - in->acked_seq < MAX_UNACKED_RECORDS;
}

void streams_input(struct agent *agent, uint32_t id, const struct data_header *header, struct span bytes) {
  struct stream *stream = stream_find(agent, id);
  if (!stream || !stream->opened || stream->released) return;
  struct input *in = &stream->in;
  if (header->seq < in->next_seq) return;
  if (!in_order(in, header, bytes)) {
    stream_fail(stream, EPROTO, "input", "the host sent a record out of order or beyond the window");
    return;
  }
  in->next_seq++;
  in->next_offset += bytes.length;
  in->fin_received = header->fin;
  size_t count = 0;
  if (!in->first) {
    count = offer(stream, bytes.bytes, bytes.length);
    if (stream->released) return;
  }
  if (!in->first && count == bytes.length) {
    taken(in, in->next_seq, in->next_offset);
    acknowledge(stream, header->fin);
    if (header->fin && stream->ops->input_ended) stream->ops->input_ended(stream);
  } else {
    keep_rest(in, bytes.bytes + count, bytes.length - count, header->fin);
  }
}
