#include "reap.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "die.h"
#include "process.h"

static int wait_status(const siginfo_t *info) {
  return info->si_code == CLD_EXITED ? (info->si_status & 0xff) << 8 : info->si_status & 0x7f;
}

int reap_children(struct agent *agent) {
  bool reaped = false;
  for (;;) {
    siginfo_t info = {.si_pid = 0};
    int result = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    if (result < 0 || info.si_pid == 0) {
      if (reaped) process_reaped(agent);
      return result == 0;
    }
    /* First what must happen while the number is certainly still this child's. */
    process_exited(agent, info.si_pid, wait_status(&info));
    waitpid(info.si_pid, NULL, WNOHANG);
    reaped = true;
  }
}

static void on_child_signal(struct source *source, uint32_t events) {
  struct signalfd_siginfo info[8];
  if (read(source->fd, info, sizeof info) < 0 && errno != EAGAIN) die("signalfd", errno);
  reap_children(owner_of(source, struct agent, child_signals));
}

void reap_init(struct agent *agent) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  /* Blocked rather than ignored: a child unblocks all with one call, and has no disposition to reset. */
  sigaddset(&blocked, SIGPIPE);
  if (agent->is_init) {
    /* Whatever somebody sends to PID 1 to reboot or reload it means nothing here. */
    int const to_init[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPWR, SIGWINCH, SIGALRM};
    for (unsigned i = 0; i < sizeof to_init / sizeof to_init[0]; i++) sigaddset(&blocked, to_init[i]);
  }
  sigprocmask(SIG_SETMASK, &blocked, NULL);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  int fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) die("signalfd", errno);
  if (!agent->is_init) prctl(PR_SET_CHILD_SUBREAPER, 1);
  agent->child_signals = (struct source){.fd = fd, .ready = on_child_signal};
  source_watch(&agent->loop, &agent->child_signals, EPOLLIN);
}
