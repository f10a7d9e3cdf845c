#include "listen.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "descriptors.h"
#include "fail.h"

/* Clients come one at a time; one that reconnects may be faster than the program notices that it went. */
#define BACKLOG 4

int make_listener(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path)
    fail("listen at %s: the path is longer than %zu bytes", path, sizeof address.sun_path - 1);
  strcpy(address.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) fail_errno("make a socket for %s", path);
  /* The mode is the socket's from its first moment on. */
  mode_t mask = umask(0177);
  if (bind(listener, (struct sockaddr *)&address, sizeof address)) fail_errno("bind a socket to %s", path);
  umask(mask);
  if (listen(listener, BACKLOG)) fail_errno("listen at %s", path);
  return listener;
}

void listen_at(const char *path, int fd) { place_descriptor(make_listener(path), fd, path); }
