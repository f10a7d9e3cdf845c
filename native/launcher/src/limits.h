#ifndef MAGS_LAUNCH_LIMITS_H
#define MAGS_LAUNCH_LIMITS_H

/* Closes every descriptor but 0, 1, 2 and `keep` (-1: none). */
void close_descriptors(int keep);

/* No core files; at most `nofile` descriptors (0: as they were). */
void set_limits(unsigned long nofile);

#endif
