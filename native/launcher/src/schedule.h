#ifndef MAGS_LAUNCH_SCHEDULE_H
#define MAGS_LAUNCH_SCHEDULE_H

#include <sys/types.h>

/* Lets this process run only where nobody else wants the processor (SCHED_IDLE). */
void schedule_idle(void);

/* Sets the nice value of this process: -20, most favoured, to 19. */
void schedule_nice(int nice);

/* Puts every thread of `pid` back to SCHED_OTHER with nice 0. Fails when there is no such process. */
void schedule_normal(pid_t pid);

#endif
