"""Answers for the end of every command that was started."""

import logging
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio

from cmdtool.argv import Invocation
from cmdtool.process.child import Exit, Process
from cmdtool.process.start import start_process

logger = logging.getLogger(__name__)

LAST_GRACE: Final = 1.0
"""Seconds a command gets once the server itself must end; a client waits two before it kills the server."""

_UNKILLABLE: Final = 5.0
"""Seconds after SIGKILL until a process that the kernel does not let go of is given up."""


def reset_signals() -> None:
    """Unblock all signals and ignore none: a command inherits what this process blocks or ignores (signal(7)).

    SIGPIPE and SIGXFSZ, which Python ignores, are reset for each command by `subprocess`.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class Supervisor:
    """Starts processes and answers for their end; one per server.

    Starting and registering are one step without an await between them, so no cancellation can lose a process.
    """

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._endings: set[anyio.CancelScope] = set()
        self._longest_grace = float("inf")

    def start(self, invocation: Invocation) -> Process:
        """Start a command, and answer for its end from then on.

        All that it starts inherits the id of the run in its environment.

        Raises:
            StartError: the kernel refused; the message says why.
        """
        process = start_process(invocation, secrets.token_hex(16))
        self._running.add(process)
        return process

    @asynccontextmanager
    async def running(self, invocation: Invocation, grace: float) -> AsyncIterator[Process]:
        """Start a command that has ended, with its session, when the block is left, however it is left.

        Raises:
            StartError: as `start`.
        """
        process = self.start(invocation)
        try:
            yield process
        finally:
            await self.end(process, grace)
            process.close()

    async def end(self, process: Process, grace: float) -> Exit:
        """End the process and its session: SIGTERM and SIGCONT, after `grace` seconds SIGKILL until nobody is left.

        Under a terminal it gets SIGHUP too, as when that goes away. Once begun it goes on to its end, whatever is
        cancelled. Its output can still be read afterwards.
        """
        if process in self._running:
            with anyio.CancelScope(shield=True):
                await self._end_session(process, grace)
            self._running.discard(process)
        return process.reap()

    async def _end_session(self, process: Process, grace: float) -> None:
        if not process.members():
            return
        process.signal_all(*process.farewell)
        with self._grace_period(grace):
            await _until_empty(process)
        with anyio.move_on_after(_UNKILLABLE) as patience:
            while process.members():
                process.signal_all(signal.SIGKILL)
                await anyio.sleep(0.01)
        if patience.cancelled_caught:
            logger.error("processes %s cannot be killed and are given up", process.members())

    def hurry(self) -> None:
        """Shorten every grace period, running or to come, to `LAST_GRACE`: the server itself must end."""
        self._longest_grace = LAST_GRACE
        for scope in self._endings:
            scope.deadline = min(scope.deadline, anyio.current_time() + LAST_GRACE)

    def kill_all(self) -> None:
        """Send SIGKILL to every session at once, without waiting."""
        for process in list(self._running):  # a copy, for it may be called from another thread
            process.signal_all(signal.SIGKILL)

    @contextmanager
    def _grace_period(self, grace: float) -> Iterator[None]:
        with anyio.move_on_after(min(grace, self._longest_grace)) as scope:
            self._endings.add(scope)
            try:
                yield
            finally:
                self._endings.discard(scope)


async def _until_empty(process: Process) -> None:
    pause = 0.001
    while process.members():
        await anyio.sleep(pause)
        pause = min(pause * 2, 0.05)
