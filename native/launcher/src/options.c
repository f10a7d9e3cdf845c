#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

static const char USAGE[] =
    "usage: mags-launch --root DIR --uid N --gid N [--bind SRC DST] [--bind-ro SRC DST] [--env K=V]\n"
    "                   [--cwd DIR] [--scratch] [--kvm] [--cgroup PROCS_FILE]... [--netns PATH] [--tap NAME FD]\n"
    "                   [--listen PATH FD]... [--idle] [--nice N] [--limit nofile|fsize|nproc|as N[:MOST]]... [--seccomp qemu]\n"
    "                   -- PROGRAM [ARG]...\n"
    "       mags-launch --resched PID\n"
    "       mags-launch --relimit PID UID GID nofile|fsize|nproc|as N\n"
    "       mags-launch --hand-over PATH MESSAGE\n";

static _Noreturn void usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void usage(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("mags-launch: ", stderr);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  fputs(USAGE, stderr);
  exit(LAUNCH_FAILED);
}

static unsigned long number(const char *option, const char *text, unsigned long min, unsigned long max) {
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (errno || *end || !isdigit((unsigned char)*text) || value < min || value > max)
    usage("%s takes a number from %lu to %lu, not '%s'", option, min, max, text);
  return value;
}

static int nice_value(const char *option, const char *text) {
  bool negative = text[0] == '-';
  unsigned long size = number(option, text + negative, 0, negative ? 20 : 19);
  return negative ? -(int)size : (int)size;
}

/* An absolute path without `..`: what is mounted there stays inside the root. */
static const char *inner_path(const char *option, const char *path) {
  size_t length = strlen(path);
  if (path[0] != '/' || strstr(path, "/../") || (length >= 3 && !strcmp(path + length - 3, "/..")))
    usage("%s takes an absolute path inside the root, without '..', not '%s'", option, path);
  return path;
}

struct cursor {
  int argc;
  char **argv;
  int next;
};

static char *value_of(struct cursor *at, const char *option) {
  if (at->next >= at->argc) usage("%s lacks a value", option);
  return at->argv[at->next++];
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) fail_errno("allocate the option tables");
  return memory;
}

static int descriptor(struct options *options, const char *option, const char *text) {
  int fd = (int)number(option, text, 3, 1023);
  for (size_t i = 0; i < options->descriptor_count; i++)
    if (options->descriptors[i] == fd) usage("%s takes a descriptor of its own, not %d again", option, fd);
  options->descriptors[options->descriptor_count++] = fd;
  return fd;
}

static unsigned identity(const char *option, const char *text) {
  return (unsigned)number(option, text, 1, 4294967294ul);
}

static pid_t process(const char *option, const char *text) { return (pid_t)number(option, text, 1, 2147483647); }

static struct limit limit_of(struct cursor *at, const char *option) {
  struct limit limit;
  const char *name = value_of(at, option);
  if (!find_resource(name, &limit.resource)) usage("%s takes nofile, fsize, nproc or as, not '%s'", option, name);
  char value[64];
  snprintf(value, sizeof value, "%s", value_of(at, option));
  char *most = strchr(value, ':');
  if (most) *most++ = 0;
  limit.value = number(option, value, 1, 1ul << 62);
  limit.most = most ? number(option, most, limit.value, 1ul << 62) : limit.value;
  return limit;
}

static void check_complete(const struct options *options) {
  if (!options->root) usage("--root is missing");
  if (options->root[0] != '/') usage("--root takes an absolute path, not '%s'", options->root);
  if (!options->uid) usage("--uid is missing; programs never run as user 0");
  if (!options->gid) usage("--gid is missing; programs never run as group 0");
  if (!options->program || !options->program[0]) usage("the program is missing after --");
  if (options->program[0][0] != '/')
    usage("the program takes an absolute path inside the root, not '%s'", options->program[0]);
}

struct options parse_options(int argc, char **argv) {
  struct options options = {.cwd = "/", .tap_fd = -1};
  options.binds = allocate((size_t)argc, sizeof *options.binds);
  options.env = allocate((size_t)argc + 1, sizeof *options.env);
  options.cgroups = allocate((size_t)argc, sizeof *options.cgroups);
  options.listeners = allocate((size_t)argc, sizeof *options.listeners);
  options.descriptors = allocate((size_t)argc, sizeof *options.descriptors);
  options.limits = allocate((size_t)argc, sizeof *options.limits);
  struct cursor at = {argc, argv, 1};

  while (at.next < argc) {
    const char *option = argv[at.next++];
    if (!strcmp(option, "--")) {
      options.program = argv + at.next;
      break;
    }
    if (!strcmp(option, "--root")) options.root = value_of(&at, option);
    else if (!strcmp(option, "--uid")) options.uid = identity(option, value_of(&at, option));
    else if (!strcmp(option, "--gid")) options.gid = identity(option, value_of(&at, option));
    else if (!strcmp(option, "--bind") || !strcmp(option, "--bind-ro")) {
      struct bind *bind = &options.binds[options.bind_count++];
      bind->source = value_of(&at, option);
      bind->target = inner_path(option, value_of(&at, option));
      bind->read_only = !strcmp(option, "--bind-ro");
    } else if (!strcmp(option, "--env")) {
      char *entry = value_of(&at, option);
      if (entry[0] == '=' || !strchr(entry, '=')) usage("--env takes NAME=VALUE, not '%s'", entry);
      options.env[options.env_count++] = entry;
    } else if (!strcmp(option, "--cwd")) options.cwd = inner_path(option, value_of(&at, option));
    else if (!strcmp(option, "--kvm")) options.kvm = true;
    else if (!strcmp(option, "--cgroup")) options.cgroups[options.cgroup_count++] = value_of(&at, option);
    else if (!strcmp(option, "--netns")) options.netns = value_of(&at, option);
    else if (!strcmp(option, "--tap")) {
      options.tap_name = value_of(&at, option);
      options.tap_fd = descriptor(&options, option, value_of(&at, option));
    } else if (!strcmp(option, "--listen")) {
      struct listener *listener = &options.listeners[options.listener_count++];
      listener->path = value_of(&at, option);
      listener->fd = descriptor(&options, option, value_of(&at, option));
    } else if (!strcmp(option, "--idle")) options.idle = true;
    else if (!strcmp(option, "--nice")) options.nice = nice_value(option, value_of(&at, option));
    else if (!strcmp(option, "--scratch")) options.scratch = true;
    else if (!strcmp(option, "--limit")) options.limits[options.limit_count++] = limit_of(&at, option);
    else if (!strcmp(option, "--seccomp")) {
      const char *name = value_of(&at, option);
      if (strcmp(name, "qemu")) usage("--seccomp takes qemu, not '%s'", name);
      options.qemu_filter = true;
    } else if (!strcmp(option, "--resched")) {
      options.resched = process(option, value_of(&at, option));
      if (argc != 3) usage("--resched takes a process id and nothing else");
      return options;
    } else if (!strcmp(option, "--relimit")) {
      options.relimit = process(option, value_of(&at, option));
      options.uid = identity(option, value_of(&at, option));
      options.gid = identity(option, value_of(&at, option));
      options.limits[options.limit_count++] = limit_of(&at, option);
      if (argc != 7) usage("--relimit takes a process id, its user and group, a limit and nothing else");
      return options;
    } else if (!strcmp(option, "--hand-over")) {
      options.hand_over_path = value_of(&at, option);
      options.hand_over_message = value_of(&at, option);
      if (argc != 4) usage("--hand-over takes a path, a message and nothing else");
      return options;
    } else usage("unknown option '%s'", option);
  }
  check_complete(&options);
  return options;
}
