#ifndef MAGS_LAUNCH_DESCRIPTORS_H
#define MAGS_LAUNCH_DESCRIPTORS_H

#include <stddef.h>

/* Makes the open descriptor `from` the program's descriptor `to`; `what` names it in messages. */
void place_descriptor(int from, int to, const char *what);

/* Closes every descriptor but 0, 1, 2 and those of `keep`. */
void close_descriptors(const int *keep, size_t count);

#endif
