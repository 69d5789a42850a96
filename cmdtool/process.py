"""The only module that starts, reads or signals a process.

It takes an `Invocation` and gives bytes and an exit. A `Supervisor` answers for the end of everything it started: each
process leads a session and a process group of its own, and all that is in them ends with it.
"""

import errno
import logging
import marshal
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final

import anyio
import psutil

from cmdtool import launch
from cmdtool.argv import Invocation
from cmdtool.errors import StartError
from cmdtool.model import STREAMS, Stream, Terminal
from cmdtool.pseudo_terminal import Responder, open_terminal

logger = logging.getLogger(__name__)

BLOCK: Final = 64 * 1024
"""Bytes read at once: the capacity of a pipe (pipe(7))."""

LAST_GRACE: Final = 1.0
"""Seconds a command gets once the server itself must end; a client waits two before it kills the server."""

_UNKILLABLE: Final = 5.0
"""Seconds after SIGKILL until a process that the kernel does not let go of is given up."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: with an exit status or by a signal (its name), one or the other."""

    status: int | None
    signal: str | None


def reset_signals() -> None:
    """Unblock all signals and ignore none: a command inherits what this process blocks or ignores (signal(7)).

    SIGPIPE and SIGXFSZ, which Python ignores, are reset for each command by `subprocess`.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class Process:
    """A running command; made by `Supervisor.start`, ended by `Supervisor.end`."""

    def __init__(
        self, popen: subprocess.Popen[bytes], outputs: Mapping[Stream, IO[bytes]], terminal: Terminal | None
    ) -> None:
        self._popen = popen
        self._outputs = outputs
        self._terminal = terminal
        for output in outputs.values():
            os.set_blocking(output.fileno(), False)
        self._responders = {stream: Responder() for stream in outputs}
        self.farewell = (signal.SIGTERM, signal.SIGCONT, *([signal.SIGHUP] if terminal else []))
        """The signals that ask it to end: also the one of a terminal that goes away, if it has one."""
        self.session = popen.pid
        """The id of its session, of its process group, and its own."""

    async def read(self, stream: Stream) -> bytes:
        """Return the next block of output, at most 64 KiB; empty at end of file."""
        fd = self._outputs[stream].fileno()
        await anyio.lowlevel.checkpoint()  # a flood must not keep the event loop to itself
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
            await anyio.to_thread.run_sync(
                os.waitid, os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT, abandon_on_cancel=True
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

    def members(self) -> list[int]:
        """Return the pids of the session that still run; zombies do not."""
        return [pid for pid in psutil.pids() if self._has_member(pid)]

    def _has_member(self, pid: int) -> bool:
        try:
            if pid == self._popen.pid:
                # It looks like a zombie as soon as its first thread has ended; the others may go on.
                return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            return os.getsid(pid) == self.session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except (ChildProcessError, ProcessLookupError, PermissionError, psutil.Error):
            return False

    def signal_all(self, *signals: signal.Signals) -> None:
        """Send the signals to the process group, at once, and to all others in the session.

        Until its leader is reaped, neither can be somebody else's.
        """
        others = [pid for pid in self.members() if _group_of(pid) != self.session]
        for number in signals:
            # No permission: none but set-uid members, or on macOS zombies, are left. `end` says who does not die.
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(self.session, number)
            for pid in others:
                with suppress(PermissionError, ProcessLookupError):
                    os.kill(pid, number)


class Supervisor:
    """Starts processes and answers for their end; one per server.

    Starting and registering are one step without an await between them, so no cancellation can lose a process.
    """

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._endings: set[anyio.CancelScope] = set()
        self._longest_grace = float("inf")

    def start(self, invocation: Invocation) -> Process:
        """Start a command in a session of its own: short environment, no inherited descriptors, default signals.

        Its output goes to pipes, or to the terminals of the invocation, of which one is the session's own.

        Raises:
            StartError: the kernel refused; the message says why.
        """
        try:
            with _standard_input(invocation.stdin) as stdin:
                if invocation.terminal:
                    process = _start_on_terminals(invocation, stdin, invocation.terminal)
                else:
                    process = _start_on_pipes(invocation, stdin)
        except OSError as exc:
            raise StartError(_why_not_started(invocation, exc)) from exc
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


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


@contextmanager
def _standard_input(text: bytes) -> Iterator[int | IO[bytes]]:
    """A file that holds the whole text: the command reads it at its own pace, and nobody has to write."""
    if not text:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        yield file


def _start_on_pipes(invocation: Invocation, stdin: int | IO[bytes]) -> Process:
    popen = subprocess.Popen(
        invocation.argv,
        executable=invocation.program,
        cwd=invocation.cwd,
        env=dict(invocation.env),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert popen.stdout is not None
    assert popen.stderr is not None
    return Process(popen, {"stdout": popen.stdout, "stderr": popen.stderr}, None)


def _start_on_terminals(invocation: Invocation, stdin: int | IO[bytes], terminal: Terminal) -> Process:
    """Start a command with a pseudo-terminal for each stream, so that they stay apart; one is its controlling one.

    What starts is `launch`, in this process's own environment; it becomes the command.
    """
    with ExitStack() as on_error, ExitStack() as always:
        outputs: dict[Stream, IO[bytes]] = {}
        ends: dict[Stream, IO[bytes]] = {}
        for stream in STREAMS:
            ours, theirs = open_terminal(terminal.columns, terminal.rows)
            outputs[stream] = on_error.enter_context(open(ours, "rb", buffering=0))
            ends[stream] = always.enter_context(open(theirs, "wb", buffering=0))
        channel, launched = map(always.enter_context, socket.socketpair())
        descriptors = {"stdout": 1, "stderr": 2}[terminal.controlling], launched.fileno()
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", launch.__file__, *map(str, descriptors)],
            cwd=invocation.cwd,
            stdin=stdin,
            stdout=ends["stdout"],
            stderr=ends["stderr"],
            pass_fds=[launched.fileno()],
            start_new_session=True,
        )
        launched.close()
        _become(popen, channel, invocation)
        on_error.pop_all()
    return Process(popen, outputs, terminal)


def _become(popen: subprocess.Popen[bytes], channel: socket.socket, invocation: Invocation) -> None:
    """Tell `launch` what to become, and wait until it has.

    Raises:
        OSError: the kernel refused.
    """
    env = {os.fsencode(name): os.fsencode(text) for name, text in invocation.env.items()}
    request = (os.fsencode(invocation.program), [*map(os.fsencode, invocation.argv)], env)
    number = b""
    with suppress(ConnectionError):  # it was killed already: that is then how the command has ended
        channel.sendall(marshal.dumps(request))
        channel.shutdown(socket.SHUT_WR)
        number = channel.recv(16)
    if number:
        popen.wait()
        raise OSError(int(number), os.strerror(int(number)))


def _why_not_started(invocation: Invocation, exc: OSError) -> str:
    program = invocation.program
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        if not os.path.isdir(invocation.cwd):
            return f"cannot start `{program}`: the working directory `{invocation.cwd}` does not exist"
        return f"cannot start `{program}`: it, or the interpreter its first line names, does not exist"
    if isinstance(exc, PermissionError):
        return f"cannot start `{program}`: permission denied\nhint: is it executable (`chmod +x`)?"
    hints = {
        "Exec format error": "\nhint: a script needs a first line such as `#!/bin/sh`",
        "Argument list too long": "\nhint: pass large values through `stdin:` or a file",
    }
    reason = exc.strerror or str(exc)
    return f"cannot start `{program}`: {reason.lower()}{hints.get(reason, '')}"
