#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "modes.h"

void pty_resize(int master, uint16_t rows, uint16_t cols) {
  struct winsize size = {.ws_row = rows, .ws_col = cols};
  ioctl(master, TIOCSWINSZ, &size);
}

static void set_modes(int slave, struct span encoded) {
  struct termios modes;
  if (tcgetattr(slave, &modes) < 0) return;
  /* Line editing is to erase a whole UTF-8 character at a time, unless the client says otherwise. */
  modes.c_iflag |= IUTF8;
  modes_apply(&modes, encoded);
  tcsetattr(slave, TCSANOW, &modes);
}

int pty_open(int *master, int *slave, uint16_t rows, uint16_t cols, struct span modes) {
  *master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (*master < 0) return errno;
  /* The slave by its master, not by its name: the name depends on where devpts is mounted. */
  *slave = unlockpt(*master) < 0 ? -1 : ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*slave < 0) {
    int error = errno;
    close(*master);
    return error;
  }
  pty_resize(*master, rows, cols);
  set_modes(*slave, modes);
  return 0;
}
