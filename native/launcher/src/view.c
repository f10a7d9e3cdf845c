#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fail.h"

/* The working directory is the new root from `mount_root` on, so a target is named by its path behind a dot. */
static void target_path(char *out, size_t size, const char *inner) {
  if ((size_t)snprintf(out, size, ".%s", inner) >= size) fail("mount on %s: the path is too long", inner);
}

static void mount_bind(const char *source, const char *inner, unsigned long flags) {
  char target[4096];
  target_path(target, sizeof target, inner);
  if (mount(source, target, NULL, MS_BIND, NULL)) fail_errno("bind %s on %s", source, inner);
  /* The flags of a bind mount only count when it is mounted anew. */
  if (mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | flags, NULL))
    fail_errno("restrict the bind of %s on %s", source, inner);
}

static void mount_tmpfs(const char *inner, unsigned long flags, const char *data) {
  char target[4096];
  target_path(target, sizeof target, inner);
  if (mount("tmpfs", target, "tmpfs", flags, data)) fail_errno("mount tmpfs on %s", inner);
}

static void mount_root(const char *root) {
  if (unshare(CLONE_NEWNS)) fail_errno("make a mount namespace");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) fail_errno("make all mounts private");
  if (mount(root, root, NULL, MS_BIND, NULL)) fail_errno("bind the root %s", root);
  if (mount(NULL, root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
    fail_errno("make the root %s read-only", root);
  if (chdir(root)) fail_errno("enter the root %s", root);
}

static void show_device(const char *path) {
  char target[64];
  target_path(target, sizeof target, path);
  int fd = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) fail_errno("make the mount point %s", path);
  close(fd);
  mount_bind(path, path, MS_NOSUID | MS_NOEXEC);
}

/* A node of its own, because the host's /dev/kvm is open to root or to group kvm only. */
static void make_kvm(uid_t uid, gid_t gid) {
  struct stat host;
  if (stat("/dev/kvm", &host)) fail_errno("look at /dev/kvm");
  if (!S_ISCHR(host.st_mode)) fail("look at /dev/kvm: it is not a device");
  if (mknod("./dev/kvm", S_IFCHR | 0600, host.st_rdev)) fail_errno("make /dev/kvm in the root");
  if (chown("./dev/kvm", uid, gid)) fail_errno("give /dev/kvm to user %u", uid);
}

static void mount_dev(const struct options *options) {
  static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
  mount_tmpfs("/dev", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=16");
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) show_device(devices[i]);
  if (options->kvm) make_kvm(options->uid, options->gid);
  if (options->scratch && mkdir("./dev/shm", 0755)) fail_errno("make /dev/shm in the root");
  if (mount(NULL, "./dev", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL))
    fail_errno("make /dev read-only");
}

static void leave_host(void) {
  /* Stacks the new root over the old one at the same place, then takes the old one off. */
  if (syscall(SYS_pivot_root, ".", ".")) fail_errno("pivot into the root");
  if (umount2(".", MNT_DETACH)) fail_errno("let go of the host's file systems");
  if (chdir("/")) fail_errno("enter the root");
}

void enter_view(const struct options *options) {
  mount_root(options->root);
  for (size_t i = 0; i < options->bind_count; i++) {
    const struct bind *bind = &options->binds[i];
    mount_bind(bind->source, bind->target,
               MS_NOSUID | MS_NODEV | MS_NOEXEC | (bind->read_only ? MS_RDONLY : 0));
  }
  mount_dev(options);
  if (options->scratch) {
    mount_tmpfs("/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m");
    mount_tmpfs("/tmp", MS_NOSUID | MS_NODEV, "mode=1777,size=16m");
  }
  leave_host();
  if (chdir(options->cwd)) fail_errno("enter the working directory %s", options->cwd);
}
