/* OPEN: the common part of it, and the entry of each kind of stream. */
#ifndef OPEN_H
#define OPEN_H

#include "session.h"
#include "stream.h"

/*
 * Each makes a stream of its kind out of the fields of OPEN. `common` has the fields that all kinds share and is copied
 * into the new stream. They answer OPEN themselves (stream_opened, stream_refuse or open_refuse).
 */
void open_process(struct agent *agent, const struct stream *common, struct span fields);
void open_file_read(struct agent *agent, const struct stream *common, struct span fields);
void open_file_write(struct agent *agent, const struct stream *common, struct span fields);
void open_list(struct agent *agent, const struct stream *common, struct span fields);
void open_tar(struct agent *agent, const struct stream *common, struct span fields);
void open_tcp(struct agent *agent, const struct stream *common, struct span fields);
void open_listen(struct agent *agent, const struct stream *common, struct span fields);
void open_accept(struct agent *agent, const struct stream *common, struct span fields);

/* Answers OPEN with an error before there is a stream. */
void open_refuse(struct agent *agent, const struct stream *common, int error, const char *step, const char *text);

void request_open(struct agent *agent, const struct message *message);

/* A copy of a text field, with a zero at its end; NULL when it is missing, empty or holds a zero. The caller frees it. */
char *field_string(struct span fields, uint16_t tag);
/* Makes the directories above the last component (or all of it). 0 or an errno. */
int make_directories(const char *path, bool whole);

#endif
