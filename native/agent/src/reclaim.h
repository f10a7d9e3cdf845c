/*
 * RECLAIM: before a guest sleeps, what need not be kept of its memory is made zeros, which are not stored: the page cache
 * is given back, and free memory that was used is cleared.
 */
#ifndef RECLAIM_H
#define RECLAIM_H

struct agent;
struct message;

void request_reclaim(struct agent *agent, const struct message *message);

#endif
