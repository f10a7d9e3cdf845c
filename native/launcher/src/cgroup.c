#include "cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include "fail.h"

void enter_cgroup(const char *procs_file) {
  int fd = open(procs_file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) fail_errno("open %s", procs_file);
  /* 0 stands for the process that writes. */
  if (write(fd, "0", 1) != 1) fail_errno("enter the cgroup of %s", procs_file);
  close(fd);
}
