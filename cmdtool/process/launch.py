"""Runs as a process of its own: takes one of its streams as controlling terminal, then becomes the command.

Only a session's leader can take a controlling terminal, and only itself. `subprocess` would do that between fork and
exec by `preexec_fn`, which may deadlock where there are threads; here it is an ordinary program that does it.

Its arguments are two descriptors: the terminal, and a socket. From the socket come program, argv and environment, and
the number of an error goes back. When the program has taken over, it is closed. Every call waits for this, so nothing
is imported that it can do without.
"""

import fcntl
import marshal
import os
import signal
import sys
import termios


def main() -> None:
    """Become the command."""
    terminal, channel = map(int, sys.argv[1:])
    with open(channel, "rb", closefd=False) as request:
        program, argv, env = marshal.load(request)
    os.set_inheritable(channel, False)
    # Python ignores them, and the command would inherit that (signal(7)).
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        os.execve(program, argv, env)
    except OSError as exc:
        os.write(channel, str(exc.errno).encode())


if __name__ == "__main__":
    main()
