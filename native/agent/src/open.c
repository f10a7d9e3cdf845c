#include "open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent.h"
#include "die.h"
#include "freeze.h"
#include "listen.h"

char *field_string(struct span fields, uint16_t tag) {
  struct span value;
  if (!field_span(fields, tag, &value) || value.length == 0) return NULL;
  if (memchr(value.bytes, 0, value.length)) return NULL;
  char *text = must_alloc(malloc(value.length + 1));
  memcpy(text, value.bytes, value.length);
  text[value.length] = 0;
  return text;
}

static int make_directory(const char *path) { return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : errno; }

int make_directories(const char *path, bool whole) {
  char *copy = must_alloc(strdup(path));
  int error = 0;
  for (char *slash = strchr(copy + 1, '/'); slash && !error; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    error = make_directory(copy);
    *slash = '/';
  }
  if (!error && whole) error = make_directory(copy);
  free(copy);
  return error;
}

void open_refuse(struct agent *agent, const struct stream *common, int error, const char *step, const char *text) {
  session_fail(agent, MSG_OPEN, common->id, error, step, text);
}

/* A number that may be missing, but not malformed. */
static bool optional(int result) { return result == 0 || result == ENODATA; }

static bool read_common(const struct message *message, struct stream *common, uint8_t *once) {
  uint8_t keep = 0;
  *once = 0;
  *common = (struct stream){.id = message->id};
  if (field_u8(message->fields, TAG_KIND, &common->kind) || field_u32(message->fields, TAG_WINDOW, &common->out.window)) {
    return false;
  }
  if (common->out.window < MIN_WINDOW || common->out.window > MAX_WINDOW) return false;
  if (!optional(field_u8(message->fields, TAG_KEEP, &keep)) || !optional(field_u8(message->fields, TAG_ONCE, once))) {
    return false;
  }
  common->keep = keep == 1;
  struct span key;
  if (!field_span(message->fields, TAG_KEY, &key)) return *once == 0;
  if (key.length > MAX_KEY) return false;
  if (key.length > 0) memcpy(common->key, key.bytes, key.length);
  common->key_length = (uint8_t)key.length;
  return true;
}

/* What writes to the disk waits while it is frozen: a write would hold up the whole agent. */
static bool writes_to_disk(uint8_t kind, struct span fields) {
  struct span path;
  if (kind == KIND_LISTEN) return field_span(fields, TAG_PATH, &path);
  return kind == KIND_FILE_WRITE || kind == KIND_TAR_IN;
}

typedef void opener(struct agent *agent, const struct stream *common, struct span fields);

static opener *const openers[] = {
    [KIND_EXEC] = open_process,        [KIND_PTY] = open_process, [KIND_FILE_READ] = open_file_read,
    [KIND_FILE_WRITE] = open_file_write, [KIND_LIST] = open_list,   [KIND_TAR_OUT] = open_tar,
    [KIND_TAR_IN] = open_tar,          [KIND_TCP] = open_tcp,
    [KIND_LISTEN] = open_listen,       [KIND_ACCEPT] = open_accept,
};

void request_open(struct agent *agent, const struct message *message) {
  struct stream common;
  uint8_t once;
  if (!read_common(message, &common, &once)) {
    open_refuse(agent, &common, EINVAL, "OPEN", "KIND, WINDOW or KEY is missing or out of range");
    return;
  }
  if (common.kind == 0 || common.kind >= sizeof openers / sizeof openers[0]) {
    open_refuse(agent, &common, ENOSYS, "OPEN", "this kind of stream is not known");
    return;
  }
  if (stream_find(agent, common.id)) {
    open_refuse(agent, &common, EBUSY, "OPEN", "a live stream has this id");
    return;
  }
  if (agent->streams.count >= MAX_STREAMS) {
    if (common.kind == KIND_ACCEPT) listen_drop(agent, message->fields);
    open_refuse(agent, &common, EMFILE, "OPEN", "there are 256 live streams");
    return;
  }
  struct span key = {common.key, common.key_length};
  int error = once ? once_check(agent, key) : 0;
  if (error) {
    open_refuse(agent, &common, error, "ONCE", NULL);
    return;
  }
  if (writes_to_disk(common.kind, message->fields) && disk_is_frozen(agent)) {
    session_defer(agent, message);
    return;
  }
  openers[common.kind](agent, &common, message->fields);
  if (once && stream_find(agent, common.id)) once_remember(agent, key);
}
