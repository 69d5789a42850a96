"""Where `cmdtool parse` reads: a recording, a log file, or standard input as it comes. Each is a run to play."""

import math
import os
import select
import shlex
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from cmdtool.errors import CmdtoolError
from cmdtool.model import Progress
from cmdtool.progress import format_elapsed
from cmdtool.recording import Recording, is_recording, parse_recording
from cmdtool.replay import Player, Step, pieces, replay
from cmdtool.scanner import QUIET

Tick: TypeAlias = tuple[float, list[Step]]
"""A time, and what came then: nothing where only the time passes."""

_INTERRUPTED: Final = 130
_BLOCK: Final = 64 * 1024
_LONGEST_WAIT: Final = 3600.0


class Source(Protocol):
    """A run that can be played once."""

    @property
    def title(self) -> str:
        """What it is, in a line."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line, where it is known."""

    @property
    def exit_code(self) -> int | None:
        """How the run ended, where that is known."""

    @property
    def end(self) -> float:
        """When the run ended, if that was after the last output."""

    @property
    def is_live(self) -> bool:
        """Whether its output is still to come."""

    @property
    def status(self) -> int:
        """What to exit with after it was played."""

    def adapt(self, spec: Progress) -> Progress:
        """Return the rules as they can be used here."""

    def ticks(self, player: Player, wait: Callable[[], float]) -> Iterator[Tick]:
        """Play it; `wait` says in how many seconds a tick is wanted at the latest."""

    def clock(self, t: float) -> str:
        """Write a time."""


def open_source(path: Path | None) -> Source:
    """Return what is to be read in the file `path`, or in standard input.

    Raises:
        CmdtoolError: the file cannot be read, or is empty, or the recording is damaged.
    """
    if path is not None and str(path) != "-":
        return _open_file(str(path), _read_file(path))
    if stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        return _open_file("standard input", sys.stdin.buffer.read())
    first = _first_block()
    if is_recording(first.partition(b"\n")[0]):
        return _open_file("standard input", first + sys.stdin.buffer.read())
    return _Live(first)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise CmdtoolError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc


def _open_file(name: str, data: bytes) -> Source:
    if not data:
        raise CmdtoolError(f"{name}: it is empty")
    if is_recording(data.partition(b"\n")[0]):
        return _Recorded(name, parse_recording(name, data.decode(errors="replace")))
    return _Log(name, data)


def _first_block() -> bytes:
    """Return what standard input begins with: of what may be a recording the whole first line."""
    block = first = os.read(sys.stdin.fileno(), _BLOCK)
    while block and first.startswith(b"{") and b"\n" not in first:
        block = os.read(sys.stdin.fileno(), _BLOCK)
        first += block
    return first


class _Recorded:
    """A recording has times, streams, a command line and an end."""

    is_live = False
    status = 0

    def __init__(self, name: str, recording: Recording) -> None:
        self._recording = recording
        self.argv = recording.argv
        self.exit_code = recording.exit_code
        self.end = recording.duration or 0.0
        ended = "its end is not recorded" if self.exit_code is None else _describe_end(self.exit_code)
        self.title = f"{name}: {shlex.join(self.argv)} ({recording.mode}, {self.clock(self.end)}, {ended})"

    def adapt(self, spec: Progress) -> Progress:
        return spec

    def ticks(self, player: Player, wait: Callable[[], float]) -> Iterator[Tick]:
        for step in replay(self._recording, player):
            yield step.t, [step]

    def clock(self, t: float) -> str:
        return _format_time(t)


def _format_time(t: float) -> str:
    return f"{t:.2f}s" if t < 100 else format_elapsed(t)


def _describe_end(exit_code: int) -> str:
    return f"exit status {exit_code}" if exit_code >= 0 else f"ended by signal {-exit_code}"


class _Log:
    """A log has neither times nor streams: its time is the number of the line, and no rule is bound to a stream."""

    argv = ()
    exit_code = None
    end = 0.0
    is_live = False
    status = 0

    def __init__(self, name: str, data: bytes) -> None:
        self._data = data
        self.title = f"{name}: a log without times: # is the line"

    def adapt(self, spec: Progress) -> Progress:
        # Where no time passes nothing is silent.
        return _any_stream(spec).model_copy(update={"heartbeat": math.inf})

    def ticks(self, player: Player, wait: Callable[[], float]) -> Iterator[Tick]:
        t = 1.0
        for piece in pieces(self._data):
            yield t, list(player.feed("stdout", piece, t))
            t += piece.endswith((b"\n", b"\r"))
        yield t, list(player.finish(t))

    def clock(self, t: float) -> str:
        return f"#{max(t, 1):.0f}"


class _Live:
    """Standard input as it comes; its time begins with the first output."""

    argv = ()
    exit_code = None
    end = 0.0
    is_live = True
    title = "standard input"

    def __init__(self, first: bytes) -> None:
        self._first = first
        self._begun = time.monotonic()
        self.status = 0

    def adapt(self, spec: Progress) -> Progress:
        return _any_stream(spec)

    def ticks(self, player: Player, wait: Callable[[], float]) -> Iterator[Tick]:
        block, now = self._first, 0.0
        with _interrupts() as interrupts:
            while block:
                yield now, list(player.feed("stdout", block, now))
                while not (ready := self._ready(interrupts, player, wait)):
                    now = time.monotonic() - self._begun
                    yield now, list(player.quiet("stdout", now))
                now = time.monotonic() - self._begun
                if interrupts in ready:
                    self.status = _INTERRUPTED
                    break
                block = os.read(sys.stdin.fileno(), _BLOCK)
            yield now, list(player.finish(now))

    def clock(self, t: float) -> str:
        return _format_time(t)

    def _ready(self, interrupts: int, player: Player, wait: Callable[[], float]) -> list[int]:
        seconds = QUIET if player.scanner.awaits_quiet("stdout") else min(wait(), _LONGEST_WAIT)
        return select.select([sys.stdin.fileno(), interrupts], [], [], seconds)[0]


@contextmanager
def _interrupts() -> Iterator[int]:
    """A descriptor that SIGINT makes readable: wherever it comes, what was read so far is shown to its end."""
    reader, writer = os.pipe()
    before = signal.signal(signal.SIGINT, lambda *_: os.write(writer, b"."))
    try:
        yield reader
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(reader)
        os.close(writer)


def _any_stream(spec: Progress) -> Progress:
    return spec.model_copy(update={"rules": tuple(rule.model_copy(update={"stream": None}) for rule in spec.rules)})
