#include "limits.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"

static void close_from(unsigned first, unsigned last) {
  if (first <= last && syscall(SYS_close_range, first, last, 0)) fail_errno("close descriptors from %u", first);
}

void close_descriptors(int keep) {
  if (keep < 3) {
    close_from(3, ~0u);
    return;
  }
  close_from(3, (unsigned)keep - 1);
  close_from((unsigned)keep + 1, ~0u);
}

void set_limits(unsigned long nofile) {
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none)) fail_errno("forbid core files");
  if (!nofile) return;
  struct rlimit files = {nofile, nofile};
  if (setrlimit(RLIMIT_NOFILE, &files)) fail_errno("limit open files to %lu", nofile);
}
