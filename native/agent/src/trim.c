#include "trim.h"

#include <errno.h>
#include <linux/fs.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>

#include "agent.h"
#include "boot.h"

enum {
  /* The agent does nothing else meanwhile. */
  TRIM_MS = 1000,
  /* A group of ext4's blocks: the kernel remembers of a whole one that it was trimmed. */
  PIECE = 128 * 1024 * 1024,
  /* The disk keeps its places in clusters of so much; less than one cannot be given up. */
  LEAST = 64 * 1024,
  SECTOR = 512,
};

/* Grows with all that is written, and with all that is freed; not with what is written to places that were free. */
static int look(struct agent *agent, uint64_t *size, int64_t *stale) {
  struct statfs st;
  if (fstatfs(agent->disk.upper_fd, &st) < 0) return errno;
  uint64_t sectors;
  FILE *file = fopen(SLOT_STAT_FILE, "re");
  if (!file) return errno;
  /* Documentation/block/stat.rst: the seventh number. */
  int found = fscanf(file, "%*u %*u %*u %*u %*u %*u %" SCNu64, &sectors);
  fclose(file);
  if (found != 1) return EIO;
  *size = st.f_blocks * (uint64_t)st.f_bsize;
  *stale = (int64_t)(sectors * SECTOR + st.f_bfree * (uint64_t)st.f_bsize);
  return 0;
}

int trim_begin(struct agent *agent) {
  uint64_t size;
  agent->disk.trim = (struct trim){0};
  return look(agent, &size, &agent->disk.trim.stale_bytes);
}

int trim_stale(struct agent *agent, uint64_t at_least) {
  struct trim *trim = &agent->disk.trim;
  uint64_t size = 0;
  int64_t stale = 0;
  int error = look(agent, &size, &stale);
  if (error) return error;
  if (trim->next == 0 && stale - trim->stale_bytes < (int64_t)at_least) return 0;
  uint64_t deadline = boot_clock_ns() + TRIM_MS * 1000000ull;
  do {
    /* statfs(2) tells of less than the file system has: the last piece goes to its end, wherever that is. */
    bool last = size - trim->next <= PIECE;
    struct fstrim_range range = {.start = trim->next, .len = last ? UINT64_MAX : PIECE, .minlen = LEAST};
    if (ioctl(agent->disk.upper_fd, FITRIM, &range) < 0) return errno;
    trim->next = last ? 0 : trim->next + PIECE;
  } while (trim->next != 0 && boot_clock_ns() < deadline);
  if (trim->next == 0) trim->stale_bytes = stale;
  return 0;
}
