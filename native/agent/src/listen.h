/* Connections that came in and that the host has not taken yet. */
#ifndef LISTEN_H
#define LISTEN_H

#include <stdint.h>

struct agent;

/* The descriptor of one of them, the caller's from here on; -1 when there is none of that number. */
int listen_take(struct agent *agent, uint32_t number);

#endif
