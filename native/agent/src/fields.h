/* The payload of a control message: fields of tag (u16), length (u32) and bytes. */
#ifndef FIELDS_H
#define FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

struct span {
  const uint8_t *bytes;
  size_t length;
};

struct field {
  uint16_t tag;
  struct span value;
};

/* Takes the first field off `rest`. False at the end, and when a field ends beyond the payload. */
bool field_next(struct span *rest, struct field *field);
/* True when the payload is a sequence of whole fields. */
bool fields_valid(struct span payload);

/* Value of the first field with that tag; false when there is none. */
bool field_span(struct span payload, uint16_t tag, struct span *value);
/*
 * Numbers: 0 when the field has exactly the size of the type, ENODATA when it is missing (and `value` is left as it
 * is, which makes defaults easy), EBADMSG when its size is wrong.
 */
int field_u8(struct span payload, uint16_t tag, uint8_t *value);
int field_u16(struct span payload, uint16_t tag, uint16_t *value);
int field_u32(struct span payload, uint16_t tag, uint32_t *value);
int field_u64(struct span payload, uint16_t tag, uint64_t *value);

/* A message under construction. The buffer grows and is reused; the owner frees it. */
struct builder {
  uint8_t *bytes;
  size_t length, capacity;
};

void builder_reset(struct builder *b);
void builder_free(struct builder *b);
void builder_append(struct builder *b, const void *bytes, size_t length);
void put_bytes(struct builder *b, uint16_t tag, const void *bytes, size_t length);
void put_text(struct builder *b, uint16_t tag, const char *text);
void put_u8(struct builder *b, uint16_t tag, uint8_t value);
void put_u16(struct builder *b, uint16_t tag, uint16_t value);
void put_u32(struct builder *b, uint16_t tag, uint32_t value);
void put_u64(struct builder *b, uint16_t tag, uint64_t value);
/* A field that holds fields: what is put between the two calls. `open_group` returns what `close_group` needs. */
size_t open_group(struct builder *b, uint16_t tag);
void close_group(struct builder *b, size_t group);

#endif
