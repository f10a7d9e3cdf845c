/* Inner part of process.c: reading what a program writes. */
#ifndef OUTLET_H
#define OUTLET_H

#include "process.h"

void outlet_init(struct outlet *outlet, struct process *process, uint8_t channel);
/* Starts reading; the descriptor is set. */
void outlet_start(struct outlet *outlet);
/* The window has opened. */
void outlet_resume(struct outlet *outlet);
/* The program has gone: no more rests. */
void outlet_wake(struct outlet *outlet);
void outlet_release(struct outlet *outlet);
/* Reads what is there now and then closes: nobody that matters will write more. */
void outlet_drain(struct outlet *outlet);

/* Ends the stream when its program has exited and all outlets are closed. May free nothing, but releases. */
void process_check_end(struct process *process);

#endif
