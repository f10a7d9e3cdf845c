#include "output.h"

#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "die.h"
#include "wire.h"

enum {
  /*
   * A whole frame of this many bytes is two writes of a virtio port (32 KiB each); the largest record would need a
   * third for its last 16 bytes.
   */
  READ_SIZE = 65536 - FRAME_OVERHEAD - DATA_HEADER,
  /* With less window than this the agent waits for an acknowledgement rather than send slivers. */
  MIN_ROOM = 16384,
  /* A record of at least this size keeps the buffer that it was read into; a smaller one is copied. */
  KEEP_BUFFER = READ_SIZE / 2,
};

bool stream_has_room(const struct stream *stream) {
  const struct output *out = &stream->out;
  return out->next_offset - out->acked_offset + MIN_ROOM <= out->window &&
         out->next_seq - out->acked_seq < MAX_UNACKED_RECORDS;
}

static struct record *new_record(size_t length) {
  return must_alloc(malloc(sizeof(struct record) + FRAME_OVERHEAD + DATA_HEADER + length));
}

uint8_t *stream_output_space(struct stream *stream, size_t *room) {
  if (!stream_has_room(stream)) return NULL;
  struct stream_table *table = &stream->agent->streams;
  if (!table->spare) table->spare = new_record(READ_SIZE);
  uint64_t left = stream->out.window - (stream->out.next_offset - stream->out.acked_offset);
  *room = left < READ_SIZE ? (size_t)left : READ_SIZE;
  return table->spare->frame + RECORD_BYTES_AT;
}

static struct record *take_spare(struct stream_table *table, size_t length) {
  if (length == 0) return new_record(0);
  struct record *record = table->spare;
  if (length >= KEEP_BUFFER) {
    table->spare = NULL;
    return record;
  }
  struct record *copy = new_record(length);
  memcpy(copy->frame + RECORD_BYTES_AT, record->frame + RECORD_BYTES_AT, length);
  return copy;
}

static void enqueue(struct stream *stream) {
  struct stream_table *table = &stream->agent->streams;
  if (stream->out.queued) return;
  stream->out.queued = true;
  stream->out.queue_next = NULL;
  if (table->queue_last) {
    table->queue_last->out.queue_next = stream;
  } else {
    table->queue_first = stream;
  }
  table->queue_last = stream;
}

static void dequeue(struct stream *stream) {
  struct stream_table *table = &stream->agent->streams;
  if (!stream->out.queued) return;
  stream->out.queued = false;
  struct stream *before = NULL;
  for (struct stream *at = table->queue_first; at != stream; at = at->out.queue_next) before = at;
  if (before) {
    before->out.queue_next = stream->out.queue_next;
  } else {
    table->queue_first = stream->out.queue_next;
  }
  if (table->queue_last == stream) table->queue_last = before;
}

void stream_output_commit(struct stream *stream, uint8_t channel, size_t length, bool fin) {
  struct output *out = &stream->out;
  struct record *record = take_spare(&stream->agent->streams, length);
  record->next = NULL;
  record->seq = out->next_seq;
  record->read_at_ms = stream->agent->loop.now_ms;
  record->length = (uint32_t)length;
  record->holders = 1;
  frame_header(record->frame, MSG_DATA, 0, stream->id, (uint32_t)(DATA_HEADER + length));
  struct data_header header = {.channel = channel, .fin = fin, .seq = out->next_seq, .offset = out->next_offset};
  data_header_write(record->frame + FRAME_HEADER, &header);
  frame_trailer(record->frame + RECORD_BYTES_AT + length);
  out->next_seq++;
  out->next_offset += length;

  if (out->last) {
    out->last->next = record;
  } else {
    out->first = record;
  }
  out->last = record;
  if (!out->unsent) out->unsent = record;
  enqueue(stream);
}

static void drop(struct record *record) {
  if (--record->holders == 0) free(record);
}

static void forget_first(struct output *out) {
  struct record *record = out->first;
  out->first = record->next;
  if (!out->first) out->last = NULL;
  if (out->unsent == record) out->unsent = record->next;
  drop(record);
}

void output_free(struct stream *stream) {
  while (stream->out.first) forget_first(&stream->out);
  dequeue(stream);
}

void output_rewind(struct stream *stream) {
  stream->out.unsent = stream->out.first;
  if (stream->out.unsent) enqueue(stream);
}

void streams_acknowledged(struct agent *agent, uint32_t id, uint64_t seq, uint64_t offset) {
  struct stream *stream = stream_find(agent, id);
  if (!stream) return;
  struct output *out = &stream->out;
  if (seq <= out->acked_seq || seq > out->next_seq) return;
  if (offset < out->acked_offset || offset > out->next_offset) return;
  bool had_room = stream_has_room(stream);
  while (out->first && out->first->seq < seq) forget_first(out);
  out->acked_seq = seq;
  out->acked_offset = offset;
  if (!had_room && !stream->released && stream_has_room(stream) && stream->ops->window_opened) {
    stream->ops->window_opened(stream);
  }
}

bool streams_next_chunk(struct port *port, struct chunk *chunk) {
  struct agent *agent = port->context;
  struct stream *stream = agent->streams.queue_first;
  if (!stream || !agent->session.bulk_open) return false;
  dequeue(stream);
  struct output *out = &stream->out;
  struct record *record = out->unsent;
  if (!record) return streams_next_chunk(port, chunk);
  put32(record->frame + FRAME_HEADER + 4, (uint32_t)(agent->loop.now_ms - record->read_at_ms));
  *chunk = (struct chunk){
      .bytes = record->frame, .length = FRAME_OVERHEAD + DATA_HEADER + record->length, .owner = record};
  record->holders++;
  out->unsent = record->next;
  /* Nobody will ask again for a record of a stream that dies with the session. */
  if (!stream->keep) forget_first(out);
  if (out->unsent) enqueue(stream);
  return true;
}

void streams_release_chunk(struct port *port, struct chunk *chunk) { drop(chunk->owner); }
