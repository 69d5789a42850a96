"""Torments its terminal: modes, sizes, tens of thousands of questions whose answers it never reads."""

import fcntl
import os
import struct
import termios
import tty

tty.setraw(1)
for rows, columns in ((0, 0), (65535, 65535), (1, 1)):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
for _ in range(20_000):
    os.write(1, b"\x1b[6n\x1b[c\x1b[>c\x1b[18t\x1b]11;?\x07\x1b[5n")
os.write(1, b"\x1b[8;9999;9999t\x1b]0;" + b"t" * 10_000 + b"\x07\nthe end\n")
