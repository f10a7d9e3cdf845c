#ifndef REQUESTS_H
#define REQUESTS_H

#include "session.h"

struct agent;

/* Serves one message other than HELLO. Types that are not known and need an answer get ENOSYS. */
void handle_request(struct agent *agent, const struct message *message);

/* STATS and STAT. */
void request_stats(struct agent *agent, const struct message *message);
void request_stat(struct agent *agent, const struct message *message);
/* RENAME and MKDIR. */
void request_rename(struct agent *agent, const struct message *message);
void request_mkdir(struct agent *agent, const struct message *message);
/* The fields that STAT and LIST share. `directory` as in fstatat. 0 or an errno. */
int describe_file(struct builder *out, int directory, const char *path, bool follow);

#endif
