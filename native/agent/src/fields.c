#include "fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "wire.h"

bool field_next(struct span *rest, struct field *field) {
  if (rest->length < FIELD_HEADER) return false;
  uint32_t length = get32(rest->bytes + 2);
  if (length > rest->length - FIELD_HEADER) return false;
  *field = (struct field){.tag = get16(rest->bytes), .value = {rest->bytes + FIELD_HEADER, length}};
  rest->bytes += FIELD_HEADER + length;
  rest->length -= FIELD_HEADER + length;
  return true;
}

bool fields_valid(struct span payload) {
  struct field field;
  while (field_next(&payload, &field)) continue;
  return payload.length == 0;
}

bool field_span(struct span payload, uint16_t tag, struct span *value) {
  struct field field;
  while (field_next(&payload, &field)) {
    if (field.tag != tag) continue;
    *value = field.value;
    return true;
  }
  return false;
}

static int number(struct span payload, uint16_t tag, void *value, size_t size) {
  struct span span;
  if (!field_span(payload, tag, &span)) return ENODATA;
  if (span.length != size) return EBADMSG;
  memcpy(value, span.bytes, size);
  return 0;
}

int field_u8(struct span payload, uint16_t tag, uint8_t *value) { return number(payload, tag, value, sizeof *value); }
int field_u16(struct span payload, uint16_t tag, uint16_t *value) { return number(payload, tag, value, sizeof *value); }
int field_u32(struct span payload, uint16_t tag, uint32_t *value) { return number(payload, tag, value, sizeof *value); }
int field_u64(struct span payload, uint16_t tag, uint64_t *value) { return number(payload, tag, value, sizeof *value); }

void builder_reset(struct builder *b) { b->length = 0; }

void builder_free(struct builder *b) {
  free(b->bytes);
  *b = (struct builder){0};
}

static uint8_t *grow(struct builder *b, size_t count) {
  if (b->capacity - b->length < count) {
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity - b->length < count) capacity *= 2;
    b->bytes = must_alloc(realloc(b->bytes, capacity));
    b->capacity = capacity;
  }
  uint8_t *at = b->bytes + b->length;
  b->length += count;
  return at;
}

void builder_append(struct builder *b, const void *bytes, size_t length) {
  uint8_t *at = grow(b, length);
  if (length > 0) memcpy(at, bytes, length);
}

void put_bytes(struct builder *b, uint16_t tag, const void *bytes, size_t length) {
  uint8_t *at = grow(b, FIELD_HEADER + length);
  put16(at, tag);
  put32(at + 2, (uint32_t)length);
  if (length > 0) memcpy(at + FIELD_HEADER, bytes, length);
}

void put_text(struct builder *b, uint16_t tag, const char *text) { put_bytes(b, tag, text, strlen(text)); }
void put_u8(struct builder *b, uint16_t tag, uint8_t value) { put_bytes(b, tag, &value, sizeof value); }
void put_u16(struct builder *b, uint16_t tag, uint16_t value) { put_bytes(b, tag, &value, sizeof value); }
void put_u32(struct builder *b, uint16_t tag, uint32_t value) { put_bytes(b, tag, &value, sizeof value); }
void put_u64(struct builder *b, uint16_t tag, uint64_t value) { put_bytes(b, tag, &value, sizeof value); }

size_t open_group(struct builder *b, uint16_t tag) {
  put_bytes(b, tag, NULL, 0);
  return b->length;
}

void close_group(struct builder *b, size_t group) { put32(b->bytes + group - 4, (uint32_t)(b->length - group)); }
