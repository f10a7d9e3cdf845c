#ifndef MAGS_LAUNCH_FAIL_H
#define MAGS_LAUNCH_FAIL_H

/* Exit code of the launcher itself; every other code is the program's. */
#define LAUNCH_FAILED 125

/* Prints `mags-launch: <what>: <text of errno> (errno N)` and exits with LAUNCH_FAILED. */
_Noreturn void fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints `mags-launch: <what>` and exits with LAUNCH_FAILED. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
