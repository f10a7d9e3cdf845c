/*
 * The agent's state, handed to every function that needs it. One thread owns all of it (the watchdog of a frozen disk,
 * in freeze.c, shares nothing but its own struct).
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "disk.h"
#include "fields.h"
#include "ident.h"
#include "loop.h"
#include "port.h"
#include "session.h"
#include "stream.h"

struct agent {
  struct loop loop;
  struct port control, bulk;
  struct session session;
  struct stream_table streams;
  struct identity identity;
  struct disk disk;
  struct source child_signals;
  struct removal *removals; /* under way */
  bool is_init;     /* PID 1 of a microVM; else an ordinary process that serves two sockets */
  const char *root; /* before the paths of the agent's own files; "" but in tests */
  uint32_t names_made; /* counts scripts and temporary files, to name them */
  int null_fd;
  struct rlimit program_files; /* RLIMIT_NOFILE of what the agent starts */
};

#endif
