"""What a person at the terminal is asked before a tool starts."""

import sys

from cmdtool.errors import ArgumentError
from cmdtool.model import Tool


def confirm(tool: Tool, question: str) -> None:
    """Ask at the terminal whether the call may start.

    Raises:
        ArgumentError: the answer is no, or there is nobody to ask.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        if tool.confirm and tool.confirm.otherwise == "allow":
            return
        raise ArgumentError(f"not confirmed, and this is no terminal to ask at: {question}\nhint: `--yes` says yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ArgumentError("not confirmed: nothing was started")
