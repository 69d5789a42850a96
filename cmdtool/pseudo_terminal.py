"""Pseudo-terminals, and the answers that programs expect of a terminal; nothing here starts, reads or signals."""

import os
import re
import termios
from itertools import islice
from typing import Final

from cmdtool.errors import StartError

_ANSWERS: Final = {
    b"\x1b[5n": b"\x1b[0n",  # is all well? yes (DSR)
    b"\x1b[6n": b"\x1b[1;1R",  # where is the cursor? nobody draws, so it never left the first row and column (CPR)
    b"\x1b[c": b"\x1b[?1;2c",  # what are you? a VT100 with the advanced video option, as xterm used to say (DA1)
    b"\x1b[0c": b"\x1b[?1;2c",
}
_QUERY: Final = re.compile(rb"\x1b\[(?:[56]n|0?c)")
_BEGUN: Final = re.compile(rb"\x1b(?:\[[056]?)?\Z")

_MOST_ANSWERS: Final = 100
"""Answers to one block of output: more than any program awaits at once."""


def open_terminal(columns: int, rows: int) -> tuple[int, int]:
    """Return the two ends of a new pseudo-terminal, neither inherited: the controller's and the command's.

    It writes what a command prints as it is, without the carriage returns that bring a cursor back, and does not echo
    what it is sent. In all else it is a terminal as others are, and the command may change it.

    Raises:
        StartError: there is none to be had.
    """
    try:
        controller, terminal = os.openpty()
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise StartError(f"the system has no pseudo-terminal to give (`pty: true`): {reason}") from exc
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.ONLCR
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    termios.tcsetwinsize(terminal, (rows, columns))
    return controller, terminal


class Responder:
    """Finds in one stream what a program asks its terminal, so that it need not wait for an answer in vain.

    Blocks may end inside a query. It keeps three bytes at most.
    """

    def __init__(self) -> None:
        self._begun = b""

    def answers(self, block: bytes) -> bytes:
        """Return the answers to the queries that end in `block`; to a flood of them only the first."""
        data = self._begun + block
        begun = _BEGUN.search(data, max(len(data) - 3, 0))
        self._begun = begun[0] if begun else b""
        return b"".join(_ANSWERS[query[0]] for query in islice(_QUERY.finditer(data), _MOST_ANSWERS))
