#include "attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAP_FD 3
#define MIB (1024l * 1024)

/* An attempt: negative with errno when it was refused. `argument` is what the command line says, or "". */
typedef long action(const char *argument);

static long try_read(const char *path) { return open(path, O_RDONLY); }
static long try_list(const char *path) { return open(path, O_RDONLY | O_DIRECTORY); }
static long try_write(const char *path) { return open(path, O_RDWR); }
static long try_create(const char *path) { return open(path, O_RDWR | O_CREAT | O_EXCL, 0600); }
static long try_remove(const char *path) { return unlink(path); }
static long try_rename(const char *path) { return rename(path, "/vm/other"); }
static long try_link(const char *path) { return symlink("/etc/passwd", path); }
static long try_chmod(const char *path) { return syscall(SYS_chmod, path, 04777); }
static long try_socket(const char *family) { return socket(atoi(family), SOCK_RAW, 0); }
static long try_stream(const char *family) { return socket(atoi(family), SOCK_STREAM, 0); }
static long try_ptrace(const char *pid) { return ptrace(PTRACE_ATTACH, atoi(pid), 0, 0); }
static long try_kill(const char *pid) { return kill(atoi(pid), SIGKILL); }
static long try_tgkill(const char *pid) { return syscall(SYS_tgkill, atoi(pid), atoi(pid), SIGKILL); }
static long try_read_memory(const char *pid) { return syscall(SYS_process_vm_readv, atoi(pid), NULL, 0, NULL, 0, 0); }
static long try_unshare(const char *flags) { return unshare((int)strtol(flags, NULL, 0)); }
static long try_fork(const char *unused) { return (void)unused, fork(); }
static long try_clone(const char *flags) { return syscall(SYS_clone, strtol(flags, NULL, 0), 0, 0, 0, 0); }
static long try_clone3(const char *unused) { return (void)unused, syscall(SYS_clone3, NULL, 0); }
static long try_mount(const char *unused) { return (void)unused, syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, 0); }
static long try_mknod(const char *unused) { return (void)unused, syscall(SYS_mknodat, AT_FDCWD, "/vm/sda", 060600, 0x800); }
static long try_setuid(const char *uid) { return setuid((uid_t)atoi(uid)); }
static long try_exec(const char *path) { return execv(path, (char *[]){(char *)path, NULL}); }
static long try_execveat(const char *path) { return syscall(SYS_execveat, AT_FDCWD, path, NULL, NULL, 0); }
static long try_memfd(const char *unused) { return (void)unused, memfd_create("x", 0); }
static long try_shm(const char *unused) { return (void)unused, syscall(SYS_shmget, 1, 4096, 01600); }
static long try_queue(const char *unused) { return (void)unused, syscall(SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, 0); }
static long try_io_uring(const char *unused) { return (void)unused, syscall(SYS_io_uring_setup, 8, NULL); }
static long try_bpf(const char *unused) { return (void)unused, syscall(SYS_bpf, 0, NULL, 0); }
static long try_perf(const char *unused) { return (void)unused, syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0); }
static long try_userfaultfd(const char *unused) { return (void)unused, syscall(SYS_userfaultfd, 0); }
static long try_keyctl(const char *unused) { return (void)unused, syscall(SYS_keyctl, 0, -3, 0, 0, 0); }
static long try_handle(const char *unused) { return (void)unused, syscall(SYS_open_by_handle_at, -1, NULL, 0); }
static long try_module(const char *unused) { return (void)unused, syscall(SYS_finit_module, 0, "", 0); }
static long try_lock(const char *unused) { return (void)unused, mlockall(MCL_CURRENT); }
static long try_priority(const char *unused) { return (void)unused, setpriority(PRIO_PROCESS, 0, -10); }
static long try_scheduler(const char *unused) {
  (void)unused;
  return sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
}
static long try_type_ahead(const char *unused) { return (void)unused, ioctl(0, TIOCSTI, "x"); }
/* A device's name; for other requests to the tap, their number. */
static long try_other_tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  return ioctl(TAP_FD, TUNSETIFF, &request);
}
static long try_tap(const char *request) {
  char zeros[256] = {0};
  return ioctl(TAP_FD, strtoul(request, NULL, 0), zeros);
}
static long try_limit(const char *resource) {
  struct rlimit limit;
  if (getrlimit((enum __rlimit_resource)atoi(resource), &limit)) return -1;
  limit.rlim_max++;
  return setrlimit((enum __rlimit_resource)atoi(resource), &limit);
}

/* Offsets in MiB: the byte before which the limit stands can be written, further ones cannot. */
static long try_grow(const char *mebibytes) {
  signal(SIGXFSZ, SIG_IGN);
  int fd = open("/vm/disk.qcow2", O_RDWR);
  if (fd < 0) return fd;
  return pwrite(fd, "x", 1, atol(mebibytes) * MIB);
}

static void *wait_forever(void *unused) {
  for (;;) pause();
  return unused;
}

static long try_threads(const char *count) {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  for (int i = atoi(count); i > 0; i--) {
    pthread_t thread;
    errno = pthread_create(&thread, &small, wait_forever, NULL);
    if (errno) return -1;
  }
  return 0;
}

static long try_addresses(const char *mebibytes) {
  void *got = mmap(NULL, (size_t)(atol(mebibytes) * MIB), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return got == MAP_FAILED ? -1 : 0;
}

static long try_memory(const char *mebibytes) {
  size_t size = (size_t)(atol(mebibytes) * MIB);
  char *got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) return -1;
  for (size_t at = 0; at < size; at += 4096) got[at] = 1;
  return 0;
}

/* getpid of the 32-bit interface, then of x32: other numbers, which a filter could overlook. */
static long try_int80(const char *unused) {
  (void)unused;
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "0"(20) : "memory");
  return result;
}
static long try_x32(const char *unused) { return (void)unused, syscall(0x40000000 + SYS_getpid); }

static const struct {
  const char *name;
  action *run;
} ATTEMPTS[] = {
    {"read", try_read}, {"list", try_list}, {"write", try_write}, {"create", try_create}, {"remove", try_remove},
    {"rename", try_rename}, {"link", try_link}, {"chmod", try_chmod}, {"socket", try_socket}, {"stream", try_stream},
    {"ptrace", try_ptrace}, {"kill", try_kill}, {"tgkill", try_tgkill}, {"read-memory", try_read_memory},
    {"unshare", try_unshare}, {"fork", try_fork}, {"clone", try_clone}, {"clone3", try_clone3}, {"mount", try_mount},
    {"mknod", try_mknod}, {"setuid", try_setuid}, {"exec", try_exec}, {"execveat", try_execveat},
    {"memfd", try_memfd}, {"shm", try_shm}, {"queue", try_queue}, {"io_uring", try_io_uring}, {"bpf", try_bpf},
    {"perf", try_perf}, {"userfaultfd", try_userfaultfd}, {"keyctl", try_keyctl}, {"handle", try_handle},
    {"module", try_module}, {"lock", try_lock}, {"priority", try_priority}, {"scheduler", try_scheduler},
    {"type-ahead", try_type_ahead}, {"other-tap", try_other_tap}, {"tap", try_tap}, {"limit", try_limit},
    {"grow", try_grow}, {"threads", try_threads}, {"addresses", try_addresses}, {"memory", try_memory},
    {"int80", try_int80}, {"x32", try_x32},
};

int attempt(const char *name, const char *argument) {
  for (size_t i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++) {
    if (strcmp(name, ATTEMPTS[i].name)) continue;
    const char *answer = ATTEMPTS[i].run(argument) < 0 ? strerrorname_np(errno) : "ok";
    printf("%s\n", answer);
    return 0;
  }
  fprintf(stderr, "probe: there is no attempt '%s'\n", name);
  return 2;
}
