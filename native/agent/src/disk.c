#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "die.h"
#include "reap.h"
#include "steps.h"

#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
#endif

enum {
  SIZE_WAIT_MS = 2000,
  /* How long processes may take to die, and the kernel to let go of the device. */
  END_WAIT_MS = 10000,
};

void disk_init(struct agent *agent) {
  agent->disk = (struct disk){.boot_namespace = -1, .upper_fd = -1, .watchdog_event = {.fd = -1}};
  if (!agent->is_init) return;
  agent->disk.boot_namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (agent->disk.boot_namespace < 0) die("mount namespace", errno);
}

enum disk_state disk_state(const struct agent *agent) {
  if (agent->disk.upper_fd < 0) return DISK_NONE;
  return disk_is_frozen(agent) ? DISK_FROZEN : DISK_ATTACHED;
}

/* These waits hold up the agent; they are short, and nothing else is to be done meanwhile. */
static void pause_us(long us) { nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL); }

static uint64_t slot_size(void) {
  char text[32] = {0};
  int fd = open(SLOT_SIZE_FILE, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  return count > 0 ? strtoull(text, NULL, 10) * 512 : 0;
}

/* The host changes the size just before it asks; the kernel hears of it by an interrupt. */
static int wait_for_size(uint64_t size) {
  uint64_t deadline = boot_clock_ns() + SIZE_WAIT_MS * 1000000ull;
  while (slot_size() != size) {
    if (boot_clock_ns() > deadline) return ETIMEDOUT;
    pause_us(250);
  }
  return 0;
}

/* The kernel may remember bytes of the disk that was in the slot before. */
static int flush_cache(void) {
  int fd = open(SLOT_DEVICE, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = ioctl(fd, BLKFLSBUF, 0) < 0 ? errno : 0;
  close(fd);
  return error;
}

static int make_directory(const char *path, mode_t mode) {
  return mkdir(path, mode) < 0 && errno != EEXIST ? errno : 0;
}

static int mount_upper(struct disk *disk, uint8_t upper) {
  bool ext4 = upper == UPPER_EXT4;
  if (mount(ext4 ? SLOT_DEVICE : "tmpfs", UPPER_MOUNT, ext4 ? "ext4" : "tmpfs", MS_NOATIME, NULL) < 0) return errno;
  disk->upper_fd = open(UPPER_MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (disk->upper_fd < 0) return errno;
  int error = make_directory(UPPER_MOUNT "/up", 0755);
  return error ? error : make_directory(UPPER_MOUNT "/work", 0700);
}

static int mount_overlay(void) {
  /*
   * redirect_dir: renaming a directory of the image must work (npm does it), not end in EXDEV.
   * xino: one device number for files of all layers, for the sake of find -xdev and the like.
   */
  static const char options[] = "lowerdir=" LAYER_DIR ":" BASE_DIR ",upperdir=" UPPER_MOUNT "/up,workdir=" UPPER_MOUNT
                                "/work,redirect_dir=on,xino=auto";
  return mount("overlay", NEW_ROOT, "overlay", MS_NOATIME, options) < 0 ? errno : 0;
}

static int carry_mount(const char *from, const char *to) {
  int error = make_directory(to, 0755);
  if (error) return error;
  return mount(from, to, NULL, MS_MOVE, NULL) < 0 ? errno : 0;
}

static int enter_root(void) {
  int error = carry_mount("/dev", NEW_ROOT "/dev");
  if (!error) error = carry_mount("/proc", NEW_ROOT "/proc");
  if (!error) error = carry_mount("/sys", NEW_ROOT "/sys");
  if (!error) error = make_directory(NEW_ROOT "/run", 0755);
  if (error) return error;
  if (mount("tmpfs", NEW_ROOT "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0) return errno;
  if (mkdir(NEW_ROOT "/run/mags", 0755) < 0) return errno;
  if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) return errno;
  return 0;
}

static void leave_root(struct agent *agent) {
  if (agent->disk.upper_fd >= 0) close(agent->disk.upper_fd);
  agent->disk.upper_fd = -1;
  /* Also sets root and working directory; the namespace left behind goes when its last process has. */
  if (setns(agent->disk.boot_namespace, CLONE_NEWNS) < 0) die("setns", errno);
}

/* 0 or an errno, with `*step` what failed. */
static int attach(struct agent *agent, uint64_t size, uint8_t upper, struct steps *steps, const char **step) {
  int error = 0;
  if (upper == UPPER_EXT4) {
    *step = "wait for the slot device";
    error = wait_for_size(size);
    if (error) return error;
    steps_done(steps, "wait");
    *step = "flush the slot device";
    error = flush_cache();
    if (error) return error;
    steps_done(steps, "flush");
  }
  *step = "unshare";
  if (unshare(CLONE_NEWNS) < 0) return errno;
  *step = "mount the upper layer";
  error = mount_upper(&agent->disk, upper);
  steps_done(steps, "mount");
  if (!error) {
    *step = "mount the overlay";
    error = mount_overlay();
    steps_done(steps, "overlay");
  }
  if (!error) {
    *step = "enter the new root";
    error = enter_root();
    steps_done(steps, "root");
  }
  if (!error) {
    *step = "look at the upper layer";
    error = trim_begin(agent);
  }
  if (error) {
    leave_root(agent);
    return error;
  }
  identity_write(agent);
  return 0;
}

static void reply_steps(struct agent *agent, const struct message *message, const struct steps *steps) {
  struct builder *out = session_build(agent);
  put_text(out, TAG_STEPS, steps->text);
  session_reply(agent, message, out);
}

void request_disk_attach(struct agent *agent, const struct message *message) {
  uint64_t size;
  uint8_t upper;
  const char *step = "DISK_ATTACH";
  struct steps steps;
  steps_begin(&steps);
  int error = 0;
  if (field_u64(message->fields, TAG_SIZE, &size) || field_u8(message->fields, TAG_UPPER, &upper)) error = EINVAL;
  if (!error && upper != UPPER_EXT4 && upper != UPPER_TMPFS) error = EINVAL;
  if (!error && disk_state(agent) != DISK_NONE) error = EBUSY;
  if (!error) error = attach(agent, size, upper, &steps, &step);
  if (error) {
    session_fail(agent, message->type, message->id, error, step, steps.text);
  } else {
    reply_steps(agent, message, &steps);
  }
}

/* Kills everything and waits until it is gone. */
static int end_processes(struct agent *agent) {
  uint64_t deadline = boot_clock_ns() + END_WAIT_MS * 1000000ull;
  for (;;) {
    /* Again each time: a process may have forked while it was being killed. */
    kill(-1, SIGKILL);
    if (!reap_children(agent)) return 0;
    if (boot_clock_ns() > deadline) return ETIMEDOUT;
    pause_us(200);
  }
}

/* An exclusive open succeeds only when neither a mount nor another opener holds the device. */
static int prove_released(void) {
  uint64_t deadline = boot_clock_ns() + END_WAIT_MS * 1000000ull;
  for (;;) {
    int fd = open(SLOT_DEVICE, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd >= 0) {
      close(fd);
      return 0;
    }
    if (errno != EBUSY || boot_clock_ns() > deadline) return errno;
    pause_us(200);
  }
}

void request_disk_detach(struct agent *agent, const struct message *message) {
  struct steps steps;
  steps_begin(&steps);
  const char *step = "DISK_DETACH";
  int error = disk_state(agent) == DISK_NONE ? ENODEV : 0;
  if (!error) {
    /* What waits for the thaw would write, or hold the disk. */
    session_drop_deferred(agent, ECANCELED);
    disk_thaw(agent);
    streams_detach(agent);
    step = "end the processes";
    error = end_processes(agent);
    steps_done(&steps, "processes");
  }
  if (!error) {
    leave_root(agent);
    steps_done(&steps, "leave");
    step = "release the slot device";
    error = prove_released();
    steps_done(&steps, "released");
  }
  if (error) {
    session_fail(agent, message->type, message->id, error, step, steps.text);
  } else {
    reply_steps(agent, message, &steps);
  }
}

static int grow(struct agent *agent, uint64_t size, struct steps *steps, const char **step) {
  *step = "wait for the slot device";
  int error = wait_for_size(size);
  if (error) return error;
  steps_done(steps, "wait");
  *step = "resize";
  struct statfs st;
  if (fstatfs(agent->disk.upper_fd, &st) < 0) return errno;
  uint64_t blocks = size / (uint64_t)st.f_bsize;
  if (ioctl(agent->disk.upper_fd, EXT4_IOC_RESIZE_FS, &blocks) < 0) return errno;
  steps_done(steps, "resize");
  return 0;
}

void request_grow(struct agent *agent, const struct message *message) {
  uint64_t size;
  const char *step = "GROW";
  struct steps steps;
  steps_begin(&steps);
  int error = field_u64(message->fields, TAG_SIZE, &size) ? EINVAL : 0;
  if (!error && disk_state(agent) == DISK_NONE) error = ENODEV;
  if (!error && disk_is_frozen(agent)) error = EBUSY;
  if (!error) error = grow(agent, size, &steps, &step);
  if (error) {
    session_fail(agent, message->type, message->id, error, step, steps.text);
  } else {
    reply_steps(agent, message, &steps);
  }
}
