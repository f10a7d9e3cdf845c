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
    "                   [--cwd DIR] [--kvm] [--cgroup PROCS_FILE]... [--netns PATH] [--tap NAME FD] [--idle] [--nice N] [--nofile N] -- PROGRAM [ARG]...\n"
    "       mags-launch --resched PID\n";

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
  struct cursor at = {argc, argv, 1};

  while (at.next < argc) {
    const char *option = argv[at.next++];
    if (!strcmp(option, "--")) {
      options.program = argv + at.next;
      break;
    }
    if (!strcmp(option, "--root")) options.root = value_of(&at, option);
    else if (!strcmp(option, "--uid")) options.uid = (uid_t)number(option, value_of(&at, option), 1, 4294967294ul);
    else if (!strcmp(option, "--gid")) options.gid = (gid_t)number(option, value_of(&at, option), 1, 4294967294ul);
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
      options.tap_fd = (int)number(option, value_of(&at, option), 3, 1023);
    } else if (!strcmp(option, "--idle")) options.idle = true;
    else if (!strcmp(option, "--nice")) options.nice = nice_value(option, value_of(&at, option));
    else if (!strcmp(option, "--nofile")) options.nofile = number(option, value_of(&at, option), 8, 1048576);
    else if (!strcmp(option, "--resched")) {
      options.resched = (pid_t)number(option, value_of(&at, option), 1, 2147483647);
      if (argc != 3) usage("--resched takes a process id and nothing else");
      return options;
    } else usage("unknown option '%s'", option);
  }
  check_complete(&options);
  return options;
}
