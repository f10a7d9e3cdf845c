/*
 * The agent of a Mags microVM: /init of its initramfs, PID 1, the only process of a parked clone.
 *
 * `agent --fds CONTROL BULK [--root DIR]` serves the same protocol as an ordinary process over two inherited sockets,
 * without what needs a microVM. It is how most tests run; DIR is where the agent's own files go then.
 *
 * The kernel never picks PID 1 when it runs out of memory, so the agent needs no oom_score_adj, and what it starts has
 * none to be rid of.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "die.h"
#include "limits.h"
#include "reap.h"

static bool read_fd(const char *text, int *fd) {
  char *end;
  long value = strtol(text, &end, 10);
  *fd = (int)value;
  return *end == 0 && value > 2 && fcntl(*fd, F_GETFD) >= 0;
}

static void init_host_mode(struct agent *agent, int argc, char **argv, int *control, int *bulk) {
  if ((argc != 4 && argc != 6) || strcmp(argv[1], "--fds") || !read_fd(argv[2], control) || !read_fd(argv[3], bulk) ||
      (argc == 6 && strcmp(argv[4], "--root"))) {
    dprintf(STDERR_FILENO, "usage: agent --fds CONTROL BULK [--root DIR]\n");
    exit(64);
  }
  if (argc == 6) agent->root = argv[5];
  /* Whatever else it inherited is not for its children either. */
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) die("close_range", errno);
  const int fds[] = {*control, *bulk};
  for (int i = 0; i < 2; i++) {
    if (fcntl(fds[i], F_SETFL, O_RDWR | O_NONBLOCK) < 0) die("fcntl", errno);
  }
}

static _Noreturn void power_off(const struct agent *agent) {
  sync();
  /* Frozen, the file system also has an empty journal, and nothing writes to it any more. */
  if (agent->disk.upper_fd >= 0) ioctl(agent->disk.upper_fd, FIFREEZE, 0);
  reboot(RB_POWER_OFF);
  die("reboot", errno);
}

/* The other end of a test's socket has gone. */
static _Noreturn void leave(struct agent *agent) {
  while (agent->streams.first) stream_close(agent->streams.first);
  exit(0);
}

static void serve(struct agent *agent) {
  for (;;) {
    loop_round(&agent->loop, !port_has_input(&agent->control) && !port_has_input(&agent->bulk));
    port_pump_input(&agent->control);
    port_pump_input(&agent->bulk);
    port_flush(&agent->control);
    port_flush(&agent->bulk);
    if (agent->session.shutting_down && (port_drained(&agent->control) || agent->control.blocked)) power_off(agent);
    if (!agent->is_init && (agent->control.hung_up || agent->bulk.hung_up)) leave(agent);
  }
}

int main(int argc, char **argv) {
  static struct agent agent;
  int control, bulk;
  umask(022);
  agent.root = "";
  agent.identity.random_fd = -1;
  agent.is_init = getpid() == 1 && argc == 1;
  if (agent.is_init) {
    boot_init(&control, &bulk);
  } else {
    init_host_mode(&agent, argc, argv, &control, &bulk);
  }
  limits_init(&agent);
  loop_init(&agent.loop);
  session_init(&agent);
  disk_init(&agent);
  reap_init(&agent);
  agent.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (agent.null_fd < 0) die("/dev/null", errno);
  port_init(&agent.control, &agent.loop, control, &control_port_ops, &agent);
  port_init(&agent.bulk, &agent.loop, bulk, &bulk_port_ops, &agent);
  serve(&agent);
}
