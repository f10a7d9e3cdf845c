/*
 * Writes the filter as a program of classic BPF (Documentation/userspace-api/seccomp_filter.rst of the kernel). The
 * accumulator holds the number of the call, except within a condition, which loads it again at its end.
 */
#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "qemu-calls.h"

#define PAGE 4096u
/* Calls of the x32 interface, which the kernel takes beside those of x86-64, have this bit. */
#define X32_BIT 0x40000000u

#define REFUSE (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)

struct filter {
  struct sock_filter code[1024];
  unsigned short length;
};

static void emit(struct filter *filter, struct sock_filter instruction) {
  if (filter->length == sizeof filter->code / sizeof *filter->code) fail("write the filter of system calls: no room");
  filter->code[filter->length++] = instruction;
}

static void emit_load(struct filter *filter, size_t offset) {
  emit(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void emit_return(struct filter *filter, uint32_t action) {
  emit(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Goes on when the accumulator equals `value`, else skips so many instructions. */
static void emit_unless_equal_skip(struct filter *filter, uint32_t value, unsigned char skipped) {
  emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped));
}

static void emit_calls(struct filter *filter, const unsigned *calls, size_t count, uint32_t action) {
  for (size_t i = 0; i < count; i++) {
    emit_unless_equal_skip(filter, calls[i], 1);
    emit_return(filter, action);
  }
}

/* x86-64 is little-endian: the low half of an argument comes first. */
static void emit_condition(struct filter *filter, struct condition condition) {
  size_t low = offsetof(struct seccomp_data, args) + condition.argument * sizeof(uint64_t);
  emit_unless_equal_skip(filter, condition.call, 8);
  emit_load(filter, low);
  emit(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)condition.mask));
  emit_unless_equal_skip(filter, (uint32_t)condition.value, 4);
  emit_load(filter, low + sizeof(uint32_t));
  emit(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)(condition.mask >> 32)));
  emit_unless_equal_skip(filter, (uint32_t)(condition.value >> 32), 1);
  emit_return(filter, SECCOMP_RET_ALLOW);
  emit_load(filter, offsetof(struct seccomp_data, nr));
}

static void write_filter(struct filter *filter, const struct condition *own, size_t own_count) {
  emit_load(filter, offsetof(struct seccomp_data, arch));
  emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  emit_return(filter, SECCOMP_RET_KILL_PROCESS);
  emit_load(filter, offsetof(struct seccomp_data, nr));
  emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
  emit_return(filter, SECCOMP_RET_KILL_PROCESS);
  for (size_t i = 0; i < QEMU_CONDITION_COUNT; i++) emit_condition(filter, QEMU_CONDITIONS[i]);
  for (size_t i = 0; i < own_count; i++) emit_condition(filter, own[i]);
  emit_calls(filter, QEMU_ALLOWED, QEMU_ALLOWED_COUNT, SECCOMP_RET_ALLOW);
  emit_calls(filter, QEMU_ABSENT, QEMU_ABSENT_COUNT, ABSENT);
  emit_calls(filter, QEMU_FATAL, QEMU_FATAL_COUNT, SECCOMP_RET_KILL_PROCESS);
  emit_return(filter, REFUSE);
}

/* Somewhere in the 2^46 bytes below the stack and libraries. */
static char *copy_to_secret_place(const char *text) {
  size_t size = strlen(text) + 1;
  if (size > PAGE) fail("run %s: the path is too long", text);
  for (;;) {
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random) fail_errno("draw an address");
    uint64_t address = random & ((1ull << 46) - 1);
    void *page = (void *)(address & ~(uint64_t)(PAGE - 1));
    void *got = mmap(page, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == page) return memcpy((char *)page + address % PAGE, text, size);
    if (got != MAP_FAILED || (errno != EEXIST && errno != EPERM)) fail_errno("reserve an address");
  }
}

const char *install_qemu_filter(const char *program) {
  const char *secret = copy_to_secret_place(program);
  pid_t self = getpid();
  const struct condition own[] = {
      {SYS_execve, 0, ~(uint64_t)0, (uintptr_t)secret},
      /* Its own threads: abort() and the like. The process stays the same when it becomes the program. */
      {SYS_tgkill, 0, 0xffffffff, (uint32_t)self},
  };
  static struct filter filter;
  write_filter(&filter, own, sizeof own / sizeof *own);
  struct sock_fprog code = {filter.length, filter.code};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &code)) fail_errno("install the filter of system calls");
  return secret;
}
