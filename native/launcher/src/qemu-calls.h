#ifndef MAGS_LAUNCH_QEMU_CALLS_H
#define MAGS_LAUNCH_QEMU_CALLS_H

#include <stddef.h>
#include <stdint.h>

/* A system call that is allowed when argument number `argument`, masked, has the value. */
struct condition {
  unsigned call;
  unsigned argument;
  uint64_t mask;
  uint64_t value;
};

/* What the QEMU of the runtime root asks of the kernel, in whatever mode a microVM uses it. */
extern const struct condition QEMU_CONDITIONS[];
extern const size_t QEMU_CONDITION_COUNT;
extern const unsigned QEMU_ALLOWED[];
extern const size_t QEMU_ALLOWED_COUNT;

/* Calls that do not exist for the program, so that its C library takes an older one that can be examined. */
extern const unsigned QEMU_ABSENT[];
extern const size_t QEMU_ABSENT_COUNT;

/* Calls that nothing in QEMU makes: whoever does has taken it over, and ends. */
extern const unsigned QEMU_FATAL[];
extern const size_t QEMU_FATAL_COUNT;

#endif
