#ifndef MAGS_LAUNCH_HAND_OVER_H
#define MAGS_LAUNCH_HAND_OVER_H

/* The connection over which a socket is handed over. */
#define HAND_OVER_FD 3

/*
 * Makes a socket that listens at `path`, for root alone, and sends it over HAND_OVER_FD together with `message`, in one piece.
 * So a program that is in its jail already gets a socket that it could not make itself.
 */
void hand_over_listener(const char *path, const char *message);

#endif
