#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "ident.h"
#include "loop.h"
#include "modules.h"
#include "network.h"

enum { DEVICE_WAIT_MS = 30000 };

void warn(const char *what, int error) { dprintf(STDERR_FILENO, "mags-agent: %s: %s\n", what, strerror(error)); }

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags,
                       const char *options) {
  if (mkdir(target, 0755) < 0 && errno != EEXIST) die(target, errno);
  if (mount(source, target, type, flags, options) < 0) die(target, errno);
}

static void open_console(void) {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY);
  if (fd < 0) fd = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; i++) dup2(fd, i);
  if (fd > 2) close(fd);
}

static void mount_system(void) {
  must_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
  open_console();
  must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  must_mount("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  must_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
  must_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
  static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                         {"/proc/self/fd/0", "/dev/stdin"},
                                         {"/proc/self/fd/1", "/dev/stdout"},
                                         {"/proc/self/fd/2", "/dev/stderr"}};
  for (unsigned i = 0; i < sizeof links / sizeof links[0]; i++) {
    if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST) warn(links[i][1], errno);
  }
}

/*
 * A guest without swap that runs out of memory would read its programs from the disk again and again for minutes, because
 * that looks like progress to the kernel. What was used within a second is kept instead, and when that no longer fits, the
 * largest process is killed.
 */
static void kill_rather_than_thrash(void) {
  int fd = open("/sys/kernel/mm/lru_gen/min_ttl_ms", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return; /* a kernel without it */
  if (write(fd, "1000", 4) < 0) warn("min_ttl_ms", errno);
  close(fd);
}

static void make_directories_of_root(void) {
  static const char *const paths[] = {BASE_DIR, UPPER_MOUNT, NEW_ROOT, LAYER_DIR, LAYER_DIR "/etc", "/root"};
  for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++) {
    if (mkdir(paths[i], 0755) < 0 && errno != EEXIST) die(paths[i], errno);
  }
}

static void pause_ms(long ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL); }

static bool mount_base_once(void) {
  static const char *const types[] = {"erofs", "squashfs", "ext4"};
  for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++) {
    if (mount("/dev/vda", BASE_DIR, types[i], MS_RDONLY | MS_NOATIME, NULL) == 0) return true;
  }
  return false;
}

/* Devices appear some time after their drivers were loaded. */
static void wait_for(bool (*there)(void), const char *what) {
  uint64_t deadline = boot_clock_ns() + DEVICE_WAIT_MS * 1000000ull;
  while (!there()) {
    if (boot_clock_ns() > deadline) die(what, errno);
    pause_ms(2);
  }
}

/* The numbers of ports depend on the order of devices: only their names tell which is which. -1 when it is not there. */
static int open_port(const char *wanted) {
  DIR *directory = opendir("/sys/class/virtio-ports");
  if (!directory) return -1;
  int result = -1;
  const struct dirent *entry;
  while (result < 0 && (entry = readdir(directory))) {
    char path[PATH_MAX], name[64] = {0};
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    if (read(fd, name, sizeof name - 1) < 0) name[0] = 0;
    close(fd);
    name[strcspn(name, "\n")] = 0;
    if (strcmp(name, wanted)) continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    result = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  closedir(directory);
  return result;
}

static int wait_for_port(const char *name) {
  uint64_t deadline = boot_clock_ns() + DEVICE_WAIT_MS * 1000000ull;
  for (;;) {
    int fd = open_port(name);
    if (fd >= 0) return fd;
    if (boot_clock_ns() > deadline) die(name, errno);
    pause_ms(2);
  }
}

void boot_init(int *control, int *bulk) {
  mount_system();
  make_directories_of_root();
  /* What programs start with: as elsewhere, and as high as they like to raise it. */
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 1024, .rlim_max = 1048576});
  kill_rather_than_thrash();
  modules_load();
  wait_for(mount_base_once, "no base image on /dev/vda");
  identity_prepare_layer();
  network_init();
  *control = wait_for_port("mags.control");
  *bulk = wait_for_port("mags.bulk");
}
