"""A command in the foreground, for `run` and `record`: its signals, its output on our streams, its exit status."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import BinaryIO, Final, TypeAlias

import anyio
from rich.console import Console

from cmdtool.library import builtin_parsers
from cmdtool.manifest import resolve_progress
from cmdtool.model import Stream, Tool
from cmdtool.process import Supervisor, reset_signals
from cmdtool.run import RunResult
from cmdtool.template import Template
from cmdtool.text import clean

TIMED_OUT: Final = 124
"""Exit status after a time limit, as timeout(1)."""

NOT_STARTED: Final = 127
"""Exit status when the program could not be started, as in sh(1)."""

Interrupt: TypeAlias = Callable[[int], None]
"""Ends the command, and this process with the exit status that is given."""


def command_tool(words: Sequence[str], progress: str, *, pty: bool = False) -> Tool:
    """Return the tool that a command line is, in the caller's folder and environment and without a time limit."""
    return Tool.model_validate(
        {
            "name": os.path.basename(words[0]),
            "command": [Template((word,)) for word in words],
            "timeout": "none",
            "pty": pty,
            "progress": resolve_progress(progress, builtin_parsers()),
            "folder": os.getcwd(),
            "inherit_env": ("*",),
        }
    )


async def run_interruptibly(
    run: Callable[[Supervisor, Interrupt], Awaitable[RunResult]],
) -> tuple[RunResult | None, int | None]:
    """Run a call with `run`; return its result, or the exit status that interrupted it.

    The first SIGINT, SIGTERM or SIGHUP ends the command, a second one kills it at once. Output that nobody takes any
    more ends it too. SIGTSTP (Ctrl-Z) stops it and this process until that is continued.
    """
    supervisor = Supervisor()
    statuses: list[int] = []
    result: RunResult | None = None

    def interrupt(status: int) -> None:
        if statuses:
            supervisor.kill_all()
        statuses.append(status)
        scope.cancel()

    async def watch(signals: AsyncIterator[signal.Signals]) -> None:
        async for number in signals:
            if number in ignored:
                continue
            if number == signal.SIGTSTP:
                _stop(supervisor)
                continue
            say(f"ending the command on {number.name}")
            interrupt(128 + number)

    kept = (signal.SIGHUP, signal.SIGTSTP)  # by nohup(1), or a shell without job control
    ignored = {number for number in kept if signal.getsignal(number) is signal.SIG_IGN}
    reset_signals()

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, *kept) as signals:
        async with supervisor.guarding(), anyio.create_task_group() as tasks:
            tasks.start_soon(watch, signals)
            with anyio.CancelScope() as scope:
                result = await run(supervisor, interrupt)
            tasks.cancel_scope.cancel()
    return result, statuses[0] if statuses else None


def _stop(supervisor: Supervisor) -> None:
    """Stop the commands, which are in sessions of their own, and this process, as a shell stops a job."""
    supervisor.signal_all(signal.SIGSTOP)
    Console(stderr=True).show_cursor()
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)  # has no effect where nobody could continue it
    signal.signal(signal.SIGTSTP, handler)
    supervisor.signal_all(signal.SIGCONT)


class PassThrough:
    """The command's output, byte for byte, on the streams of this process."""

    def __init__(self, interrupt: Interrupt) -> None:
        """`interrupt` is called when nobody takes the output any more."""
        self._interrupt = interrupt
        self.files = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}

    async def echo(self, stream: Stream, block: bytes) -> None:
        """Pass a block on. A reader that is slow holds up the command, as in a shell, but nothing else."""
        write = partial(self._write, self.files[stream], block)
        await anyio.to_thread.run_sync(write, abandon_on_cancel=True)

    def _write(self, file: BinaryIO, block: bytes) -> None:
        try:
            file.write(block)
            file.flush()
        except OSError as exc:
            # What is still buffered would fail again at exit (Python docs, "Note on SIGPIPE").
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
            if not isinstance(exc, BrokenPipeError):
                say(f"cannot write the output: {(exc.strerror or str(exc)).lower()}")
            anyio.from_thread.run_sync(self._interrupt, 128 + signal.SIGPIPE)


def exit_status(result: RunResult) -> int:
    """Return what to exit with after a call: the command's own status, or what a shell would make of its end."""
    if result.exit is None:
        return NOT_STARTED
    if result.ended_by != "exit":
        return TIMED_OUT
    if result.exit.signal is not None:
        return 128 + getattr(signal, result.exit.signal, 0)
    assert result.exit.status is not None
    return result.exit.status


def say(words: str) -> None:
    """Say something on standard error, where it can be told from what the command says."""
    sys.stderr.write(f"cmdtool: {clean(words)}\n")
