/* Inner part of stream.c: bytes from the host on their way to the process, file or socket. */
#ifndef INPUT_H
#define INPUT_H

#include "stream.h"

void input_free(struct stream *stream);

#endif
