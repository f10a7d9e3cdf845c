#ifndef DIE_H
#define DIE_H

/*
 * Ends the agent because of a state that cannot be: prints one line (with errno's text when `error` is not 0) and
 * exits. The exit of PID 1 is a kernel panic, which the host is told of: better than a guest that hangs.
 */
_Noreturn void die(const char *what, int error);

/* malloc, calloc and realloc that die instead of returning NULL. */
void *must_alloc(void *memory);

#endif
