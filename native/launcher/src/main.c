/*
 * mags-launch: runs one program of the runtime root in a jail, or changes priority or limits of a jailed program, or
 * hands a socket to one.
 *
 * The steps stand in this order because each still needs what the next one takes away: the control groups, the network
 * and the sockets before the mounts (their paths and /dev/net/tun are the host's), the mounts before the identity (they
 * need capabilities), and the filter of system calls last, as it allows none of all this.
 * The process itself becomes the program, so its id is the launcher's. Sessions and process groups are the caller's.
 */
#include <unistd.h>

#include "cgroup.h"
#include "descriptors.h"
#include "fail.h"
#include "hand-over.h"
#include "identity.h"
#include "limits.h"
#include "listen.h"
#include "network.h"
#include "options.h"
#include "schedule.h"
#include "seccomp.h"
#include "view.h"

int main(int argc, char **argv) {
  struct options options = parse_options(argc, argv);
  if (options.resched) {
    schedule_normal(options.resched);
    return 0;
  }
  if (options.relimit) {
    change_limit_of(options.relimit, options.uid, options.gid, options.limits[0]);
    return 0;
  }
  if (options.hand_over_path) {
    hand_over_listener(options.hand_over_path, options.hand_over_message);
    return 0;
  }
  for (size_t i = 0; i < options.cgroup_count; i++) enter_cgroup(options.cgroups[i]);
  for (size_t i = 0; i < options.listener_count; i++) listen_at(options.listeners[i].path, options.listeners[i].fd);
  if (options.netns) enter_netns(options.netns);
  if (options.tap_name) attach_tap(options.tap_name, options.tap_fd);
  enter_view(&options);
  close_descriptors(options.descriptors, options.descriptor_count);
  set_limits(options.limits, options.limit_count);
  schedule_nice(options.nice);
  if (options.idle) schedule_idle();
  drop_privileges(options.uid, options.gid);
  const char *program = options.program[0];
  if (options.qemu_filter) program = install_qemu_filter(program);
  execve(program, options.program, options.env);
  fail_errno("run %s", options.program[0]);
}
