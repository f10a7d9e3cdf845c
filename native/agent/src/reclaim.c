#include "reclaim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent.h"
#include "freeze.h"
#include "steps.h"

enum { PAGE = 4096, MIB = 1024 * 1024, RESERVE = 64 * MIB, LARGE = 96 * MIB, MOST_URGENT = -20 };

/* Free memory in blocks smaller than the largest: nearly all of it was in use before. */
static size_t fragmented_bytes(void) {
  FILE *file = fopen("/proc/buddyinfo", "re");
  if (!file) return 0;
  char line[512];
  size_t pages = 0;
  while (fgets(line, sizeof line, file)) {
    int head = 0;
    sscanf(line, "Node %*d, zone %*s%n", &head);
    if (head == 0) continue;
    char *at = line + head;
    unsigned long counts[32];
    size_t orders = 0;
    for (char *end; orders < 32; at = end, orders++) {
      counts[orders] = strtoul(at, &end, 10);
      if (end == at) break;
    }
    for (size_t order = 0; order + 1 < orders; order++) pages += counts[order] << order;
  }
  fclose(file);
  return pages * PAGE;
}

/*
 * The kernel gives out zeroed pages, of small blocks first, and what is given back stays zero. Of the largest blocks some
 * were in use, too; most were never touched, and would become memory of the host by this. What the
 * guest's programs compute waits for this: the guest is to sleep, and each of them would have as large a share.
 */
static int clear_free_memory(void) {
  struct sysinfo info;
  if (sysinfo(&info) < 0) return errno;
  size_t free_bytes = (size_t)info.freeram * info.mem_unit;
  size_t length = fragmented_bytes() + LARGE;
  if (free_bytes < RESERVE) return 0;
  if (length > free_bytes - RESERVE) length = free_bytes - RESERVE;
  length -= length % PAGE;
  if (length == 0) return 0;
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno;
  madvise(memory, length, MADV_NOHUGEPAGE);
  setpriority(PRIO_PROCESS, 0, MOST_URGENT);
  int error = madvise(memory, length, MADV_POPULATE_WRITE) < 0 ? errno : 0;
  munmap(memory, length);
  setpriority(PRIO_PROCESS, 0, 0);
  return error;
}

static int drop_caches(void) {
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = write(fd, "3", 1) == 1 ? 0 : errno;
  close(fd);
  return error;
}

void request_reclaim(struct agent *agent, const struct message *message) {
  static const struct {
    const char *name;
    int (*take)(void);
  } rest[] = {{"drop_caches", drop_caches}, {"clear", clear_free_memory}};
  struct steps steps;
  steps_begin(&steps);
  const char *step = "syncfs";
  int error = agent->disk.upper_fd < 0 ? ENODEV : disk_is_frozen(agent) ? EBUSY : 0;
  if (!error && syncfs(agent->disk.upper_fd) < 0) error = errno;
  steps_done(&steps, step);
  for (size_t i = 0; i < sizeof rest / sizeof *rest && !error; i++) {
    step = rest[i].name;
    error = rest[i].take();
    steps_done(&steps, step);
  }
  if (error) {
    session_fail(agent, message->type, message->id, error, step, NULL);
    return;
  }
  struct builder *out = session_build(agent);
  put_text(out, TAG_STEPS, steps.text);
  session_reply(agent, message, out);
}
