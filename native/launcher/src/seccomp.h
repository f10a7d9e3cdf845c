#ifndef MAGS_LAUNCH_SECCOMP_H
#define MAGS_LAUNCH_SECCOMP_H

/*
 * Filters the system calls of this process and all it becomes: those QEMU needs, no other (qemu-calls.c). One execve(2)
 * is left: that of the returned copy of `program`. It lies at an address drawn at random and forgotten by the exec, so
 * that the program cannot name it again. Needs no_new_privs.
 */
const char *install_qemu_filter(const char *program);

#endif
