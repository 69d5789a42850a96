"""Runs as a process of its own: limits itself, takes a controlling terminal, then becomes the command.

Limits must hold from the command's first instruction, and only a session's leader can take a controlling terminal, and
only itself. `subprocess` would do both between fork and exec by `preexec_fn`, which may deadlock where there are
threads; here it is an ordinary program that does it.

Its arguments are two descriptors: a socket, and where there is one the terminal. From the socket come program, argv,
environment, limits and the file by which to join a control group, and the number of an error goes back. When the
program has taken over, it is closed. Every call waits for this, so nothing is imported that it can do without.
"""

import fcntl
import marshal
import os
import resource
import signal
import sys
import termios


def main() -> None:
    """Become the command."""
    channel, *terminals = map(int, sys.argv[1:])
    with open(channel, "rb", closefd=False) as request:
        program, argv, env, limits, entrance = marshal.load(request)
    os.set_inheritable(channel, False)
    # Python ignores them, and the command would inherit that (signal(7)).
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        if entrance:
            group = os.open(entrance, os.O_WRONLY)
            os.write(group, b"0")
            os.close(group)
        for terminal in terminals:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for kind, soft, hard in limits:
            _limit(kind, soft, hard)
        os.execve(program, argv, env)
    except OSError as exc:
        os.write(channel, str(exc.errno).encode())


def _limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit; one that holds already and is lower stays, for only root could raise it."""
    _, allowed = resource.getrlimit(kind)
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    main()
