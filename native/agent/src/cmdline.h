#ifndef CMDLINE_H
#define CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

/* The value of `key` on the kernel command line. False when it is missing or does not fit. */
bool cmdline_value(const char *key, char *value, size_t room);

#endif
