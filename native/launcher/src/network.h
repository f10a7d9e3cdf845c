#ifndef MAGS_LAUNCH_NETWORK_H
#define MAGS_LAUNCH_NETWORK_H

/* Enters the network namespace at `path` (a file as `ip netns` makes it). */
void enter_netns(const char *path);

/* Attaches to the existing tap device `name` of the current network namespace and makes it descriptor `fd`. */
void attach_tap(const char *name, int fd);

#endif
