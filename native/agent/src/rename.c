/* RENAME and MKDIR: one system call each, or a few. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent.h"
#include "freeze.h"
#include "open.h"
#include "requests.h"

static void answer(struct agent *agent, const struct message *message, int error, const char *step) {
  if (error) {
    session_fail(agent, message->type, message->id, error, step, NULL);
  } else {
    session_reply(agent, message, session_build(agent));
  }
}

void request_rename(struct agent *agent, const struct message *message) {
  if (disk_is_frozen(agent)) {
    session_defer(agent, message);
    return;
  }
  uint8_t no_replace = 0;
  char *path = field_string(message->fields, TAG_PATH), *to = field_string(message->fields, TAG_NEW_PATH);
  int error = path && to ? 0 : EINVAL;
  if (field_u8(message->fields, TAG_NO_REPLACE, &no_replace) == EBADMSG) error = EINVAL;
  unsigned flags = no_replace == 1 ? RENAME_NOREPLACE : 0;
  if (!error && renameat2(AT_FDCWD, path, AT_FDCWD, to, flags) < 0) error = errno;
  free(path);
  free(to);
  answer(agent, message, error, "rename");
}

void request_mkdir(struct agent *agent, const struct message *message) {
  if (disk_is_frozen(agent)) {
    session_defer(agent, message);
    return;
  }
  uint8_t parents = 0;
  uint32_t mode = 0755;
  char *path = field_string(message->fields, TAG_PATH);
  int error = path ? 0 : EINVAL;
  if (field_u8(message->fields, TAG_PARENTS, &parents) == EBADMSG) error = EINVAL;
  if (field_u32(message->fields, TAG_MODE, &mode) == EBADMSG) error = EINVAL;
  if (!error && parents == 1) error = make_directories(path, false);
  if (!error) {
    struct stat st;
    bool made = mkdir(path, 0700) == 0;
    if (!made) error = errno;
    if (error == EEXIST && parents == 1 && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) error = 0;
    /* The mode that was asked for, whatever the umask. */
    if (made && chmod(path, mode & 07777) < 0) error = errno;
  }
  free(path);
  answer(agent, message, error, "mkdir");
}
