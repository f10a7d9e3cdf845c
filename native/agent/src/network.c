#include "network.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "boot.h"
#include "cmdline.h"

struct settings {
  struct in_addr address, netmask, gateway;
  uint8_t gateway_mac[6];
  int mtu; /* 0: as it is */
};

static bool read_settings(struct settings *settings) {
  char text[64];
  *settings = (struct settings){0};
  if (!cmdline_value("mags.ip", text, sizeof text)) return false;
  char *slash = strchr(text, '/');
  int prefix = slash ? atoi(slash + 1) : 32;
  if (slash) *slash = 0;
  if (prefix < 1 || prefix > 32 || inet_pton(AF_INET, text, &settings->address) != 1) return false;
  settings->netmask.s_addr = htonl(UINT32_MAX << (32 - prefix));
  if (!cmdline_value("mags.gw", text, sizeof text) || inet_pton(AF_INET, text, &settings->gateway) != 1) return false;
  uint8_t *mac = settings->gateway_mac;
  if (!cmdline_value("mags.gwmac", text, sizeof text) ||
      sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) {
    return false;
  }
  if (cmdline_value("mags.mtu", text, sizeof text)) settings->mtu = atoi(text);
  return true;
}

/* The kernel has interfaces of its own (dummy0): the driver of the device tells. */
static bool is_virtio(const char *name) {
  char path[PATH_MAX], target[PATH_MAX];
  snprintf(path, sizeof path, "/sys/class/net/%.32s/device/driver", name);
  ssize_t length = readlink(path, target, sizeof target - 1);
  if (length < 0) return false;
  target[length] = 0;
  const char *driver = strrchr(target, '/');
  return driver && !strcmp(driver + 1, "virtio_net");
}

static bool find_interface(char *name) {
  DIR *directory = opendir("/sys/class/net");
  if (!directory) return false;
  bool found = false;
  const struct dirent *entry;
  while ((entry = readdir(directory))) {
    if (strlen(entry->d_name) >= IFNAMSIZ || !is_virtio(entry->d_name)) continue;
    if (found && strcmp(entry->d_name, name) > 0) continue;
    strcpy(name, entry->d_name);
    found = true;
  }
  closedir(directory);
  return found;
}

/* IPv6 is not offered, and its router solicitations would wake a guest that has nothing to do. */
static void disable_ipv6(const char *name) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "1", 1) != 1) warn(path, errno);
  close(fd);
}

static void set_address(struct sockaddr *to, struct in_addr address) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};
  memcpy(to, &in, sizeof in);
}

static void call(int fd, unsigned long request, void *argument, const char *what) {
  if (ioctl(fd, request, argument) < 0) warn(what, errno);
}

/* The name fits: it was found as the name of an interface. */
static struct ifreq request_for(const char *name) {
  struct ifreq request = {0};
  memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
  return request;
}

static void bring_up(int fd, const char *name) {
  struct ifreq request = request_for(name);
  call(fd, SIOCGIFFLAGS, &request, "interface flags");
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  call(fd, SIOCSIFFLAGS, &request, "interface up");
}

static void configure(int fd, const char *name, const struct settings *settings) {
  struct ifreq request = request_for(name);
  if (settings->mtu > 0) {
    request.ifr_mtu = settings->mtu;
    call(fd, SIOCSIFMTU, &request, "interface MTU");
  }
  set_address(&request.ifr_addr, settings->address);
  call(fd, SIOCSIFADDR, &request, "interface address");
  set_address(&request.ifr_netmask, settings->netmask);
  call(fd, SIOCSIFNETMASK, &request, "interface netmask");
  bring_up(fd, name);

  /* Permanent: a clone need not ask who the gateway is before its first packet. */
  struct arpreq arp = {.arp_flags = ATF_COM | ATF_PERM};
  set_address(&arp.arp_pa, settings->gateway);
  arp.arp_ha.sa_family = ARPHRD_ETHER;
  memcpy(arp.arp_ha.sa_data, settings->gateway_mac, sizeof settings->gateway_mac);
  memcpy(arp.arp_dev, request.ifr_name, sizeof arp.arp_dev);
  call(fd, SIOCSARP, &arp, "gateway ARP entry");

  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  set_address(&route.rt_gateway, settings->gateway);
  set_address(&route.rt_dst, (struct in_addr){0});
  set_address(&route.rt_genmask, (struct in_addr){0});
  call(fd, SIOCADDRT, &route, "default route");
}

/* The operator's own file wins. */
static void write_layer_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0 && errno == EEXIST) return;
  if (fd < 0 || write(fd, text, strlen(text)) < 0) warn(path, errno);
  if (fd >= 0) close(fd);
}

void network_init(void) {
  write_layer_file(LAYER_DIR "/etc/hosts",
                   "127.0.0.1\tlocalhost\n127.0.1.1\tmags-vm\n::1\tlocalhost ip6-localhost ip6-loopback\n");
  char dns[64];
  if (cmdline_value("mags.dns", dns, sizeof dns)) {
    char text[128];
    snprintf(text, sizeof text, "nameserver %s\n", dns);
    write_layer_file(LAYER_DIR "/etc/resolv.conf", text);
  }
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    warn("network", errno);
    return;
  }
  bring_up(fd, "lo");
  char name[IFNAMSIZ];
  struct settings settings;
  if (find_interface(name)) {
    disable_ipv6(name);
    if (read_settings(&settings)) configure(fd, name, &settings);
  }
  close(fd);
}
