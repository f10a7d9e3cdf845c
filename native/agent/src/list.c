/* LIST: one record per entry of a directory, in the order in which the file system gives them. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "die.h"
#include "open.h"
#include "requests.h"

/* So many entries a turn: each costs a system call or two. */
enum { ENTRIES_PER_TURN = 128 };

struct list {
  struct stream stream;
  struct task task;
  DIR *directory;
};

static bool is_dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

static void send_entry(struct list *list, const char *name, uint8_t *space, size_t room) {
  struct builder *out = session_build(list->stream.agent);
  put_text(out, TAG_NAME, name);
  /* It may have gone meanwhile: then it is no entry. */
  if (describe_file(out, dirfd(list->directory), name, false) != 0 || out->length > room) return;
  memcpy(space, out->bytes, out->length);
  stream_output_commit(&list->stream, CHANNEL_OUT, out->length, false);
}

static void list_some(struct task *task) {
  struct list *list = owner_of(task, struct list, task);
  for (int i = 0; i < ENTRIES_PER_TURN; i++) {
    size_t room;
    uint8_t *space = stream_output_space(&list->stream, &room);
    if (!space) return;
    errno = 0;
    const struct dirent *entry = readdir(list->directory);
    if (!entry) {
      if (errno) {
        stream_fail(&list->stream, errno, "readdir", NULL);
      } else {
        stream_end_fields(&list->stream);
        stream_end(&list->stream);
      }
      return;
    }
    if (!is_dots(entry->d_name)) send_entry(list, entry->d_name, space, room);
  }
  task_queue(&list->stream.agent->loop, task);
}

static void window_opened(struct stream *stream) {
  task_queue(&stream->agent->loop, &owner_of(stream, struct list, stream)->task);
}

static void release(struct stream *stream) {
  struct list *list = owner_of(stream, struct list, stream);
  task_cancel(&stream->agent->loop, &list->task);
  if (list->directory) closedir(list->directory);
}

static const struct stream_ops list_ops = {.window_opened = window_opened, .release = release, .holds_files = true};

void open_list(struct agent *agent, const struct stream *common, struct span fields) {
  char *path = field_string(fields, TAG_PATH);
  if (!path) {
    open_refuse(agent, common, EINVAL, "OPEN", "PATH is missing");
    return;
  }
  struct list *list = must_alloc(calloc(1, sizeof *list));
  list->stream = *common;
  list->task.run = list_some;
  stream_add(agent, &list->stream, &list_ops);
  list->directory = opendir(path);
  int error = list->directory ? 0 : errno;
  free(path);
  if (error) {
    stream_refuse(&list->stream, error, "opendir", NULL);
    return;
  }
  stream_opened(&list->stream);
  task_queue(&agent->loop, &list->task);
}
