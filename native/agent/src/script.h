/* Scripts of EXEC and PTY: written to a file of their own that lives as long as the stream. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>

#include "fields.h"

struct agent;

/* The path of the file, which the caller frees after script_remove; NULL with `*error` set. */
char *script_write(struct agent *agent, struct span text, int *error);
void script_remove(char *path);
/* True when the kernel runs the file by itself; else it is for /bin/sh. */
bool script_has_interpreter(struct span text);

#endif
