#include "cmdline.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool cmdline_value(const char *key, char *value, size_t room) {
  char text[4096];
  int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  if (count < 0) return false;
  text[count] = 0;
  size_t key_length = strlen(key);
  for (char *save, *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
    if (strncmp(word, key, key_length) || word[key_length] != '=') continue;
    const char *found = word + key_length + 1;
    if (strlen(found) >= room) return false;
    strcpy(value, found);
    return true;
  }
  return false;
}
