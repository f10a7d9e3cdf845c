#include "modes.h"

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

enum { OPCODE_END = 0, OPCODE_INPUT_SPEED = 128, OPCODE_OUTPUT_SPEED = 129, OPCODE_UNKNOWN = 160 };
/* An argument that says that a special character is off. */
enum { DISABLED = 255 };

static const int8_t characters[] = {
    [1] = VINTR, [2] = VQUIT,   [3] = VERASE,  [4] = VKILL,     [5] = VEOF,    [6] = VEOL,    [7] = VEOL2,
    [8] = VSTART, [9] = VSTOP, [10] = VSUSP, [12] = VREPRINT, [13] = VWERASE, [14] = VLNEXT, [18] = VDISCARD,
};

enum group { INPUT = 1, LOCAL, OUTPUT, CONTROL };

static const struct flag {
  uint8_t group;
  tcflag_t bit;
} flags[] = {
    [30] = {INPUT, IGNPAR}, [31] = {INPUT, PARMRK}, [32] = {INPUT, INPCK},   [33] = {INPUT, ISTRIP},
    [34] = {INPUT, INLCR},  [35] = {INPUT, IGNCR},  [36] = {INPUT, ICRNL},   [37] = {INPUT, IUCLC},
    [38] = {INPUT, IXON},   [39] = {INPUT, IXANY},  [40] = {INPUT, IXOFF},   [41] = {INPUT, IMAXBEL},
    [42] = {INPUT, IUTF8},  [50] = {LOCAL, ISIG},   [51] = {LOCAL, ICANON},  [52] = {LOCAL, XCASE},
    [53] = {LOCAL, ECHO},   [54] = {LOCAL, ECHOE},  [55] = {LOCAL, ECHOK},   [56] = {LOCAL, ECHONL},
    [57] = {LOCAL, NOFLSH}, [58] = {LOCAL, TOSTOP}, [59] = {LOCAL, IEXTEN},  [60] = {LOCAL, ECHOCTL},
    [61] = {LOCAL, ECHOKE}, [62] = {LOCAL, PENDIN}, [70] = {OUTPUT, OPOST},  [71] = {OUTPUT, OLCUC},
    [72] = {OUTPUT, ONLCR}, [73] = {OUTPUT, OCRNL}, [74] = {OUTPUT, ONOCR},  [75] = {OUTPUT, ONLRET},
    [92] = {CONTROL, PARENB}, [93] = {CONTROL, PARODD},
};

enum { OPCODE_CS7 = 90, OPCODE_CS8 = 91 };

static tcflag_t *group_of(struct termios *modes, uint8_t group) {
  switch (group) {
    case INPUT: return &modes->c_iflag;
    case LOCAL: return &modes->c_lflag;
    case OUTPUT: return &modes->c_oflag;
    default: return &modes->c_cflag;
  }
}

static void set_size(struct termios *modes, tcflag_t size) {
  modes->c_cflag = (modes->c_cflag & ~(tcflag_t)CSIZE) | size;
}

static void apply(struct termios *modes, uint8_t opcode, uint32_t value) {
  /* VINTR is 0, as what is no character is. */
  if (opcode == 1 || (opcode < sizeof characters && characters[opcode])) {
    modes->c_cc[characters[opcode]] = value == DISABLED ? _POSIX_VDISABLE : (cc_t)value;
  } else if (opcode < sizeof flags / sizeof flags[0] && flags[opcode].group) {
    tcflag_t *group = group_of(modes, flags[opcode].group);
    *group = value ? *group | flags[opcode].bit : *group & ~flags[opcode].bit;
  } else if (opcode == OPCODE_CS7 && value) {
    set_size(modes, CS7);
  } else if (opcode == OPCODE_CS8 && value) {
    set_size(modes, CS8);
  }
}

void modes_apply(struct termios *modes, struct span encoded) {
  for (size_t at = 0; at + 5 <= encoded.length; at += 5) {
    const uint8_t *entry = encoded.bytes + at;
    if (entry[0] == OPCODE_END || entry[0] >= OPCODE_UNKNOWN) return;
    uint32_t value = (uint32_t)entry[1] << 24 | (uint32_t)entry[2] << 16 | (uint32_t)entry[3] << 8 | entry[4];
    /* A terminal that is no line has no speed. */
    if (entry[0] == OPCODE_INPUT_SPEED || entry[0] == OPCODE_OUTPUT_SPEED) continue;
    apply(modes, entry[0], value);
  }
}
