#include "limits.h"

#include <errno.h>
#include <sys/resource.h>

#include "agent.h"
#include "die.h"

/* 256 streams that all listen have 17 each, with all that wait to be taken. */
enum { AGENT_FILES = 8192 };

void limits_init(struct agent *agent) {
  if (getrlimit(RLIMIT_NOFILE, &agent->program_files) < 0) die("getrlimit", errno);
  struct rlimit own = agent->program_files;
  if (own.rlim_cur < AGENT_FILES) own.rlim_cur = own.rlim_max < AGENT_FILES ? own.rlim_max : AGENT_FILES;
  if (setrlimit(RLIMIT_NOFILE, &own) < 0) die("setrlimit", errno);
}
