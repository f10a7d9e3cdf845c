/*
 * Tells the disk which of its places the file system does not use any more, so that they take no room where the disk is
 * kept. Works through the disk in pieces; those in which nothing was freed since they were trimmed the kernel passes over.
 */
#ifndef TRIM_H
#define TRIM_H

#include <stdint.h>

struct agent;

struct trim {
  int64_t stale_bytes; /* when all of the disk had been trimmed last */
  uint64_t next;       /* where it goes on; 0: at the beginning */
};

/* For a disk that was attached just now. 0 or an errno. */
int trim_begin(struct agent *agent);
/*
 * To be called when the file system is in sync. Trims when so much more was written since all of the disk was trimmed than
 * the file system has grown: what it has freed is no more than that. It takes about TRIM_MS at most, and goes on the next
 * time where it ended. 0 or an errno.
 */
int trim_stale(struct agent *agent, uint64_t at_least);

#endif
