/* How many descriptors: what programs are started with, and more for the agent itself. */
#ifndef LIMITS_H
#define LIMITS_H

struct agent;

/* Keeps the limit that it finds for programs, and raises that of the agent. */
void limits_init(struct agent *agent);

#endif
