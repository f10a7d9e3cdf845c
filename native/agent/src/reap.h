#ifndef REAP_H
#define REAP_H

struct agent;

/* Watches for children that end: those of streams, and orphans, whose parent the agent becomes. */
void reap_init(struct agent *agent);
/* Reaps all children that have ended. False when there are no children left at all. */
int reap_children(struct agent *agent);

#endif
