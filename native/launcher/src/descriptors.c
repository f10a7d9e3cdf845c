#include "descriptors.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"

void place_descriptor(int from, int to, const char *what) {
  if (from == to) {
    if (fcntl(from, F_SETFD, 0)) fail_errno("pass %s as descriptor %d", what, to);
    return;
  }
  if (dup2(from, to) < 0) fail_errno("pass %s as descriptor %d", what, to);
  close(from);
}

static void close_range_of(unsigned first, unsigned last) {
  if (first <= last && syscall(SYS_close_range, first, last, 0)) fail_errno("close descriptors from %u", first);
}

void close_descriptors(const int *keep, size_t count) {
  for (unsigned first = 3;;) {
    unsigned kept = ~0u; /* the lowest of those still ahead */
    for (size_t i = 0; i < count; i++)
      if ((unsigned)keep[i] >= first && (unsigned)keep[i] < kept) kept = (unsigned)keep[i];
    if (kept == ~0u) {
      close_range_of(first, ~0u);
      return;
    }
    if (kept > first) close_range_of(first, kept - 1);
    first = kept + 1;
  }
}
