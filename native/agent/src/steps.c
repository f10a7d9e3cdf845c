#include "steps.h"

#include <stdio.h>

#include "loop.h"

void steps_begin(struct steps *steps) {
  steps->last_ns = boot_clock_ns();
  steps->length = 0;
  steps->text[0] = 0;
}

void steps_done(struct steps *steps, const char *name) {
  uint64_t now = boot_clock_ns();
  uint64_t tenths = (now - steps->last_ns + 50000) / 100000;
  steps->last_ns = now;
  size_t room = sizeof steps->text - steps->length;
  int count = snprintf(steps->text + steps->length, room, "%s%s %u.%u", steps->length ? ", " : "", name,
                       (unsigned)(tenths / 10), (unsigned)(tenths % 10));
  if (count > 0 && (size_t)count < room) steps->length += (size_t)count;
}
