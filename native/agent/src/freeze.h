/*
 * FREEZE, THAW and SYNC of the file system that holds the upper layer.
 *
 * While it is frozen every write to it waits in the kernel, and the agent, which has one thread, must not be the writer:
 * whatever would write asks disk_is_frozen first and goes on when streams_thawed or session_run_deferred tells it. Should
 * it be caught all the same, or the host be gone, a watchdog thread thaws when the time is over.
 */
#ifndef FREEZE_H
#define FREEZE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct agent;
struct message;
struct watchdog;
struct unlink_later;

struct freeze {
  struct watchdog *watchdog; /* while frozen */
  struct unlink_later *unlink_later;
};

bool disk_is_frozen(const struct agent *agent);
/* Thaws if frozen, and lets what waited go on. 0, EINVAL when it is not frozen (any more), or another errno. */
int disk_thaw(struct agent *agent);
/* unlink, as soon as the disk can be written. `only`: not what else has the name by then; NULL: whatever has it. */
void unlink_when_thawed(struct agent *agent, const char *path, const struct stat *only);

void request_sync(struct agent *agent, const struct message *message);
void request_freeze(struct agent *agent, const struct message *message);
void request_thaw(struct agent *agent, const struct message *message);

#endif
