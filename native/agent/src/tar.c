/* TAR_OUT and TAR_IN: the guest's own tar, with the stream as its archive. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent.h"
#include "die.h"
#include "open.h"
#include "process.h"

enum { FIXED_ARGUMENTS = 8, MAX_PATHS = 32768 };

/*
 * GNU tar exits with 1 when it read everything but something changed meanwhile, which is no failure of a copy of a
 * running system. (busybox exits with 1 for every failure, with other words.)
 */
static bool only_changed(const struct tail *tail) {
  static const char *const harmless[] = {"as we read it", "before we read it", "padding with zeros"};
  if (tail->length == 0) return false;
  const char *line = tail->text, *end = tail->text + tail->length;
  /* A full buffer begins in the middle of a line. */
  if (tail->length == sizeof tail->text) line = memchr(line, '\n', tail->length);
  while (line && line < end) {
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    size_t length = (size_t)((newline ? newline : end) - line);
    bool known = length == 0;
    for (unsigned i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
      known = known || memmem(line, length, harmless[i], strlen(harmless[i]));
    }
    if (!known) return false;
    line = newline ? newline + 1 : NULL;
  }
  return true;
}

static void finish(struct process *process) {
  struct stream *stream = &process->stream;
  const struct tail *tail = process->stderr_tail;
  int status = process->status;
  bool ok = WIFEXITED(status) && (WEXITSTATUS(status) == 0 || (stream->kind == KIND_TAR_OUT &&
                                                               WEXITSTATUS(status) == 1 && only_changed(tail)));
  struct builder *end = stream_end_fields(stream);
  if (!ok) {
    put_u32(end, TAG_ERRNO, EIO);
    put_text(end, TAG_STEP, "tar");
    put_bytes(end, TAG_MESSAGE, tail->text, tail->length);
  }
  if (stream->kind == KIND_TAR_IN) put_u64(end, TAG_BYTES, stream->in.taken_offset);
  stream_end(stream);
}

static size_t add_paths(char **argv, struct span fields, char *arena) {
  size_t count = 0;
  struct field field;
  while (field_next(&fields, &field)) {
    if (field.tag != TAG_PATH) continue;
    argv[count++] = arena;
    memcpy(arena, field.value.bytes, field.value.length);
    arena[field.value.length] = 0;
    arena += field.value.length + 1;
  }
  return count;
}

/* The number of PATH fields; 0 when there are none, too many, or one is empty or holds a zero. */
static size_t count_paths(struct span fields) {
  size_t count = 0;
  struct field field;
  while (field_next(&fields, &field)) {
    if (field.tag != TAG_PATH) continue;
    if (field.value.length == 0 || memchr(field.value.bytes, 0, field.value.length) || ++count > MAX_PATHS) return 0;
  }
  return count;
}

static void start(struct process *process, char *const *argv, const char *cwd) {
  struct agent *agent = process->stream.agent;
  /* Its messages are part of what END says, and must not depend on a language. */
  static const uint8_t no_language[] = {TAG_ENV, 0, 8, 0, 0, 0, 'L', 'C', '_', 'A', 'L', 'L', '=', 'C'};
  struct environment env = {0};
  int error = environment_make(agent, &env, (struct span){no_language, sizeof no_language});
  if (error) die("environment of tar", error);
  process->finish = finish;
  process->stderr_tail = must_alloc(calloc(1, sizeof *process->stderr_tail));
  /* If tar ends badly, what it started (a decompressor, say) goes with it. */
  process->kill_group = true;
  process_start(process, &(struct process_start){
                             .argv = argv,
                             .env = &env,
                             .cwd = cwd,
                             .with_input = process->stream.kind == KIND_TAR_IN,
                             .with_output = process->stream.kind == KIND_TAR_OUT,
                         });
  environment_free(&env);
}

void open_tar(struct agent *agent, const struct stream *common, struct span fields) {
  bool in = common->kind == KIND_TAR_IN;
  size_t paths = in ? 0 : count_paths(fields);
  char *cwd = field_string(fields, TAG_CWD);
  if (!cwd || (!in && paths == 0)) {
    open_refuse(agent, common, EINVAL, "OPEN", "CWD and, for TAR_OUT, PATH are needed");
    free(cwd);
    return;
  }
  int error = in ? make_directories(cwd, true) : 0;
  if (error) {
    open_refuse(agent, common, error, "mkdir", NULL);
    free(cwd);
    return;
  }
  char **argv = must_alloc(calloc(FIXED_ARGUMENTS + paths, sizeof(char *)));
  char *arena = must_alloc(malloc(fields.length + 1));
  size_t count = 0;
  argv[count++] = (char *)"tar";
  argv[count++] = (char *)(in ? "-x" : "-c");
  argv[count++] = (char *)"-f";
  argv[count++] = (char *)"-";
  /* The files become root's: the numbers of another machine's users mean nothing here. (GNU and busybox.) */
  if (in) argv[count++] = (char *)"-o";
  argv[count++] = (char *)"--";
  if (!in) add_paths(argv + count, fields, arena);
  struct process *process = process_new(agent, common);
  start(process, argv, cwd);
  free(arena);
  free(argv);
  free(cwd);
}
