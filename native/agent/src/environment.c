#include "environment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"

enum { MAX_ENTRIES = 8192, MAX_FILE = 16384, MAX_FILE_ENTRIES = 256 };

static const char *const defaults[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "USER=root",
    "LOGNAME=root",
    "LANG=C.UTF-8",
};
enum { DEFAULT_COUNT = sizeof defaults / sizeof defaults[0] };

/* The length of NAME in NAME=value; 0 when there is none. */
static size_t name_length(const char *entry) {
  const char *equals = strchr(entry, '=');
  return equals ? (size_t)(equals - entry) : 0;
}

static bool has_name(char *const *entries, size_t count, const char *entry) {
  size_t length = name_length(entry) + 1;
  for (size_t i = 0; i < count; i++) {
    if (!strncmp(entries[i], entry, length)) return true;
  }
  return false;
}

/*
 * One line of /etc/environment, nearly as PAM reads it: NAME=value, perhaps quoted, perhaps after "export". A `#` begins
 * a comment at the start of a line only, so that it may be part of a value.
 */
static char *parse_line(char *line) {
  line += strspn(line, " \t");
  if (line[0] == '#') return NULL;
  if (!strncmp(line, "export ", 7)) line += 7 + strspn(line + 7, " \t");
  line[strcspn(line, "\r")] = 0;
  size_t length = strlen(line);
  while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t')) line[--length] = 0;
  size_t name = name_length(line);
  if (name == 0) return NULL;
  char *value = line + name + 1;
  size_t value_length = length - name - 1;
  if (value_length >= 2 && (value[0] == '"' || value[0] == '\'') && value[value_length - 1] == value[0]) {
    memmove(value, value + 1, value_length - 2);
    value[value_length - 2] = 0;
  }
  return line;
}

static size_t read_file(struct agent *agent, char *to, size_t room) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/etc/environment", agent->root);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return 0;
  ssize_t count = read(fd, to, room);
  close(fd);
  return count > 0 ? (size_t)count : 0;
}

/* Copies the ENV fields into the arena. */
static int take_fields(struct environment *env, struct span fields, size_t *count, char **arena) {
  struct field field;
  while (field_next(&fields, &field)) {
    if (field.tag != TAG_ENV) continue;
    if (*count == MAX_ENTRIES) return E2BIG;
    const uint8_t *bytes = field.value.bytes;
    size_t length = field.value.length;
    if (length == 0 || bytes[0] == '=' || memchr(bytes, 0, length) || !memchr(bytes, '=', length)) return EINVAL;
    env->entries[(*count)++] = *arena;
    memcpy(*arena, bytes, length);
    (*arena)[length] = 0;
    *arena += length + 1;
  }
  return 0;
}

int environment_make(struct agent *agent, struct environment *env, struct span fields) {
  size_t capacity = 0;
  struct span rest = fields;
  struct field field;
  while (field_next(&rest, &field)) capacity += field.tag == TAG_ENV;
  if (capacity > MAX_ENTRIES) capacity = MAX_ENTRIES;
  capacity += DEFAULT_COUNT + 1 + MAX_FILE_ENTRIES + 1;
  /* Each entry has its field header's room to end with a zero in. */
  env->arena = must_alloc(malloc(fields.length + MAX_FILE + 1));
  env->entries = must_alloc(malloc(capacity * sizeof(char *)));

  size_t count = 0;
  char *at = env->arena;
  int error = take_fields(env, fields, &count, &at);
  if (error) {
    environment_free(env);
    return error;
  }
  at[read_file(agent, at, MAX_FILE)] = 0;
  size_t given = count;
  for (char *save, *line = strtok_r(at, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    char *entry = parse_line(line);
    if (!entry || count - given == MAX_FILE_ENTRIES || has_name(env->entries, given, entry)) continue;
    env->entries[count++] = entry;
  }
  size_t above_defaults = count;
  for (size_t i = 0; i < DEFAULT_COUNT; i++) {
    if (!has_name(env->entries, above_defaults, defaults[i])) env->entries[count++] = (char *)defaults[i];
  }
  const char *shell = access("/bin/bash", X_OK) == 0 ? "SHELL=/bin/bash" : "SHELL=/bin/sh";
  if (!has_name(env->entries, above_defaults, shell)) env->entries[count++] = (char *)shell;
  env->entries[count] = NULL;
  env->path = "";
  for (size_t i = 0; i < count; i++) {
    if (!strncmp(env->entries[i], "PATH=", 5)) env->path = env->entries[i] + 5;
  }
  return 0;
}

void environment_free(struct environment *env) {
  free(env->entries);
  free(env->arena);
  *env = (struct environment){0};
}
