/* Connections that came in and that the host has not taken yet. */
#ifndef LISTEN_H
#define LISTEN_H

#include <stdint.h>

#include "fields.h"

struct agent;

/* The descriptor of one of them, the caller's from here on; -1 when there is none of that number. */
int listen_take(struct agent *agent, uint32_t number);
/* Closes the one that an ACCEPT names which cannot be carried out: its place is another's. */
void listen_drop(struct agent *agent, struct span fields);

#endif
