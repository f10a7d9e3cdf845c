/*
 * What a jailed program sees, as one line of JSON. Linked statically so that it runs in a root that holds nothing else.
 *   probe                     report
 *   probe hold THREADS        report, then wait with so many further threads until stdin ends
 *   probe try NAME [ARG]      one attempt instead of the report, see attempts.h
 *   probe serve FD            answer every connection to the listening socket FD with the line `served`
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attempts.h"

extern char **environ;

static const char *error_name(int result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void put_text(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    putchar(*text);
  }
  putchar('"');
}

static void put_list(const char *name, const char *path) {
  const char *separator = "";
  printf(",\"%s\":[", name);
  DIR *folder = opendir(path);
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    fputs(separator, stdout);
    put_text(entry->d_name);
    separator = ",";
  }
  if (folder) closedir(folder);
  putchar(']');
}

static void put_environment(void) {
  const char *separator = "";
  fputs(",\"env\":[", stdout);
  for (char **entry = environ; *entry; entry++) {
    fputs(separator, stdout);
    put_text(*entry);
    separator = ",";
  }
  putchar(']');
}

/* Makes and removes a file in `folder`. */
static void put_writable(const char *name, const char *folder) {
  char path[256];
  snprintf(path, sizeof path, "%s/probe-file", folder);
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  printf(",\"%s\":\"%s\"", name, error_name(fd));
  if (fd >= 0) {
    close(fd);
    unlink(path);
  }
}

static void put_open(const char *name, const char *path, int flags) {
  int fd = open(path, flags);
  printf(",\"%s\":\"%s\"", name, error_name(fd));
  if (fd >= 0) close(fd);
}

static void put_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
  syscall(SYS_capget, &header, sets);
  int bounding = 0;
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    bounding += prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
  printf(",\"capabilities\":%u", sets[0].effective | sets[1].effective | sets[0].permitted | sets[1].permitted |
                                     sets[0].inheritable | sets[1].inheritable);
  printf(",\"bounding\":%d,\"noNewPrivs\":%d", bounding, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void put_descriptors(void) {
  const char *separator = "";
  fputs(",\"descriptors\":[", stdout);
  for (int fd = 0; fd < 1024; fd++) {
    if (fcntl(fd, F_GETFD) < 0) continue;
    printf("%s%d", separator, fd);
    separator = ",";
  }
  fputs("],\"taps\":[", stdout);
  separator = "";
  for (int fd = 3; fd < 1024; fd++) {
    struct ifreq request = {0};
    if (ioctl(fd, TUNGETIFF, &request)) continue;
    printf("%s{\"fd\":%d,\"name\":\"%s\",\"vnetHeader\":%s}", separator, fd, request.ifr_name,
           request.ifr_flags & IFF_VNET_HDR ? "true" : "false");
    separator = ",";
  }
  putchar(']');
}

static void put_interfaces(void) {
  const char *separator = "";
  struct if_nameindex *interfaces = if_nameindex();
  fputs(",\"interfaces\":[", stdout);
  for (struct if_nameindex *at = interfaces; at && at->if_index; at++) {
    fputs(separator, stdout);
    put_text(at->if_name);
    separator = ",";
  }
  putchar(']');
}

static void *wait_forever(void *unused) {
  for (;;) pause();
  return unused;
}

static int serve(int listener) {
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) return 1;
    if (write(connection, "served\n", 7) != 7) return 1;
    close(connection);
  }
}

int main(int argc, char **argv) {
  if (argc >= 3 && !strcmp(argv[1], "try")) return attempt(argv[2], argc > 3 ? argv[3] : "");
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  uid_t uid[3];
  gid_t gid[3];
  char cwd[256];
  struct rlimit files, core, file_size, locked;
  getresuid(&uid[0], &uid[1], &uid[2]);
  getresgid(&gid[0], &gid[1], &gid[2]);
  getrlimit(RLIMIT_NOFILE, &files);
  getrlimit(RLIMIT_CORE, &core);
  getrlimit(RLIMIT_FSIZE, &file_size);
  getrlimit(RLIMIT_MEMLOCK, &locked);

  printf("{\"uid\":[%u,%u,%u],\"gid\":[%u,%u,%u]", uid[0], uid[1], uid[2], gid[0], gid[1], gid[2]);
  printf(",\"groups\":%d,\"pid\":%d", getgroups(0, NULL), getpid());
  printf(",\"maxOpenFiles\":%lu,\"coreLimit\":%lu", files.rlim_max, core.rlim_max);
  printf(",\"maxFileMiB\":%lu,\"lockLimit\":%lu", file_size.rlim_max >> 20, locked.rlim_max);
  printf(",\"policy\":%d,\"cwd\":", sched_getscheduler(0));
  put_text(getcwd(cwd, sizeof cwd) ? cwd : "?");
  put_capabilities();
  put_environment();
  put_list("root", "/");
  put_list("dev", "/dev");
  put_list("vm", "/vm");
  put_list("above", "/..");
  put_descriptors();
  put_interfaces();
  put_writable("writeRoot", "/");
  put_writable("writeDev", "/dev");
  put_writable("writeTmp", "/tmp");
  put_writable("writeShm", "/dev/shm");
  put_writable("writeVm", "/vm");
  put_writable("writeImage", "/image");
  put_open("openNull", "/dev/null", O_RDWR);
  put_open("openRandom", "/dev/urandom", O_RDONLY);
  put_open("openKvm", "/dev/kvm", O_RDWR);
  printf(",\"become0\":\"%s\"}\n", error_name(setresuid(0, 0, 0)));
  fflush(stdout);

  if (argc == 3 && !strcmp(argv[1], "hold")) {
    for (int i = atoi(argv[2]); i > 0; i--) {
      pthread_t thread;
      pthread_create(&thread, NULL, wait_forever, NULL);
    }
    puts("holding");
    fflush(stdout);
    while (getchar() != EOF) continue;
  }
  return 0;
}
