/*
 * IDENT: gives a restored clone an identity of its own. AWAKE: what of that a guest needs whose time stood still. Its machine id and host name live in /run/mags, and the layer
 * that the agent puts over every image has links to them at /etc, so that nothing is written to the disk for them.
 */
#ifndef IDENT_H
#define IDENT_H

#include <stdint.h>

struct agent;
struct message;

struct identity {
  uint8_t machine_id[16]; /* zeros before the first IDENT */
  char hostname[65];
  int random_fd; /* /dev/urandom; -1 before it is needed */
};

void request_ident(struct agent *agent, const struct message *message);
void request_clock(struct agent *agent, const struct message *message);
void request_awake(struct agent *agent, const struct message *message);
/* Writes the files of the identity, if there is one, below the root of a disk that was just attached. */
void identity_write(struct agent *agent);
/* Puts the links into the layer over the image, where the operator has no such files. */
void identity_prepare_layer(void);

#endif
