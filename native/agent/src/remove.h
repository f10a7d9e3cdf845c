/*
 * REMOVE: done by a child, because a large tree takes its time and the agent has one thread. The answer comes when the
 * child has gone; a new session forgets those that are under way, and they run on to their end.
 */
#ifndef REMOVE_H
#define REMOVE_H

struct agent;
struct message;
struct removal;

void request_remove(struct agent *agent, const struct message *message);
/* Nobody waits for the answers any more. */
void removals_forget(struct agent *agent);

#endif
