/* Keys of streams that may be opened only once in this agent's life: a set, 4 096 keys of at most 64 bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "die.h"

struct once_key {
  struct once_key *next;
  uint8_t length;
  uint8_t bytes[];
};

int once_check(struct agent *agent, struct span key) {
  for (const struct once_key *at = agent->streams.once; at; at = at->next) {
    if (at->length == key.length && !memcmp(at->bytes, key.bytes, key.length)) return EEXIST;
  }
  return agent->streams.once_count < MAX_ONCE_KEYS ? 0 : ENOSPC;
}

void once_remember(struct agent *agent, struct span key) {
  struct once_key *entry = must_alloc(malloc(sizeof *entry + key.length));
  entry->length = (uint8_t)key.length;
  if (key.length > 0) memcpy(entry->bytes, key.bytes, key.length);
  entry->next = agent->streams.once;
  agent->streams.once = entry;
  agent->streams.once_count++;
}
