/*
 * FILE_WRITE: bytes go straight to the file, and the agent waits for it as long as that takes. With WRITE_ATOMIC they go
 * to a temporary file beside it that takes its place at the end. While the disk is frozen nothing is taken, and what
 * would change the disk is put off until it is thawed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "freeze.h"
#include "open.h"

struct file_write {
  struct stream stream;
  int fd;
  bool exclusive;
  bool ending; /* all input was taken, but the disk is frozen */
  bool has_mtime;
  struct timespec mtime;
  uint64_t bytes;
  char *path, *temporary; /* `temporary` only when atomic */
};

static void fail(struct file_write *file, const char *step) { stream_fail(&file->stream, errno, step, NULL); }

static ssize_t take(struct stream *stream, const uint8_t *bytes, size_t length) {
  struct file_write *file = owner_of(stream, struct file_write, stream);
  if (disk_is_frozen(stream->agent)) return 0;
  size_t done = 0;
  while (done < length) {
    ssize_t count = write(file->fd, bytes + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      fail(file, "write");
      return -1;
    }
    done += (size_t)count;
  }
  file->bytes += length;
  return (ssize_t)length;
}

/* Puts the finished temporary file in the place of the old one. */
static bool put_in_place(struct file_write *file) {
  if (fsync(file->fd) < 0) return false;
  if (file->exclusive) {
    /* link fails if the name exists, which rename would not. */
    if (link(file->temporary, file->path) < 0) return false;
    unlink(file->temporary);
  } else if (rename(file->temporary, file->path) < 0) {
    return false;
  }
  free(file->temporary);
  file->temporary = NULL;
  return true;
}

static void input_ended(struct stream *stream) {
  struct file_write *file = owner_of(stream, struct file_write, stream);
  file->ending = true;
  if (disk_is_frozen(stream->agent)) return;
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, file->mtime};
  if (file->has_mtime && futimens(file->fd, times) < 0) {
    fail(file, "utimens");
    return;
  }
  if (file->temporary && !put_in_place(file)) {
    fail(file, "replace");
    return;
  }
  int fd = file->fd;
  file->fd = -1;
  if (close(fd) < 0) {
    fail(file, "close");
    return;
  }
  put_u64(stream_end_fields(stream), TAG_BYTES, file->bytes);
  stream_end(stream);
}

static void thawed(struct stream *stream) {
  if (owner_of(stream, struct file_write, stream)->ending) {
    input_ended(stream);
  } else {
    stream_pump_input(stream);
  }
}

static void release(struct stream *stream) {
  struct file_write *file = owner_of(stream, struct file_write, stream);
  if (file->fd >= 0) close(file->fd);
  if (file->temporary) unlink_when_thawed(stream->agent, file->temporary, NULL);
  free(file->path);
  free(file->temporary);
  file->path = file->temporary = NULL;
}

static const struct stream_ops file_write_ops = {
    .take = take, .input_ended = input_ended, .thawed = thawed, .release = release, .holds_files = true};

/* Creates a file beside the one to be replaced. */
static int create_temporary(struct file_write *file, struct agent *agent) {
  const char *slash = strrchr(file->path, '/');
  int directory = slash ? (int)(slash + 1 - file->path) : 0;
  int fd;
  do {
    free(file->temporary);
    if (asprintf(&file->temporary, "%.*s.mags-write-%u", directory, file->path, ++agent->names_made) < 0) {
      die("out of memory", 0);
    }
    fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  } while (fd < 0 && errno == EEXIST);
  if (fd < 0) {
    int error = errno;
    free(file->temporary);
    file->temporary = NULL;
    errno = error;
  }
  return fd;
}

static int create(struct file_write *file, uint8_t flags) {
  if (flags & WRITE_ATOMIC) return create_temporary(file, file->stream.agent);
  int how = flags & WRITE_APPEND ? O_APPEND : O_TRUNC;
  if (flags & WRITE_EXCLUSIVE) how |= O_EXCL;
  /* O_NONBLOCK: opening a pipe that nobody reads would wait. */
  int fd = open(file->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | how, 0644);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0 || S_ISREG(st.st_mode)) return fd;
  close(fd);
  errno = EINVAL;
  return -1;
}

/* The mode that was asked for; else a replacement keeps mode and owner of what it replaces, or has those of a new file. */
static int set_mode(const struct file_write *file, const uint32_t *mode) {
  if (mode) return fchmod(file->fd, *mode & 07777);
  if (!file->temporary) return 0;
  struct stat old;
  if (stat(file->path, &old) < 0) return fchmod(file->fd, 0644);
  if (fchown(file->fd, old.st_uid, old.st_gid) < 0) return -1;
  return fchmod(file->fd, old.st_mode & 07777);
}

/* 0 or an errno, with `*step` what failed. */
static int prepare(struct file_write *file, uint8_t flags, const uint32_t *mode, const char **step) {
  *step = "mkdir";
  int error = flags & WRITE_PARENTS ? make_directories(file->path, false) : 0;
  if (error) return error;
  *step = "open";
  file->fd = create(file, flags);
  if (file->fd < 0) return errno;
  *step = "chmod";
  return set_mode(file, mode) < 0 ? errno : 0;
}

void open_file_write(struct agent *agent, const struct stream *common, struct span fields) {
  uint32_t mode = 0;
  uint8_t flags = 0;
  char *path = field_string(fields, TAG_PATH);
  int has_mode = field_u32(fields, TAG_MODE, &mode);
  uint64_t mtime = 0;
  int has_mtime = field_u64(fields, TAG_MTIME, &mtime);
  bool valid = path && has_mode != EBADMSG && has_mtime != EBADMSG && field_u8(fields, TAG_WRITE_FLAGS, &flags) != EBADMSG;
  if (!valid || (flags & WRITE_ATOMIC && flags & WRITE_APPEND)) {
    open_refuse(agent, common, EINVAL, "OPEN", "PATH, MODE, MTIME or WRITE_FLAGS is missing or malformed");
    free(path);
    return;
  }
  struct file_write *file = must_alloc(calloc(1, sizeof *file));
  file->stream = *common;
  file->fd = -1;
  file->path = path;
  file->exclusive = flags & WRITE_EXCLUSIVE;
  file->has_mtime = has_mtime == 0;
  file->mtime = (struct timespec){.tv_sec = (time_t)(mtime / 1000000000u), .tv_nsec = (long)(mtime % 1000000000u)};
  stream_add(agent, &file->stream, &file_write_ops);
  const char *step;
  int error = prepare(file, flags, has_mode == 0 ? &mode : NULL, &step);
  if (error) {
    stream_refuse(&file->stream, error, step, NULL);
  } else {
    stream_opened(&file->stream);
  }
}
