/* FILE_READ: a regular file is always ready, so the stream is a task that runs while the window has room. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "open.h"

struct file_read {
  struct stream stream;
  struct task task;
  int fd;
  uint64_t left;
};

static void read_some(struct task *task) {
  struct file_read *file = owner_of(task, struct file_read, task);
  struct stream *stream = &file->stream;
  size_t room;
  uint8_t *space = stream_output_space(stream, &room);
  if (!space) return;
  if (room > file->left) room = (size_t)file->left;
  ssize_t count = room > 0 ? read(file->fd, space, room) : 0;
  if (count < 0 && errno != EINTR) {
    stream_fail(stream, errno, "read", NULL);
  } else if (count == 0) {
    stream_end_fields(stream);
    stream_end(stream);
  } else {
    if (count > 0) {
      stream_output_commit(stream, CHANNEL_OUT, (size_t)count, false);
      file->left -= (uint64_t)count;
    }
    task_queue(&stream->agent->loop, task);
  }
}

static void window_opened(struct stream *stream) {
  task_queue(&stream->agent->loop, &owner_of(stream, struct file_read, stream)->task);
}

static void release(struct stream *stream) {
  struct file_read *file = owner_of(stream, struct file_read, stream);
  task_cancel(&stream->agent->loop, &file->task);
  if (file->fd >= 0) close(file->fd);
}

static const struct stream_ops file_read_ops = {.window_opened = window_opened, .release = release, .holds_files = true};

/* Opens a regular file only: anything else might never answer. 0 or an errno. */
static int open_regular(const char *path, uint64_t offset, int *fd) {
  /* O_NONBLOCK: opening a pipe would wait for its other end. */
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (*fd < 0) return errno;
  struct stat st;
  if (fstat(*fd, &st) < 0) return errno;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  if (!S_ISREG(st.st_mode)) return EINVAL;
  if (offset > 0 && lseek(*fd, (off_t)offset, SEEK_SET) < 0) return errno;
  return 0;
}

void open_file_read(struct agent *agent, const struct stream *common, struct span fields) {
  uint64_t offset = 0, length = UINT64_MAX;
  char *path = field_string(fields, TAG_PATH);
  bool valid = path && field_u64(fields, TAG_OFFSET, &offset) != EBADMSG &&
               field_u64(fields, TAG_LENGTH, &length) != EBADMSG && offset <= INT64_MAX;
  if (!valid) {
    open_refuse(agent, common, EINVAL, "OPEN", "PATH, OFFSET or LENGTH is missing or malformed");
    free(path);
    return;
  }
  struct file_read *file = must_alloc(calloc(1, sizeof *file));
  file->stream = *common;
  file->task.run = read_some;
  file->left = length;
  stream_add(agent, &file->stream, &file_read_ops);
  int error = open_regular(path, offset, &file->fd);
  free(path);
  if (error) {
    stream_refuse(&file->stream, error, "open", error == EINVAL ? "only regular files can be read" : NULL);
    return;
  }
  stream_opened(&file->stream);
  task_queue(&agent->loop, &file->task);
}
