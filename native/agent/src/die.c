#include "die.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void die(const char *what, int error) {
  if (error) {
    dprintf(STDERR_FILENO, "mags-agent: %s: %s\n", what, strerror(error));
  } else {
    dprintf(STDERR_FILENO, "mags-agent: %s\n", what);
  }
  _exit(70);
}

void *must_alloc(void *memory) {
  if (!memory) die("out of memory", 0);
  return memory;
}
