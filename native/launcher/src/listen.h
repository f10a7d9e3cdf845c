#ifndef MAGS_LAUNCH_LISTEN_H
#define MAGS_LAUNCH_LISTEN_H

/* Makes a unix socket at `path` that root alone may connect to, and listens on it. */
int make_listener(const char *path);

/*
 * As make_listener, as descriptor `fd`. The program answers who connects without being able to write to the folder that
 * the socket lies in.
 */
void listen_at(const char *path, int fd);

#endif
