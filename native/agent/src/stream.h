/*
 * Streams: numbered records in both directions, windows, acknowledgements, and what of it outlives a session. What a
 * stream is a stream of (a process, a file, a socket) is the business of its kind, which embeds a struct stream and
 * gives it a table of functions.
 *
 * Life: stream_add → stream_opened (reply of OPEN) → records → stream_end (END; the kind's resources are released) →
 * CLOSE, or a new session when the stream is not kept → freed.
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fields.h"
#include "frame.h"
#include "port.h"

struct agent;
struct stream;

struct stream_ops {
  /*
   * Takes bytes that the host sent, as many as go without waiting. -1: none can ever be taken again; what comes is
   * dropped. NULL: the kind takes no input.
   */
  ssize_t (*take)(struct stream *stream, const uint8_t *bytes, size_t length);
  /* Everything the host will ever send was taken. May end the stream. */
  void (*input_ended)(struct stream *stream);
  /* There is room for output again. NULL: the kind has no output. */
  void (*window_opened)(struct stream *stream);
  void (*signal)(struct stream *stream, int signo);
  void (*resize)(struct stream *stream, uint16_t rows, uint16_t cols);
  bool holds_files;
  /* The disk can be written again. */
  void (*thawed)(struct stream *stream);
  /* Ends what is left of it and gives back all resources but the struct itself. Called once. */
  void (*release)(struct stream *stream);
};

/* One record, as the frame that carries it. */
struct record {
  struct record *next;
  uint64_t read_at_ms, seq;
  uint32_t length; /* of the bytes */
  uint32_t holders;
  uint8_t frame[];
};

enum { RECORD_BYTES_AT = FRAME_HEADER + DATA_HEADER };

struct output {
  uint64_t next_seq, next_offset;
  uint64_t acked_seq, acked_offset;
  uint32_t window;
  /* From the first record not acknowledged (a kept stream) or not sent (another). */
  struct record *first, *last, *unsent;
  bool queued; /* for the bulk port */
  struct stream *queue_next;
};

/* Bytes that wait for the process, file or socket: of one record, or of several small ones. */
struct input_chunk {
  struct input_chunk *next;
  uint64_t end_seq, end_offset;
  bool fin;
  uint32_t start, end, capacity;
  uint8_t bytes[];
};

struct input {
  uint64_t next_seq, next_offset;   /* received */
  uint64_t taken_seq, taken_offset; /* taken by the process, file or socket */
  uint64_t acked_seq, acked_offset; /* told to the host */
  struct input_chunk *first, *last;
  bool fin_received, dead;
};

struct stream {
  struct agent *agent;
  struct stream *next;
  const struct stream_ops *ops;
  uint32_t id, pid;
  uint16_t port; /* of LISTEN */
  uint8_t kind, key_length;
  bool keep, opened, released, over;
  uint8_t key[MAX_KEY];
  struct output out;
  struct input in;
  struct builder end; /* the fields of END, once over */
};

struct stream_table {
  struct stream *first;
  uint32_t count, ttys;
  uint32_t last_connection; /* number of the last that came in */
  struct stream *queue_first, *queue_last; /* streams with records for the bulk port, in turn */
  struct record *spare;                    /* of full size, for reading into */
  struct once_key *once;
  uint32_t once_count;
};

struct stream *stream_find(struct agent *agent, uint32_t id);
/* Enters a zeroed stream, the first member of its kind's malloced struct, into the table. */
void stream_add(struct agent *agent, struct stream *stream, const struct stream_ops *ops);
/* Answers OPEN: the stream lives. */
void stream_opened(struct stream *stream);
/* Answers OPEN with an error, or takes back a stream that was not opened yet; frees the stream. */
void stream_refuse(struct stream *stream, int error, const char *step, const char *text);
/* Releases, if that has not happened, and frees. */
void stream_close(struct stream *stream);

/* Room for output, to be read into directly; NULL when the window is closed. At most `*room` bytes may be committed. */
uint8_t *stream_output_space(struct stream *stream, size_t *room);
void stream_output_commit(struct stream *stream, uint8_t channel, size_t length, bool fin);
/* True when the window has room. A kind that finds it closed stops reading and waits for window_opened. */
bool stream_has_room(const struct stream *stream);

/* Offers queued input to the kind again. */
void stream_pump_input(struct stream *stream);
bool stream_input_waits(const struct stream *stream);

/* The builder for the fields of END; `stream_end` completes it, sends END and releases the kind's resources. */
struct builder *stream_end_fields(struct stream *stream);
void stream_end(struct stream *stream);
/* END of a stream that failed. */
void stream_fail(struct stream *stream, int error, const char *step, const char *text);

void streams_input(struct agent *agent, uint32_t id, const struct data_header *header, struct span bytes);
void streams_thawed(struct agent *agent);
/* Ends the streams that hold files open: the disk is about to go. Those of processes end with their processes. */
void streams_detach(struct agent *agent);
void streams_acknowledged(struct agent *agent, uint32_t id, uint64_t seq, uint64_t offset);
/* Ends every stream that a new session does not inherit. */
void streams_begin_session(struct agent *agent);
/* The STREAM fields of the HELLO reply. */
void streams_describe(struct agent *agent, struct builder *out);
/* Queues what the kept streams must send again. */
void streams_resend(struct agent *agent);
bool streams_next_chunk(struct port *port, struct chunk *chunk);
void streams_release_chunk(struct port *port, struct chunk *chunk);

/* Keys of streams opened with ONCE. EEXIST, ENOSPC or 0. */
int once_check(struct agent *agent, struct span key);
void once_remember(struct agent *agent, struct span key);

#endif
