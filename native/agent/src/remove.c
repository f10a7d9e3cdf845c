#include "remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "freeze.h"
#include "open.h"
#include "remove_tree.h"

/* What the child says at its end, through a pipe. */
struct outcome {
  int error;
  char step[32];
};

struct removal {
  struct removal *next;
  struct agent *agent;
  struct source result;
  struct message message; /* without fields */
  bool forgotten;
};

static void end(struct removal *removal, const struct outcome *outcome) {
  struct agent *agent = removal->agent;
  const struct message *message = &removal->message;
  if (!removal->forgotten && outcome->error) {
    session_fail(agent, message->type, message->id, outcome->error, outcome->step, NULL);
  } else if (!removal->forgotten) {
    session_reply(agent, message, session_build(agent));
  }
  source_close(&agent->loop, &removal->result);
  struct removal **at = &agent->removals;
  while (*at != removal) at = &(*at)->next;
  *at = removal->next;
  free(removal);
}

static void on_result(struct source *source, uint32_t events) {
  struct removal *removal = owner_of(source, struct removal, result);
  /* A child that was killed says nothing. */
  struct outcome outcome = {ECANCELED, "remove"};
  ssize_t count = read(source->fd, &outcome, sizeof outcome);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count != sizeof outcome) outcome = (struct outcome){ECANCELED, "remove"};
  end(removal, &outcome);
}

static _Noreturn void remove_and_exit(char *path, bool recursive, int fd) {
  struct outcome outcome = {0};
  const char *step;
  outcome.error = remove_tree(path, recursive, &step);
  snprintf(outcome.step, sizeof outcome.step, "%s", step);
  ssize_t written = write(fd, &outcome, sizeof outcome);
  _exit(written == sizeof outcome ? 0 : 1);
}

static int start(struct agent *agent, const struct message *message, char *path, bool recursive) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return errno;
  pid_t pid = fork();
  int error = pid < 0 ? errno : 0;
  if (pid == 0) remove_and_exit(path, recursive, fds[1]);
  close(fds[1]);
  if (error) {
    close(fds[0]);
    return error;
  }
  struct removal *removal = must_alloc(calloc(1, sizeof *removal));
  removal->agent = agent;
  removal->message = (struct message){.type = message->type, .id = message->id};
  removal->result = (struct source){.fd = fds[0], .ready = on_result};
  removal->next = agent->removals;
  agent->removals = removal;
  source_watch(&agent->loop, &removal->result, EPOLLIN);
  return 0;
}

enum { MAX_REMOVALS = 32 };

static bool too_many(const struct agent *agent) {
  unsigned count = 0;
  for (const struct removal *removal = agent->removals; removal; removal = removal->next) count++;
  return count >= MAX_REMOVALS;
}

void request_remove(struct agent *agent, const struct message *message) {
  if (disk_is_frozen(agent)) {
    session_defer(agent, message);
    return;
  }
  uint8_t recursive = 0;
  char *path = field_string(message->fields, TAG_PATH);
  int error = path ? 0 : EINVAL;
  if (field_u8(message->fields, TAG_RECURSIVE, &recursive) == EBADMSG) error = EINVAL;
  if (!error && too_many(agent)) error = EAGAIN;
  if (!error) error = start(agent, message, path, recursive == 1);
  free(path);
  if (error) session_fail(agent, message->type, message->id, error, "remove", NULL);
}

void removals_forget(struct agent *agent) {
  for (struct removal *removal = agent->removals; removal; removal = removal->next) removal->forgotten = true;
}
