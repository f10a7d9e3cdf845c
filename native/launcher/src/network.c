#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "descriptors.h"
#include "fail.h"

void enter_netns(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_errno("open network namespace %s", path);
  if (setns(fd, CLONE_NEWNET)) fail_errno("enter network namespace %s", path);
  close(fd);
}

void attach_tap(const char *name, int fd) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  if (strlen(name) >= sizeof request.ifr_name) fail("attach tap %s: the name is longer than 15 bytes", name);
  strcpy(request.ifr_name, name);
  /* TUNSETIFF would make a missing device, one that nobody has configured. */
  if (!if_nametoindex(name)) fail_errno("find tap %s in the network namespace", name);

  int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (tun < 0) fail_errno("open /dev/net/tun");
  if (ioctl(tun, TUNSETIFF, &request)) fail_errno("attach tap %s", name);
  place_descriptor(tun, fd, name);
}
