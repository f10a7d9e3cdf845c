#ifndef PTY_H
#define PTY_H

#include <stdint.h>

#include "fields.h"

/*
 * Opens a new pseudo terminal of that size and with these modes (of an SSH client; may be empty), both ends
 * close-on-exec, the master non-blocking. 0 or an errno.
 */
int pty_open(int *master, int *slave, uint16_t rows, uint16_t cols, struct span modes);
void pty_resize(int master, uint16_t rows, uint16_t cols);

#endif
