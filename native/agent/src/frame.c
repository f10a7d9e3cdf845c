#include "frame.h"

#include <string.h>

#include "wire.h"

static const uint8_t magic[2] = {0x4D, 0x47};
/* No zero byte: a frame completed by zeros is always found out. */
static const uint8_t trailer[FRAME_TRAILER] = {0x3C, 0xC3, 0x5A, 0xA5};

void frame_header(uint8_t *to, uint8_t type, uint8_t flags, uint32_t id, uint32_t length) {
  memcpy(to, magic, sizeof magic);
  to[2] = type;
  to[3] = flags;
  put32(to + 4, id);
  put32(to + 8, length);
}

void frame_trailer(uint8_t *to) { memcpy(to, trailer, sizeof trailer); }

uint8_t *reader_space(struct frame_reader *r, size_t *room) {
  if (r->start == r->end) {
    r->start = r->end = 0;
  } else if (READER_CAPACITY - r->start < MAX_FRAME) {
    memmove(r->buffer, r->buffer + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
  }
  *room = READER_CAPACITY - r->end;
  return r->buffer + r->end;
}

void reader_filled(struct frame_reader *r, size_t count) { r->end += count; }

/* Moves start to the next place where a magic is or may begin. */
static void skip_to_magic(struct frame_reader *r) {
  while (r->start < r->end) {
    uint8_t *at = memchr(r->buffer + r->start, magic[0], r->end - r->start);
    if (!at) {
      r->start = r->end;
      return;
    }
    r->start = (size_t)(at - r->buffer);
    if (r->end - r->start < 2 || at[1] == magic[1]) return;
    r->start++;
  }
}

bool reader_next(struct frame_reader *r, struct frame *frame) {
  for (;;) {
    skip_to_magic(r);
    size_t have = r->end - r->start;
    if (have < FRAME_HEADER) return false;
    const uint8_t *p = r->buffer + r->start;
    uint32_t length = get32(p + 8);
    if (length > MAX_PAYLOAD || (p[3] & ~FLAGS_KNOWN)) {
      r->start += sizeof magic;
      continue;
    }
    if (have < FRAME_OVERHEAD + (size_t)length) return false;
    r->start += FRAME_OVERHEAD + (size_t)length;
    if (memcmp(p + FRAME_HEADER + length, trailer, sizeof trailer)) continue;
    *frame = (struct frame){
        .type = p[2], .flags = p[3], .id = get32(p + 4), .length = length, .payload = p + FRAME_HEADER};
    return true;
  }
}

void data_header_write(uint8_t *to, const struct data_header *h) {
  to[0] = h->channel;
  to[1] = h->fin ? 1 : 0;
  put16(to + 2, 0);
  put32(to + 4, h->age_ms);
  put64(to + 8, h->seq);
  put64(to + 16, h->offset);
}

bool data_header_read(struct data_header *h, const uint8_t *from, size_t length) {
  if (length < DATA_HEADER || from[1] > 1 || get16(from + 2) != 0) return false;
  *h = (struct data_header){.channel = from[0],
                            .fin = from[1] == 1,
                            .age_ms = get32(from + 4),
                            .seq = get64(from + 8),
                            .offset = get64(from + 16)};
  return true;
}
