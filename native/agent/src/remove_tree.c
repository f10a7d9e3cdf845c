#include "remove_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "die.h"

/* The folders between the top and the one that is open, innermost first. */
struct level {
  struct level *above;
  ino_t parent_inode;
  char name[];
};

static bool is_dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

static void push(struct level **levels, ino_t parent_inode, const char *name) {
  size_t size = strlen(name) + 1;
  struct level *level = must_alloc(malloc(sizeof *level + size));
  level->above = *levels;
  level->parent_inode = parent_inode;
  memcpy(level->name, name, size);
  *levels = level;
}

/* Opens a folder of the same file system. The descriptor, or -1 and errno. */
static int open_folder(int at, const char *name, dev_t device, ino_t *inode) {
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) return fd;
  *inode = st.st_ino;
  if (st.st_dev == device) return fd;
  close(fd);
  errno = EBUSY;
  return -1;
}

enum progress { BLOCKED, FOLDER_AHEAD, EMPTY };

/* Removes what it can of the open folder; pushes the folder that must be emptied first. BLOCKED: errno says by what. */
static enum progress empty_some(DIR *folder, ino_t inode, struct level **levels) {
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(folder);
    if (!entry) return errno ? BLOCKED : EMPTY;
    if (is_dots(entry->d_name)) continue;
    if (unlinkat(dirfd(folder), entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR) return BLOCKED;
    if (unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
    if (errno != ENOTEMPTY && errno != EEXIST) return BLOCKED;
    push(levels, inode, entry->d_name);
    return FOLDER_AHEAD;
  }
}

/* Goes back to the folder above and removes the one that was emptied. The folder above, or -1 and errno. */
static int leave(int fd, struct level **levels, dev_t device, ino_t *inode) {
  struct level *left = *levels;
  int above = open_folder(fd, "..", device, inode);
  int error = above < 0 ? errno : 0;
  /* Somebody has moved it meanwhile: what is above now is not what was asked for. */
  if (!error && *inode != left->parent_inode) error = EBUSY;
  if (!error && unlinkat(above, left->name, AT_REMOVEDIR) < 0 && errno != ENOENT) error = errno;
  *levels = left->above;
  free(left);
  if (!error) return above;
  if (above >= 0) close(above);
  errno = error;
  return -1;
}

static int empty_folder(int fd, dev_t device, ino_t inode) {
  struct level *levels = NULL;
  int error = 0;
  for (bool done = false; !error && !done;) {
    DIR *folder = fdopendir(fd);
    if (!folder) {
      error = errno;
      close(fd);
      break;
    }
    int next = -1;
    enum progress progress = empty_some(folder, inode, &levels);
    if (progress == FOLDER_AHEAD) {
      next = open_folder(fd, levels->name, device, &inode);
    } else if (progress == EMPTY && levels) {
      next = leave(fd, &levels, device, &inode);
    } else {
      done = progress == EMPTY;
    }
    if (!done && next < 0) error = errno;
    closedir(folder);
    fd = next;
  }
  while (levels) {
    struct level *above = levels->above;
    free(levels);
    levels = above;
  }
  return error;
}

/* Without slashes at its end, which would lead through a link. 0, or an errno for a path that is not to be removed. */
static int check_path(char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') path[--length] = 0;
  if (!strcmp(path, "/")) return EBUSY;
  const char *slash = strrchr(path, '/');
  return is_dots(slash ? slash + 1 : path) ? EINVAL : 0;
}

/* The root of a file system is a mount point, or the place of a bind mount that only rmdir can tell. */
static int is_mount_point(int fd, dev_t device) {
  struct stat above;
  if (fstatat(fd, "..", &above, 0) < 0) return errno;
  return above.st_dev == device ? 0 : EBUSY;
}

int remove_tree(char *path, bool recursive, const char **step) {
  struct stat st;
  *step = "remove";
  int error = check_path(path);
  if (!error && lstat(path, &st) < 0) error = errno;
  if (error) return error;
  if (!S_ISDIR(st.st_mode)) return unlink(path) < 0 ? errno : 0;
  if (rmdir(path) == 0) return 0;
  if (!recursive || (errno != ENOTEMPTY && errno != EEXIST)) return errno;
  ino_t inode = 0;
  int fd = open_folder(AT_FDCWD, path, st.st_dev, &inode);
  if (fd < 0) return errno;
  error = is_mount_point(fd, st.st_dev);
  if (error) {
    close(fd);
    return error;
  }
  *step = "remove what is in it";
  error = empty_folder(fd, st.st_dev, inode);
  if (error) return error;
  *step = "remove";
  return rmdir(path) < 0 ? errno : 0;
}
