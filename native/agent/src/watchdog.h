/* A thread that thaws a frozen file system when nobody else does. It shares only this struct with the agent. */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct watchdog;

/* `fd`: of the frozen file system; `event_fd` is written to after it was thawed. NULL with errno set. */
struct watchdog *watchdog_start(int fd, int event_fd, uint32_t after_ms);
/* Ends it and frees it. True when it had thawed. */
bool watchdog_stop(struct watchdog *watchdog);

#endif
