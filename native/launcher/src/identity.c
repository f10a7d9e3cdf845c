#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"

static void drop_bounding_set(void) {
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)) fail_errno("drop capability %lu from the bounding set", capability);
}

static void clear_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) fail_errno("clear the ambient capabilities");
  if (syscall(SYS_capset, &header, none)) fail_errno("clear the capabilities");
}

void drop_privileges(uid_t uid, gid_t gid) {
  drop_bounding_set();
  if (setgroups(0, NULL)) fail_errno("leave all groups");
  if (setresgid(gid, gid, gid)) fail_errno("become group %u", gid);
  if (setresuid(uid, uid, uid)) fail_errno("become user %u", uid);
  clear_capabilities();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail_errno("forbid new privileges");
}
