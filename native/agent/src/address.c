#include "address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "open.h"

static bool read_path(struct address *address, char *path) {
  bool fits = path && path[0] == '/' && strlen(path) < sizeof address->path.sun_path;
  if (fits) {
    address->path.sun_family = AF_UNIX;
    strcpy(address->path.sun_path, path);
    address->size = sizeof address->path;
  }
  free(path);
  return fits;
}

bool address_read(struct address *address, struct span fields) {
  *address = (struct address){0};
  struct span value;
  if (field_span(fields, TAG_PATH, &value)) return read_path(address, field_string(fields, TAG_PATH));
  uint16_t port;
  if (field_u16(fields, TAG_PORT, &port)) return false;
  char *text = field_span(fields, TAG_ADDRESS, &value) ? field_string(fields, TAG_ADDRESS)
                                                       : must_alloc(strdup("127.0.0.1"));
  if (text && inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons(port);
    address->size = sizeof address->v4;
  } else if (text && inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons(port);
    address->size = sizeof address->v6;
  }
  free(text);
  return address->size > 0;
}

uint16_t address_port(const struct address *address) {
  switch (address->any.sa_family) {
    case AF_INET: return ntohs(address->v4.sin_port);
    case AF_INET6: return ntohs(address->v6.sin6_port);
    default: return 1;
  }
}

void address_text(const struct address *address, char text[INET6_ADDRSTRLEN]) {
  text[0] = 0;
  if (address->any.sa_family == AF_INET) inet_ntop(AF_INET, &address->v4.sin_addr, text, INET6_ADDRSTRLEN);
  if (address->any.sa_family == AF_INET6) inet_ntop(AF_INET6, &address->v6.sin6_addr, text, INET6_ADDRSTRLEN);
}
