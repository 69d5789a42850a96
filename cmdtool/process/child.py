"""One running command: its output, its exit, and who belongs to it."""

import errno
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Final

import anyio

from cmdtool.argv import Invocation
from cmdtool.model import Stream
from cmdtool.process.control_group import ControlGroup
from cmdtool.pseudo_terminal import Responder
from cmdtool.trees import machine
from cmdtool.trees.entry import Entry, mark_of_run
from cmdtool.trees.tree import Tree

BLOCK: Final = 64 * 1024
"""Bytes read at once: the capacity of a pipe (pipe(7))."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: with an exit status or by a signal (its name), one or the other."""

    status: int | None
    signal: str | None


class Process:
    """A running command; made by `Supervisor.start`, ended by `Supervisor.end`."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        outputs: Mapping[Stream, IO[bytes]],
        invocation: Invocation,
        run_id: str,
        since: int,
        group: ControlGroup | None,
    ) -> None:
        terminal = invocation.terminal
        self._popen = popen
        self._outputs = outputs
        self._terminal = terminal
        self._is_sandboxed = invocation.is_sandboxed
        for output in outputs.values():
            os.set_blocking(output.fileno(), False)
        self._responders = {stream: Responder() for stream in outputs}
        self._farewell = (signal.SIGTERM, signal.SIGCONT, *([signal.SIGHUP] if terminal else []))
        self.session = popen.pid
        """The id of its session, of its process group, and its own."""
        self.run_id = run_id
        """128 random bits in hexadecimal; all that it starts carries them, and nobody guesses them."""
        self.mark = mark_of_run(run_id)
        """The mark of the run, which says of a process that it belongs here."""
        self.since = since
        """The time of its start, as processes' start times are told."""
        self.group = group
        """What holds it and all that it starts to its limits as a whole, if anything does."""
        self.tree = Tree([run_id], popen.pid, since)
        """It and all that it has started, wherever that went."""

    async def read(self, stream: Stream) -> bytes:
        """Return the next block of output, at most 64 KiB; empty at end of file. What is there is not waited for."""
        fd = self._outputs[stream].fileno()
        while True:
            try:
                block = os.read(fd, BLOCK)
            except BlockingIOError:
                await anyio.wait_readable(fd)
            except OSError as exc:
                if exc.errno == errno.EIO:  # the end of file of a terminal that nobody has open any more
                    return b""
                raise
            else:
                if self._terminal:
                    self._respond(stream, block, self._terminal.controlling)
                return block

    def _respond(self, stream: Stream, block: bytes, controlling: Stream) -> None:
        """Answer what the program asks its terminal. It reads that from the controlling one, whatever it wrote to."""
        if answers := self._responders[stream].answers(block):
            with suppress(OSError):  # it has read none of the answers so far, or has closed the terminal
                os.write(self._outputs[controlling].fileno(), answers)

    async def exited(self) -> None:
        """Wait until the process has exited. It is not reaped yet, so its pid stays its own."""
        try:
            fd = os.pidfd_open(self._popen.pid)
        except (AttributeError, OSError):  # no pidfd here: macOS, Linux < 5.3
            # A thread of its own: many commands that run long must not take all those in which others read and write.
            await anyio.to_thread.run_sync(
                partial(os.waitid, os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT),
                abandon_on_cancel=True,
                limiter=anyio.CapacityLimiter(1),
            )
            return
        try:
            await anyio.wait_readable(fd)
        finally:
            os.close(fd)

    def reap(self) -> Exit:
        """Collect the process and return how it ended; one that cannot be killed counts as killed, and nobody waits."""
        code = self._popen.poll()
        if code is None:
            return Exit(None, signal.SIGKILL.name)
        if code >= 0:
            return Exit(code, None)
        try:
            return Exit(None, signal.Signals(-code).name)
        except ValueError:  # a real-time signal has no name
            return Exit(None, f"signal {-code}")

    def close(self) -> None:
        """Close its output; a terminal goes away."""
        for output in self._outputs.values():
            output.close()

    def has_exited(self) -> bool:
        """Return whether it has exited; it need not have been reaped."""
        try:
            return self._peek() is not None
        except ChildProcessError:
            return True

    def exit_status(self) -> int | None:
        """Return the status with which it has exited, None if a signal ended it; before it is reaped."""
        end = self._peek()
        return end.si_status if end and end.si_code == os.CLD_EXITED else None

    def _peek(self) -> os.waitid_result | None:
        return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def processes(self) -> list[Entry]:
        """Return the processes that count for the run, zombies too, but not the two of its sandbox.

        This is for looking often: no environment is read, so on Linux half a millisecond for a hundred processes.
        """
        entries = self.tree.look(thorough=False, zombies=True)
        if self._is_sandboxed:
            return [entry for entry in entries if self.session not in (entry.pid, entry.parent)]
        return entries

    def ask_to_end(self) -> None:
        """Send SIGTERM and SIGCONT to all of the run, and under a terminal the signal of one that goes away, too."""
        entries = self.tree.look()
        if not self._is_sandboxed:
            self.tree.send(entries, *self._farewell)
            return
        for entry in entries:
            if entry.pid != self.session:  # with the sandbox all in it is killed; it ends by itself after the command
                machine.send(entry, *self._farewell)
