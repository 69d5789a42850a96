"""Plays output to the rules as a call would, on a clock of its own: what is read, and what a client would be sent."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cmdtool.detect import NOTHING_KNOWN, Known
from cmdtool.model import STREAMS, Progress, ProgressSpec, Stream
from cmdtool.progress import ProgressTracker, Update
from cmdtool.readings import Reading
from cmdtool.recording import Recording
from cmdtool.records import RecordSplitter
from cmdtool.scanner import QUIET, Scanner

_PIECE: Final = re.compile(rb"[^\r\n\x08]*[\r\n]|[^\r\n\x08]+|\x08+")
"""What ends at most one record."""

_MOMENT: Final = 1e-6
"""Seconds by which each look at a client is late, so that rounding does not make it early."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a piece of output brought: the records it ended, or the growing one that was read, and the readings."""

    t: float
    stream: Stream
    records: tuple[bytes, ...]
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """An update, when it went out, and the stage that was read last."""

    t: float
    update: Update
    stage: str | None


def pieces(data: bytes) -> list[bytes]:
    """Cut output where a record may end, so that each record is read by itself."""
    return _PIECE.findall(data)


class Player:
    """A scanner that is shown one record at a time. Whoever feeds it watches for `QUIET` seconds of silence."""

    def __init__(self, spec: Progress, known: Known = NOTHING_KNOWN) -> None:
        """Begin to read by `spec`; `known` is what `auto` may know of the programs that ran."""
        self.scanner = Scanner(spec, {}, known)
        self._splitters = {stream: RecordSplitter() for stream in STREAMS}
        self._looks: dict[Stream, Step | None] = dict.fromkeys(STREAMS)

    def feed(self, stream: Stream, data: bytes, t: float) -> Iterator[Step]:
        """Show the next block; iterate over what each record in it brought."""
        for piece in pieces(data):
            records = self._splitters[stream].feed(piece)
            yield from self._step(t, stream, records, self.scanner.feed(stream, piece, t))

    def quiet(self, stream: Stream, t: float) -> Iterator[Step]:
        """Show the growing record as it stands; `t` is when its last block came."""
        if self.scanner.awaits_quiet(stream):
            yield from self._step(t, stream, [], self.scanner.quiet(stream))

    def finish(self, t: float) -> Iterator[Step]:
        """Show the end of both streams."""
        for stream in STREAMS:
            yield from self._step(t, stream, self._splitters[stream].finish(), self.scanner.finish(stream))

    def _step(self, t: float, stream: Stream, records: list[bytes], readings: list[Reading]) -> Iterator[Step]:
        """Leave out what a look at the record has shown already, while it was growing."""
        look, has_ended = self._looks[stream], bool(records)
        if has_ended:
            self._looks[stream] = None
        if look and look.records == tuple(records[:1]):
            records = records[1:]
            readings = readings[1:] if look.readings[-1:] == tuple(readings[:1]) else readings
        if not records and not readings:
            return
        step = Step(t, stream, tuple(records or [self.scanner.last_record]), tuple(readings))
        if not has_ended:
            self._looks[stream] = step
        yield step


def replay(recording: Recording, player: Player) -> Iterator[Step]:
    """Play a recording; each step has the time of the block it came with."""
    chunks = recording.chunks
    next_of: dict[Stream, float] = {}
    pauses = []
    for chunk in reversed(chunks):
        pauses.append(next_of.get(chunk.stream, float("inf")) - chunk.t)
        next_of[chunk.stream] = chunk.t
    for chunk, pause in zip(chunks, reversed(pauses), strict=True):
        yield from player.feed(chunk.stream, chunk.data, chunk.t)
        if pause > QUIET:
            yield from player.quiet(chunk.stream, chunk.t)
    if chunks:
        yield from player.finish(chunks[-1].t)


class Client:
    """What a client of a call would be sent, whose clock is told the time; it begins at 0."""

    def __init__(self, spec: Progress, expected: float | None, known: Known = NOTHING_KNOWN) -> None:
        """Begin at 0.

        Args:
            spec: how progress is read.
            expected: the total that is known from the start.
            known: what `auto` may know of the programs that ran.
        """
        self._tracker = ProgressTracker(spec, 0.0)
        self._tracker.weigh(known.stages(spec))
        if expected is not None:
            self._tracker.expect(expected)
        self._now = 0.0
        self._stage: str | None = None

    def offer(self, step: Step) -> None:
        """Take what was read."""
        for record in step.records:
            self._tracker.hear(record)
        for reading in step.readings:
            self._tracker.offer(reading)
            self._stage = reading.stage

    def wait(self) -> float:
        """Return the seconds until there may be something to send, if nothing more is read."""
        return self._tracker.wait(self._now)

    def advance(self, now: float) -> Iterator[Sent]:
        """Let the time pass up to `now`; iterate over what goes out before."""
        while (due := self._now + self._tracker.wait(self._now) + _MOMENT) < now:
            self._now = due
            yield from self._sent(self._tracker.take(due))
        self._now = max(self._now, now)

    def finish(self, *, success: bool) -> Iterator[Sent]:
        """Let the call end now; iterate over what goes out last."""
        yield from self._sent(self._tracker.finish(success=success, now=self._now))

    def _sent(self, update: Update | None) -> Iterator[Sent]:
        if update is not None:
            yield Sent(round(self._now, 4), update, self._stage)


def held(steps: Sequence[Step], spec: ProgressSpec) -> list[float]:
    """Return when something was read that would have taken the progress back, and so was held."""
    times: list[float] = []
    furthest: dict[object, float] = {}
    for step in steps:
        for reading in step.readings:
            if reading.value is None:
                continue
            scale = (reading.total is None, reading.stage if spec.stages else None)
            value = reading.value / (reading.total or 1)
            if value < furthest.get(scale, 0.0):
                times.append(step.t)
            furthest[scale] = max(value, furthest.get(scale, 0.0))
    return times
