#ifndef MAGS_PROBE_ATTEMPTS_H
#define MAGS_PROBE_ATTEMPTS_H

/*
 * Tries something that a jailed program should not get, and prints how the kernel answered: `ok` or the name of an
 * errno. A filter of system calls may end the process instead. Returns the exit code.
 *   probe try NAME [ARG]
 */
int attempt(const char *name, const char *argument);

#endif
