/* Inner part of stream.c: records on their way to the host. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "stream.h"

void output_free(struct stream *stream);
/* Every record that the host has not acknowledged is to be sent again. */
void output_rewind(struct stream *stream);

#endif
