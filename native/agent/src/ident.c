#include "ident.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "freeze.h"

enum { MIN_ENTROPY = 32, MAX_ENTROPY = 512 };

static const struct link {
  const char *etc, *run;
} links[] = {
    {"/etc/machine-id", "/run/mags/machine-id"},
    {"/etc/hostname", "/run/mags/hostname"},
};

void identity_prepare_layer(void) {
  for (unsigned i = 0; i < sizeof links / sizeof links[0]; i++) {
    char path[128];
    snprintf(path, sizeof path, LAYER_DIR "%s", links[i].etc);
    if (symlink(links[i].run, path) < 0 && errno != EEXIST) warn(path, errno);
  }
}

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
  if (fd < 0) return errno;
  size_t length = strlen(text);
  int error = write(fd, text, length) == (ssize_t)length ? 0 : EIO;
  close(fd);
  return error;
}

/* The file in /run; and the one in /etc too when somebody has put a file in the place of the link. */
static void write_linked(const struct link *link, const char *text) {
  int error = write_file(link->run, text);
  if (error) warn(link->run, error);
  struct stat st;
  if (lstat(link->etc, &st) == 0 && S_ISLNK(st.st_mode)) return;
  error = write_file(link->etc, text);
  if (error) warn(link->etc, error);
}

void identity_write(struct agent *agent) {
  static const uint8_t none[16];
  const struct identity *identity = &agent->identity;
  if (!memcmp(identity->machine_id, none, sizeof none)) return;
  char text[sizeof identity->hostname + 1];
  for (int i = 0; i < 16; i++) snprintf(text + 2 * i, 3, "%02x", identity->machine_id[i]);
  strcat(text, "\n");
  write_linked(&links[0], text);
  snprintf(text, sizeof text, "%s\n", identity->hostname);
  write_linked(&links[1], text);
}

static int set_clock(uint64_t realtime_ns) {
  struct timespec time = {.tv_sec = (time_t)(realtime_ns / 1000000000u), .tv_nsec = (long)(realtime_ns % 1000000000u)};
  return clock_settime(CLOCK_REALTIME, &time) < 0 ? errno : 0;
}

static int add_entropy(struct identity *identity, struct span entropy) {
  if (identity->random_fd < 0) identity->random_fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
  if (identity->random_fd < 0) return errno;
  union {
    struct rand_pool_info info;
    uint8_t room[sizeof(struct rand_pool_info) + MAX_ENTROPY];
  } pool = {0};
  pool.info.entropy_count = (int)entropy.length * 8;
  pool.info.buf_size = (int)entropy.length;
  memcpy((uint8_t *)&pool + sizeof pool.info, entropy.bytes, entropy.length);
  if (ioctl(identity->random_fd, RNDADDENTROPY, &pool) < 0) return errno;
  return ioctl(identity->random_fd, RNDRESEEDCRNG) < 0 ? errno : 0;
}

void request_ident(struct agent *agent, const struct message *message) {
  uint64_t realtime;
  struct span entropy, hostname, machine_id;
  bool valid = !field_u64(message->fields, TAG_REALTIME, &realtime) &&
               field_span(message->fields, TAG_ENTROPY, &entropy) &&
               field_span(message->fields, TAG_HOSTNAME, &hostname) &&
               field_span(message->fields, TAG_MACHINE_ID, &machine_id) && entropy.length >= MIN_ENTROPY &&
               entropy.length <= MAX_ENTROPY && hostname.length > 0 && hostname.length < sizeof agent->identity.hostname &&
               machine_id.length == sizeof agent->identity.machine_id;
  if (!valid) {
    session_fail(agent, message->type, message->id, EINVAL, "IDENT", "a field is missing or out of range");
    return;
  }
  if (disk_is_frozen(agent)) {
    session_fail(agent, message->type, message->id, EBUSY, "IDENT", "the disk is frozen");
    return;
  }
  struct identity *identity = &agent->identity;
  const char *step = "entropy";
  int error = add_entropy(identity, entropy);
  if (!error) {
    step = "clock";
    error = set_clock(realtime);
  }
  if (!error) {
    step = "hostname";
    error = sethostname((const char *)hostname.bytes, hostname.length) < 0 ? errno : 0;
  }
  if (error) {
    session_fail(agent, message->type, message->id, error, step, NULL);
    return;
  }
  memcpy(identity->machine_id, machine_id.bytes, machine_id.length);
  memcpy(identity->hostname, hostname.bytes, hostname.length);
  identity->hostname[hostname.length] = 0;
  if (disk_state(agent) != DISK_NONE) identity_write(agent);
  session_reply(agent, message, session_build(agent));
}

void request_awake(struct agent *agent, const struct message *message) {
  uint64_t realtime;
  struct span entropy;
  const char *step = "AWAKE";
  int error = EINVAL;
  if (!field_u64(message->fields, TAG_REALTIME, &realtime) && field_span(message->fields, TAG_ENTROPY, &entropy) &&
      entropy.length >= MIN_ENTROPY && entropy.length <= MAX_ENTROPY) {
    step = "entropy";
    error = add_entropy(&agent->identity, entropy);
  }
  if (!error) {
    step = "clock";
    error = set_clock(realtime);
  }
  if (error)
    session_fail(agent, message->type, message->id, error, step, NULL);
  else
    session_reply(agent, message, session_build(agent));
}

void request_clock(struct agent *agent, const struct message *message) {
  uint64_t realtime;
  int error = field_u64(message->fields, TAG_REALTIME, &realtime) ? EINVAL : set_clock(realtime);
  if (error)
    session_fail(agent, message->type, message->id, error, "clock", NULL);
  else
    session_reply(agent, message, session_build(agent));
}
