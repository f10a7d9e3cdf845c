#ifndef MAGS_LAUNCH_VIEW_H
#define MAGS_LAUNCH_VIEW_H

#include "options.h"

/*
 * Gives the process a file system view of its own: the root, read-only; its binds; /dev with null, zero, full, random,
 * urandom (and kvm); with scratch space, tmpfs on /tmp and /dev/shm. Nothing else of the host remains reachable, /proc
 * neither. Needs CAP_SYS_ADMIN.
 */
void enter_view(const struct options *options);

#endif
