/* STATS: what the guest does and has, from /proc. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent.h"
#include "requests.h"

enum { TCP_STATE_ESTABLISHED = 1, PF_KTHREAD = 0x00200000 };

/* Calls `use` for each line of a file. */
static void for_lines(const char *path, void (*use)(char *line, void *context), void *context) {
  FILE *file = fopen(path, "re");
  if (!file) return;
  char *line = NULL;
  size_t capacity = 0;
  while (getline(&line, &capacity, file) >= 0) use(line, context);
  free(line);
  fclose(file);
}

struct cpu {
  uint64_t user, system, idle, steal; /* ticks */
};

static void cpu_line(char *line, void *context) {
  struct cpu *cpu = context;
  uint64_t user, nice, system, idle, wait, hard, soft, steal;
  if (sscanf(line, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
             &user, &nice, &system, &idle, &wait, &hard, &soft, &steal) != 8) {
    return;
  }
  *cpu = (struct cpu){user + nice, system + hard + soft, idle + wait, steal};
}

struct named_value {
  const char *name;
  uint64_t value;
};

/* Two of "name value", whatever stands between and after. */
static void named_line(char *line, void *context) {
  for (struct named_value *named = context; named->name; named++) {
    size_t length = strlen(named->name);
    if (!strncmp(line, named->name, length)) named->value = strtoull(line + length, NULL, 10);
  }
}

static bool is_loopback(const char *address) {
  size_t length = strlen(address);
  /* Words in the byte order of the machine: 127.x.x.x ends in 7F. */
  if (length == 8) return !strcmp(address + 6, "7F");
  if (!strcmp(address, "00000000000000000000000001000000")) return true;
  return !strncmp(address, "0000000000000000FFFF0000", 24) && !strcmp(address + 30, "7F");
}

static void tcp_line(char *line, void *context) {
  uint32_t *count = context;
  char local[33], remote[33];
  unsigned state;
  if (sscanf(line, " %*u: %32[0-9A-F]:%*x %32[0-9A-F]:%*x %x", local, remote, &state) != 3) return;
  if (state == TCP_STATE_ESTABLISHED && !is_loopback(remote)) ++*count;
}

static bool is_kernel_thread(const char *pid) {
  char path[64], text[512] = {0};
  snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return true; /* gone */
  ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  /* The name in parentheses may hold anything. */
  const char *after_name = count > 0 ? strrchr(text, ')') : NULL;
  unsigned flags;
  if (!after_name || sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1) return true;
  return flags & PF_KTHREAD;
}

static uint32_t count_processes(void) {
  DIR *proc = opendir("/proc");
  if (!proc) return 0;
  uint32_t count = 0;
  const struct dirent *entry;
  while ((entry = readdir(proc))) {
    if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid()) continue;
    if (!is_kernel_thread(entry->d_name)) count++;
  }
  closedir(proc);
  return count;
}

void request_stats(struct agent *agent, const struct message *message) {
  uint64_t tick_ms = 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
  struct cpu cpu = {0};
  for_lines("/proc/stat", cpu_line, &cpu);
  struct named_value memory[] = {{"MemTotal:", 0}, {"MemAvailable:", 0}, {NULL, 0}};
  for_lines("/proc/meminfo", named_line, memory);
  struct named_value kills[] = {{"oom_kill ", 0}, {NULL, 0}};
  for_lines("/proc/vmstat", named_line, kills);
  uint32_t connections = 0;
  for_lines("/proc/net/tcp", tcp_line, &connections);
  for_lines("/proc/net/tcp6", tcp_line, &connections);
  struct statvfs disk = {0};
  statvfs("/", &disk);

  struct builder *out = session_build(agent);
  put_u64(out, TAG_UPTIME, agent->loop.now_ms);
  put_u64(out, TAG_CPU_USER, cpu.user * tick_ms);
  put_u64(out, TAG_CPU_SYSTEM, cpu.system * tick_ms);
  put_u64(out, TAG_CPU_IDLE, cpu.idle * tick_ms);
  put_u64(out, TAG_CPU_STEAL, cpu.steal * tick_ms);
  put_u64(out, TAG_MEM_TOTAL, memory[0].value * 1024);
  put_u64(out, TAG_MEM_AVAILABLE, memory[1].value * 1024);
  put_u32(out, TAG_PROCESSES, count_processes());
  put_u32(out, TAG_TCP_ESTABLISHED, connections);
  put_u32(out, TAG_TTYS, agent->streams.ttys);
  put_u64(out, TAG_DISK_TOTAL, (uint64_t)disk.f_blocks * disk.f_frsize);
  put_u64(out, TAG_DISK_FREE, (uint64_t)disk.f_bavail * disk.f_frsize);
  put_u64(out, TAG_OOM_KILLS, kills[0].value);
  session_reply(agent, message, out);
}
