/*
 * Frames: header, payload, trailer. The reader works on a byte stream that may begin in the middle of a frame and may
 * hold frames cut short by zeros (a host that went away while it wrote): it drops what is not a frame and goes on at the
 * next magic.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

struct frame {
  uint8_t type, flags;
  uint32_t id, length;
  const uint8_t *payload;
};

/* Two frames fit, so that bytes move at most once between being read and being taken. */
enum { READER_CAPACITY = 2 * MAX_FRAME };

struct frame_reader {
  size_t start, end;
  uint8_t buffer[READER_CAPACITY];
};

struct data_header {
  uint8_t channel;
  bool fin;
  uint32_t age_ms;
  uint64_t seq, offset;
};

/* Where to read bytes to; `room` is never 0 when reader_next was called until it returned false. */
uint8_t *reader_space(struct frame_reader *reader, size_t *room);
void reader_filled(struct frame_reader *reader, size_t count);
/* The next whole frame, if there is one. Its payload is valid until the next call of reader_space. */
bool reader_next(struct frame_reader *reader, struct frame *frame);

/* Writes FRAME_HEADER bytes; FRAME_TRAILER bytes. */
void frame_header(uint8_t *to, uint8_t type, uint8_t flags, uint32_t id, uint32_t length);
void frame_trailer(uint8_t *to);

/* Writes DATA_HEADER bytes; false when `length` is too small or a reserved byte is set. */
void data_header_write(uint8_t *to, const struct data_header *header);
bool data_header_read(struct data_header *header, const uint8_t *from, size_t length);

#endif
