/* STAT, and the description of a file that LIST shares with it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "open.h"
#include "requests.h"

int describe_file(struct builder *out, int directory, const char *path, bool follow) {
  struct stat st;
  if (fstatat(directory, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) return errno;
  put_u32(out, TAG_MODE, st.st_mode);
  put_u64(out, TAG_SIZE, (uint64_t)st.st_size);
  /* A time before 1970 cannot be told. */
  uint64_t seconds = st.st_mtim.tv_sec > 0 ? (uint64_t)st.st_mtim.tv_sec : 0;
  put_u64(out, TAG_MTIME, seconds * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
  put_u32(out, TAG_UID, st.st_uid);
  put_u32(out, TAG_GID, st.st_gid);
  if (S_ISLNK(st.st_mode)) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(directory, path, target, sizeof target);
    if (length >= 0) put_bytes(out, TAG_TARGET, target, (size_t)length);
  }
  return 0;
}

void request_stat(struct agent *agent, const struct message *message) {
  uint8_t follow = 0;
  char *path = field_string(message->fields, TAG_PATH);
  int error = path ? 0 : EINVAL;
  if (field_u8(message->fields, TAG_FOLLOW, &follow) == EBADMSG) error = EINVAL;
  struct builder *out = session_build(agent);
  if (!error) error = describe_file(out, AT_FDCWD, path, follow == 1);
  free(path);
  if (error) {
    session_fail(agent, message->type, message->id, error, "stat", NULL);
  } else {
    session_reply(agent, message, out);
  }
}
