/*
 * The tables of the filter for QEMU. The first is what strace(1) showed of the runtime root's QEMU 10 in first boots,
 * restores and jobs, with what the same code does in the cases that these did not meet (discards, KVM, errors).
 * What stands in none of them is refused with EPERM.
 */
#include "qemu-calls.h"

#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define COUNT(table) (sizeof(table) / sizeof *(table))
#define ALL (~(uint64_t)0)
/* The kernel takes these arguments as 32 bits, whatever the program puts into the others. */
#define LOW ((uint64_t)0xffffffff)

#define NAMESPACES                                                                                                 \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

#define IOCTL(number) {SYS_ioctl, 1, LOW, (number)}
#define PRCTL(number) {SYS_prctl, 0, LOW, (number)}

const struct condition QEMU_CONDITIONS[] = {
    /* All of KVM's share a type. Without /dev/kvm there is nothing they could be sent to. */
    {SYS_ioctl, 1, 0xff00, 0xae00},
    /* Of a tap: what tells about it and its packets. Not what makes it another's, lasting, or another one. */
    IOCTL(TUNGETIFF), IOCTL(TUNGETFEATURES), IOCTL(TUNSETOFFLOAD), IOCTL(TUNSETVNETHDRSZ), IOCTL(TUNSETSNDBUF),
    IOCTL(TUNSETVNETLE), IOCTL(TUNSETVNETBE),
    /* QEMU takes a steering program away. It has none that it could set, as it can load none. */
    IOCTL(TUNSETSTEERINGEBPF),
    /* Is this a terminal? */
    IOCTL(TCGETS), IOCTL(FIONBIO), IOCTL(FIONREAD),
    /* Connections to the block server, by its name in the jail, where nobody but root makes names. No other family. */
    {SYS_socket, 0, LOW, AF_UNIX},
    /* Threads, and no other kind of process; the mask covers the namespaces, none of which is in the value. */
    {SYS_clone, 0, THREAD | NAMESPACES, THREAD},
    /* Reading limits. */
    {SYS_prlimit64, 2, ALL, 0},
    PRCTL(PR_SET_NAME), PRCTL(PR_GET_NAME), PRCTL(PR_SET_TIMERSLACK), PRCTL(PR_CAPBSET_READ),
    PRCTL(PR_SET_NO_NEW_PRIVS), PRCTL(PR_MCE_KILL),
    /* QEMU adds a filter of its own, which can only take away. */
    {SYS_seccomp, 1, ~(uint64_t)(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |
                                 SECCOMP_FILTER_FLAG_TSYNC_ESRCH), 0},
};
const size_t QEMU_CONDITION_COUNT = COUNT(QEMU_CONDITIONS);

const unsigned QEMU_ALLOWED[] = {
    /* Memory. */
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_msync, SYS_mincore, SYS_membarrier,
    SYS_get_mempolicy,
    /* Open files. */
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_preadv2,
    SYS_pwritev2, SYS_lseek, SYS_fsync, SYS_fdatasync, SYS_sync_file_range, SYS_fallocate, SYS_ftruncate,
    SYS_fadvise64, SYS_copy_file_range, SYS_fstat, SYS_fstatfs, SYS_fcntl, SYS_flock, SYS_getdents64, SYS_close,
    SYS_dup, SYS_dup2, SYS_dup3, SYS_pipe2, SYS_eventfd2,
    /* Names. Nothing that makes, removes or changes one. */
    SYS_openat, SYS_access, SYS_faccessat, SYS_faccessat2, SYS_stat, SYS_lstat, SYS_newfstatat, SYS_statx, SYS_statfs,
    SYS_readlink, SYS_readlinkat, SYS_getcwd,
    /* The sockets it was given, and one of those that it may make, to the block server. */
    SYS_connect, SYS_listen, SYS_accept, SYS_accept4, SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_setsockopt,
    SYS_sendmsg, SYS_recvmsg, SYS_sendto, SYS_recvfrom, SYS_shutdown,
    /* Waiting. */
    SYS_ppoll, SYS_poll, SYS_pselect6, SYS_select, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait,
    SYS_epoll_pwait2, SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_sched_yield, SYS_restart_syscall,
    /* Time. */
    SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_time, SYS_timerfd_create, SYS_timerfd_settime,
    SYS_timerfd_gettime, SYS_timer_create, SYS_timer_settime, SYS_timer_gettime, SYS_timer_delete,
    /* Signals of its own. */
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_rt_sigsuspend,
    SYS_sigaltstack, SYS_signalfd4,
    /* Itself and its threads. */
    SYS_arch_prctl, SYS_set_tid_address, SYS_set_robust_list, SYS_rseq, SYS_gettid, SYS_getpid,
    SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getgroups, SYS_getrlimit, SYS_getrusage,
    SYS_times, SYS_sysinfo, SYS_uname, SYS_getcpu, SYS_sched_getaffinity, SYS_getrandom, SYS_exit, SYS_exit_group,
};
const size_t QEMU_ALLOWED_COUNT = COUNT(QEMU_ALLOWED);

const unsigned QEMU_ABSENT[] = {
    SYS_clone3, /* its flags lie in memory, where a filter cannot look */
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
};
const size_t QEMU_ABSENT_COUNT = COUNT(QEMU_ABSENT);

const unsigned QEMU_FATAL[] = {
    /* Other programs and other processes. */
    SYS_execve, SYS_execveat, SYS_fork, SYS_vfork, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp,
    SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal,
    /* Views of the system. */
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_open_by_handle_at,
    SYS_name_to_handle_at, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_move_mount, SYS_open_tree,
    SYS_mount_setattr, SYS_mknod, SYS_mknodat,
    /* The kernel itself. */
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_init_module, SYS_finit_module, SYS_delete_module,
    SYS_kexec_load, SYS_kexec_file_load, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_syslog, SYS_reboot, SYS_swapon,
    SYS_swapoff, SYS_acct, SYS_quotactl, SYS_personality, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex,
    SYS_sethostname, SYS_setdomainname, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_vmsplice,
    /* Who it is. */
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_setfsuid,
    SYS_setfsgid, SYS_capset,
};
const size_t QEMU_FATAL_COUNT = COUNT(QEMU_FATAL);
