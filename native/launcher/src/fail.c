#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One write for the whole line: several launchers may share the log. */
static void put_line(const char *format, va_list args, int error) {
  char line[2048];
  size_t room = sizeof line - 1;
  int used = snprintf(line, room, "mags-launch: ");
  int more = vsnprintf(line + used, room - (size_t)used, format, args);
  used = more < 0 ? used : used + more;
  if (error && (size_t)used < room) {
    more = snprintf(line + used, room - (size_t)used, ": %s (errno %d)", strerror(error), error);
    used = more < 0 ? used : used + more;
  }
  size_t length = (size_t)used < room ? (size_t)used : room - 1;
  line[length] = '\n';
  fwrite(line, 1, length + 1, stderr);
}

void fail_errno(const char *format, ...) {
  int error = errno;
  va_list args;
  va_start(args, format);
  put_line(format, args, error);
  va_end(args);
  exit(LAUNCH_FAILED);
}

void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  put_line(format, args, 0);
  va_end(args);
  exit(LAUNCH_FAILED);
}
