/*
 * The slot device and the root made of it. Nothing of the agent holds the device while no disk is attached: a clone may
 * then be given any other.
 *
 * Attached: a mount namespace of its own, in it ext4 (or tmpfs) at /rw, an overlay over the image as the root of the agent
 * and all it starts. Detached: the namespace of the boot, where nothing of all that was ever mounted.
 */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

#include "freeze.h"
#include "loop.h"
#include "trim.h"

struct agent;
struct message;

enum disk_state { DISK_NONE = 0, DISK_ATTACHED = 1, DISK_FROZEN = 2 };

struct disk {
  int boot_namespace; /* of the bare root */
  int upper_fd;       /* directory /rw, through which it is frozen, synced and grown; -1: nothing is attached */
  struct freeze freeze;
  struct trim trim;
  struct source watchdog_event;
};

void disk_init(struct agent *agent);
enum disk_state disk_state(const struct agent *agent);

void request_disk_attach(struct agent *agent, const struct message *message);
void request_disk_detach(struct agent *agent, const struct message *message);
void request_grow(struct agent *agent, const struct message *message);

#endif
