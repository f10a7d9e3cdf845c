/* What a request did and how long each step took: "wait 0.3, flush 0.1, mount 6.5" (milliseconds), for people. */
#ifndef STEPS_H
#define STEPS_H

#include <stddef.h>
#include <stdint.h>

struct steps {
  uint64_t last_ns;
  size_t length;
  char text[512];
};

void steps_begin(struct steps *steps);
/* Ends the step that began when the one before ended. */
void steps_done(struct steps *steps, const char *name);

#endif
