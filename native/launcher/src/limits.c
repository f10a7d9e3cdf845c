#include "limits.h"

#include <string.h>
#include <sys/resource.h>

#include "fail.h"
#include "identity.h"

static const struct {
  const char *name;
  int resource;
} RESOURCES[] = {{"nofile", RLIMIT_NOFILE}, {"fsize", RLIMIT_FSIZE}, {"nproc", RLIMIT_NPROC}, {"as", RLIMIT_AS}};

static const int FORBIDDEN[] = {RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE};

bool find_resource(const char *name, int *resource) {
  for (size_t i = 0; i < sizeof RESOURCES / sizeof *RESOURCES; i++) {
    if (strcmp(name, RESOURCES[i].name)) continue;
    *resource = RESOURCES[i].resource;
    return true;
  }
  return false;
}

static void set_limit(struct limit limit) {
  struct rlimit both = {limit.value, limit.most};
  if (setrlimit((enum __rlimit_resource)limit.resource, &both))
    fail_errno("set resource limit %d to %lu", limit.resource, limit.value);
}

void set_limits(const struct limit *limits, size_t count) {
  for (size_t i = 0; i < sizeof FORBIDDEN / sizeof *FORBIDDEN; i++) set_limit((struct limit){FORBIDDEN[i], 0, 0});
  for (size_t i = 0; i < count; i++) set_limit(limits[i]);
}

void change_limit_of(pid_t pid, uid_t uid, gid_t gid, struct limit limit) {
  enum __rlimit_resource resource = (enum __rlimit_resource)limit.resource;
  struct rlimit both;
  drop_privileges(uid, gid);
  bool changed = !prlimit(pid, resource, NULL, &both);
  both.rlim_cur = limit.value;
  if (!changed || prlimit(pid, resource, &both, NULL))
    fail_errno("change resource limit %d of process %d to %lu", limit.resource, pid, limit.value);
}
