/* EXEC and PTY: the fields of OPEN, turned into a program to start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "die.h"
#include "open.h"
#include "process.h"
#include "script.h"

enum { MAX_ARGUMENTS = 32768, DEFAULT_KILL_AFTER_MS = 10000 };

struct command {
  char **argv;
  char *arena;
};

static void command_free(struct command *command) {
  free(command->argv);
  free(command->arena);
}

/* Copies the ARGV fields. 0, E2BIG, or EINVAL when there is none or one holds a zero. */
static int command_from_argv(struct command *command, struct span fields) {
  size_t count = 0, bytes = 0;
  struct field field;
  for (struct span rest = fields; field_next(&rest, &field);) {
    if (field.tag != TAG_ARGV) continue;
    if (memchr(field.value.bytes, 0, field.value.length)) return EINVAL;
    count++;
    bytes += field.value.length + 1;
  }
  if (count == 0) return EINVAL;
  if (count > MAX_ARGUMENTS) return E2BIG;
  command->argv = must_alloc(malloc((count + 1) * sizeof(char *)));
  char *at = command->arena = must_alloc(malloc(bytes));
  size_t index = 0;
  for (struct span rest = fields; field_next(&rest, &field);) {
    if (field.tag != TAG_ARGV) continue;
    command->argv[index++] = at;
    memcpy(at, field.value.bytes, field.value.length);
    at[field.value.length] = 0;
    at += field.value.length + 1;
  }
  command->argv[index] = NULL;
  return 0;
}

static void command_from_script(struct command *command, const char *path, struct span text) {
  command->argv = must_alloc(calloc(3, sizeof(char *)));
  command->arena = must_alloc(strdup(path));
  if (script_has_interpreter(text)) {
    command->argv[0] = command->arena;
  } else {
    command->argv[0] = (char *)"/bin/sh";
    command->argv[1] = command->arena;
  }
}

static bool optional(int result) { return result == 0 || result == ENODATA; }

struct options {
  uint8_t with_input, kill_group;
  uint64_t timeout_ms, kill_after_ms;
  uint16_t rows, cols;
  struct span modes;
};

static bool read_options(struct options *options, struct span fields) {
  *options = (struct options){.kill_after_ms = DEFAULT_KILL_AFTER_MS, .rows = 24, .cols = 80};
  field_span(fields, TAG_MODES, &options->modes);
  return optional(field_u8(fields, TAG_STDIN, &options->with_input)) &&
         optional(field_u8(fields, TAG_KILL_GROUP, &options->kill_group)) &&
         optional(field_u64(fields, TAG_TIMEOUT_MS, &options->timeout_ms)) &&
         optional(field_u64(fields, TAG_KILL_AFTER_MS, &options->kill_after_ms)) &&
         optional(field_u16(fields, TAG_ROWS, &options->rows)) &&
         optional(field_u16(fields, TAG_COLS, &options->cols));
}

static void start(struct process *process, const struct options *options, const struct command *command,
                  const struct environment *env, const char *cwd) {
  struct agent *agent = process->stream.agent;
  uint32_t id = process->stream.id;
  process->kill_group = options->kill_group == 1;
  process->kill_after_ms = options->kill_after_ms;
  process_start(process, &(struct process_start){
                             .argv = command->argv,
                             .env = env,
                             .cwd = cwd ? cwd : "/root",
                             .cwd_optional = !cwd,
                             .with_input = options->with_input == 1,
                             .with_output = true,
                             .rows = options->rows,
                             .cols = options->cols,
                             .modes = options->modes,
                         });
  /* A program that could not be started took its stream with it. */
  if (options->timeout_ms > 0 && stream_find(agent, id)) {
    timer_arm(&agent->loop, &process->timeout, options->timeout_ms);
  }
}

void open_process(struct agent *agent, const struct stream *common, struct span fields) {
  struct options options;
  struct span script, argument;
  bool has_script = field_span(fields, TAG_SCRIPT, &script);
  if (!read_options(&options, fields) || has_script == field_span(fields, TAG_ARGV, &argument)) {
    open_refuse(agent, common, EINVAL, "OPEN", "either ARGV or SCRIPT is needed, and numbers of the right size");
    return;
  }
  struct environment env = {0};
  int error = environment_make(agent, &env, fields);
  if (error) {
    open_refuse(agent, common, error, "ENV", "at most 8192 entries NAME=value");
    return;
  }
  struct command command = {0};
  char *script_path = NULL;
  if (has_script) {
    script_path = script_write(agent, script, &error);
    if (!error) command_from_script(&command, script_path, script);
  } else {
    error = command_from_argv(&command, fields);
  }
  if (error) {
    open_refuse(agent, common, error, has_script ? "script" : "ARGV", NULL);
  } else {
    char *cwd = field_string(fields, TAG_CWD);
    struct process *process = process_new(agent, common);
    process->script = script_path;
    start(process, &options, &command, &env, cwd);
    free(cwd);
  }
  command_free(&command);
  environment_free(&env);
}
