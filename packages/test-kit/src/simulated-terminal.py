"""Runs a command at a terminal: simulated-terminal.py ROWS COLS COMMAND. Standard input and output are the terminal's
other side; lines of descriptor 3 are `size ROWS COLS` and `signal NUMBER`. Ends as the command does."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

rows, cols, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
begin, go = os.pipe()
child, terminal = pty.fork()
if child == 0:
    os.read(begin, 1)  # its size is known before it runs
    os.closerange(3, 64)
    os.execvp("/bin/sh", ["/bin/sh", "-c", command])


def resize(rows, cols):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def control(line):
    words = line.split()
    if words[0] == "size":
        resize(int(words[1]), int(words[2]))
    else:
        os.kill(-child, int(words[1]))


def write(fd, data):
    while data:
        data = data[os.write(fd, data) :]


resize(rows, cols)
os.write(go, b"x")
sources = [0, 3, terminal]
while terminal in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError:
            data = b""  # nobody has the terminal any more
        if not data:
            sources.remove(source)
        elif source == 3:
            for line in data.decode().splitlines():
                control(line)
        else:
            write(terminal if source == 0 else 1, data)
status = os.waitpid(child, 0)[1]
if os.WIFSIGNALED(status):
    signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.waitstatus_to_exitcode(status))
