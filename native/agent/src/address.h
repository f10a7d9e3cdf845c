/* Where a socket of the guest is: PORT and ADDRESS, or PATH. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fields.h"

struct address {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
  };
  socklen_t size;
};

/* PATH, or PORT with ADDRESS (default 127.0.0.1). False when they are missing or malformed. */
bool address_read(struct address *address, struct span fields);
/* Of a Unix socket: 1. */
uint16_t address_port(const struct address *address);
/* As text; empty for a Unix socket. */
void address_text(const struct address *address, char text[INET6_ADDRSTRLEN]);

#endif
