/* Terminal modes as an SSH client sends them (RFC 4254, section 8). */
#ifndef MODES_H
#define MODES_H

#include <termios.h>

#include "fields.h"

/* Sets what is encoded there and Linux knows; the rest stays as it is. */
void modes_apply(struct termios *modes, struct span encoded);

#endif
