#include "modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boot.h"

static void load(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  /* EEXIST: the kernel has it built in, or loaded it already. */
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) warn(path, errno);
  if (fd >= 0) close(fd);
  unlink(path);
}

void modules_load(void) {
  struct dirent **entries;
  int count = scandir("/mods", &entries, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/mods/%s", entries[i]->d_name);
    if (entries[i]->d_name[0] != '.') load(path);
    free(entries[i]);
  }
  if (count >= 0) free(entries);
  rmdir("/mods");
}
