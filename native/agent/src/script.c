#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "open.h"

bool script_has_interpreter(struct span text) {
  return text.length >= 2 && text.bytes[0] == '#' && text.bytes[1] == '!';
}

static int create(const char *path) { return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0700); }

static int write_all(int fd, struct span text) {
  while (text.length > 0) {
    ssize_t count = write(fd, text.bytes, text.length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    text.bytes += count;
    text.length -= (size_t)count;
  }
  return 0;
}

char *script_write(struct agent *agent, struct span text, int *error) {
  char path[PATH_MAX];
  int fd;
  do {
    snprintf(path, sizeof path, "%s/run/mags/script-%u", agent->root, ++agent->names_made);
    fd = create(path);
    /* Somebody tidied up /run. */
    if (fd < 0 && errno == ENOENT && make_directories(path, false) == 0) fd = create(path);
  } while (fd < 0 && errno == EEXIST);
  if (fd < 0) {
    *error = errno;
    return NULL;
  }
  *error = write_all(fd, text);
  close(fd);
  if (*error) {
    unlink(path);
    return NULL;
  }
  return must_alloc(strdup(path));
}

void script_remove(char *path) {
  if (path) unlink(path);
}
