#ifndef MAGS_LAUNCH_IDENTITY_H
#define MAGS_LAUNCH_IDENTITY_H

#include <sys/types.h>

/* Becomes `uid`:`gid` for good: no groups, no capabilities (now or by exec), no new privileges. */
void drop_privileges(uid_t uid, gid_t gid);

#endif
