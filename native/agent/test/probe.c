/*
 * Decodes and encodes frames with the agent's own code, for the test vectors that both sides share. Each line of stdin is a
 * byte stream in hexadecimal, given to a new reader; for each frame in it one line is printed:
 *
 *   TYPE FLAGS ID TAG=HEX ... = HEX                                   a control frame: its fields, and encoded again
 *   TYPE FLAGS ID channel=N fin=N age=N seq=N offset=N bytes=HEX = HEX     DATA
 *   TYPE FLAGS ID malformed                                           a payload that is not what its type needs
 *
 * and a line "." at the end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "frame.h"

static int digit(char c) {
  const char *digits = "0123456789abcdef";
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

static void print_hex(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) printf("%02x", bytes[i]);
}

static void print_encoded(const struct frame *frame, const uint8_t *payload, size_t length) {
  uint8_t *bytes = malloc(FRAME_OVERHEAD + length);
  frame_header(bytes, frame->type, frame->flags, frame->id, (uint32_t)length);
  if (length > 0) memcpy(bytes + FRAME_HEADER, payload, length);
  frame_trailer(bytes + FRAME_HEADER + length);
  printf(" = ");
  print_hex(bytes, FRAME_OVERHEAD + length);
  free(bytes);
}

static void print_data(const struct frame *frame) {
  struct data_header header;
  if (!data_header_read(&header, frame->payload, frame->length)) {
    printf(" malformed");
    return;
  }
  size_t length = frame->length - DATA_HEADER;
  printf(" channel=%u fin=%d age=%u seq=%" PRIu64 " offset=%" PRIu64 " bytes=", header.channel, header.fin, header.age_ms,
         header.seq, header.offset);
  print_hex(frame->payload + DATA_HEADER, length);
  uint8_t *payload = malloc(frame->length);
  data_header_write(payload, &header);
  memcpy(payload + DATA_HEADER, frame->payload + DATA_HEADER, length);
  print_encoded(frame, payload, frame->length);
  free(payload);
}

static void print_fields(const struct frame *frame) {
  struct span rest = {frame->payload, frame->length};
  if (!fields_valid(rest)) {
    printf(" malformed");
    return;
  }
  struct builder out = {0};
  struct field field;
  while (field_next(&rest, &field)) {
    printf(" %u=", field.tag);
    print_hex(field.value.bytes, field.value.length);
    put_bytes(&out, field.tag, field.value.bytes, field.value.length);
  }
  print_encoded(frame, out.bytes, out.length);
  builder_free(&out);
}

static void decode(struct frame_reader *reader) {
  struct frame frame;
  while (reader_next(reader, &frame)) {
    printf("%u %u %u", frame.type, frame.flags, frame.id);
    if (frame.type == MSG_DATA) {
      print_data(&frame);
    } else {
      print_fields(&frame);
    }
    printf("\n");
  }
}

static void decode_line(const char *line, size_t length) {
  struct frame_reader *reader = calloc(1, sizeof *reader);
  for (size_t i = 0; i + 1 < length; i += 2) {
    /* One byte at a time: no split of a stream may make a difference. */
    size_t room;
    *reader_space(reader, &room) = (uint8_t)(digit(line[i]) << 4 | digit(line[i + 1]));
    reader_filled(reader, 1);
    decode(reader);
  }
  free(reader);
  printf(".\n");
}

int main(void) {
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, stdin)) > 0) {
    if (line[length - 1] == '\n') length--;
    decode_line(line, (size_t)length);
  }
  free(line);
}
