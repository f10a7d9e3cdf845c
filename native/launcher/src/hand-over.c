#include "hand-over.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "fail.h"
#include "listen.h"

/* The receiver may be busy; one that reads nothing for so long is not going to. */
#define PATIENCE_MS 10000

void hand_over_listener(const char *path, const char *message) {
  int listener = make_listener(path);
  struct pollfd ready = {.fd = HAND_OVER_FD, .events = POLLOUT};
  int polled = poll(&ready, 1, PATIENCE_MS);
  if (polled < 0) fail_errno("wait for the connection to hand %s over", path);
  if (!polled) fail("hand %s over: nobody reads from the connection", path);

  struct iovec text = {.iov_base = (void *)message, .iov_len = strlen(message)};
  union {
    char bytes[CMSG_SPACE(sizeof listener)];
    struct cmsghdr align;
  } control = {0};
  struct msghdr whole = {
      .msg_iov = &text, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&whole);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof listener);
  memcpy(CMSG_DATA(rights), &listener, sizeof listener);
  ssize_t sent = sendmsg(HAND_OVER_FD, &whole, MSG_NOSIGNAL);
  if (sent < 0) fail_errno("hand %s over", path);
  if ((size_t)sent != text.iov_len) fail("hand %s over: the message was cut", path);
}
