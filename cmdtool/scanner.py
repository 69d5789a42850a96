"""Blocks of both streams -> readings, as they come; the clock is passed in, in seconds."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cmdtool.bars import Bars
from cmdtool.detect import NOTHING_KNOWN, Detector, Known
from cmdtool.model import STREAMS, Counted, Progress, Stream
from cmdtool.readings import Reader, Reading
from cmdtool.records import Placed, RecordSplitter
from cmdtool.suggest import Finding

QUIET: Final = 0.02
"""Seconds without output after which a record is read though its end has not come."""

LOOKS: Final = 200.0
"""Looks a second at a record that keeps growing, such as a row of dots; what is not used is saved up."""

SAVED: Final = 32.0
"""Looks that can be saved up. A longer record costs more of them, one for each `STRETCH` bytes."""

STRETCH: Final = 256

_GOES_ON: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,:%/"
"""What a number that has begun, with its unit or as part of a pair, may go on with."""

_DIGIT: Final = re.compile(rb"[0-9]")

_MARKS: Final = b".."
"""What no number goes on with, and a row of marks does: `0...10...20`."""

_PIECES: Final = 3
"""Blocks of a growing record from which on it is looked at: what comes in two writes is read as one."""


class Scanner:
    """Reads what one call prints: whole records, and records that are still growing.

    A number at the end of a block may go on in the next one. So a growing record is read whole only after `QUIET`
    seconds, which whoever feeds the scanner must watch for, or at its end. While it grows without such a pause, it is
    read now and then, without a number at its end.
    """

    def __init__(self, spec: Progress, arguments: Mapping[str, str], known: Known = NOTHING_KNOWN) -> None:
        """Begin to read a call by `spec`; `known` is what `auto` may know of the programs that it runs."""
        self._reader = Reader(spec, arguments)
        self._detector = Detector(known, arguments) if spec.detects else None
        self._bars = Bars()
        self._splitters = {stream: RecordSplitter() for stream in STREAMS}
        self._unread: set[Stream] = set()
        self._blocks = dict.fromkeys(STREAMS, 0)
        self._looks = SAVED
        self._looked_at = 0.0
        self.last_record = b""

    @property
    def total(self) -> float | None:
        """The total as known now."""
        return self._reader.total

    def findings(self) -> list[Finding]:
        """Return the rules that would read what `auto` found without knowing the program."""
        return self._detector.findings() if self._detector else []

    def set_total(self, counted: Counted, value: float) -> list[Reading]:
        """Take a total that was counted, and return what is read now, if that is of use."""
        return _listed(self._reader.set_total(counted, value))

    def awaits_quiet(self, stream: Stream) -> bool:
        """Whether there is a growing record that `quiet` would read."""
        return stream in self._unread

    def feed(self, stream: Stream, block: bytes, now: float) -> list[Reading]:
        """Take the next block; return what is read now, the newest last, nothing if no rule read anything in it."""
        splitter = self._splitters[stream]
        readings = self._number_before(stream, block, now)
        records = splitter.feed(block)
        if records:
            self._unread.discard(stream)
            self._blocks[stream] = 0
        readings += self._read(stream, records)
        if pending := splitter.pending:
            self._unread.add(stream)
            self._blocks[stream] += 1
            if self._blocks[stream] >= _PIECES and self._may_look(1 + len(pending) // STRETCH, now):
                readings += self._preview(stream, pending, _without_open_end(pending))
        return readings

    def quiet(self, stream: Stream) -> list[Reading]:
        """Read the growing record as it stands: nothing has come for `QUIET` seconds."""
        self._unread.discard(stream)
        pending = self._splitters[stream].pending
        return self._preview(stream, pending, pending)

    def finish(self, stream: Stream) -> list[Reading]:
        """Read what the end of the stream ends."""
        self._unread.discard(stream)
        return self._read(stream, self._splitters[stream].finish())

    def _number_before(self, stream: Stream, block: bytes, now: float) -> list[Reading]:
        """Read the number at the end of a growing record if `block` shows that it was whole, and the record goes on."""
        pending = self._splitters[stream].pending
        if stream not in self._unread or not block.startswith(_MARKS) or _without_open_end(pending) == pending:
            return []
        return self._preview(stream, pending, pending) if self._may_look(1 + len(pending) // STRETCH, now) else []

    def _may_look(self, cost: int, now: float) -> bool:
        """Whether a growing record may be looked at now; it is paid for then."""
        self._looks = min(self._looks + LOOKS * (now - self._looked_at), SAVED)
        self._looked_at = now
        may = self._looks >= cost
        self._looks -= cost * may
        return may

    def _read(self, stream: Stream, records: list[bytes]) -> list[Reading]:
        if not records:
            return []
        self.last_record = records[-1]
        return self._whole(stream, self._feed(stream, records))

    def _preview(self, stream: Stream, pending: bytes, text: bytes) -> list[Reading]:
        """Read `text`, which is the growing record or what of it cannot change any more."""
        if not text:
            return []
        self.last_record = pending
        readings = _listed(self._reader.preview(stream, text))
        if self._detector and not readings:
            readings = self._detector.preview(stream, text, is_screen=self._splitters[stream].has_moved_up)
        return self._whole(stream, readings)

    def _feed(self, stream: Stream, records: list[bytes]) -> list[Reading]:
        readings = self._reader.read(stream, records)
        if self._detector is None:
            return readings
        found = self._detector.feed(stream, records, is_screen=self._splitters[stream].has_moved_up)
        return readings or found

    def _whole(self, stream: Stream, readings: list[Reading]) -> list[Reading]:
        """Return the progress of the whole where `readings` are of one of several bars; after a start, from zero."""
        readings = [each for reading in readings for each in _from_zero(reading)]
        is_screen = self._splitters[stream].has_moved_up
        wholes = [self._bars.take(reading, is_screen=is_screen) for reading in readings]
        return [whole for whole in wholes if whole is not None]


def _without_open_end(pending: bytes) -> bytes:
    """Return a growing record without a number at its end that may go on."""
    start = max(len(pending.rstrip(_GOES_ON)), pending.rfind(_MARKS) + len(_MARKS) if _MARKS in pending else 0)
    digit = _DIGIT.search(pending, start)
    text = pending[: digit.start()] if digit else pending
    return Placed.at(pending.row, text) if isinstance(pending, Placed) else text


def _listed(reading: Reading | None) -> list[Reading]:
    return [reading] if reading else []


def _from_zero(reading: Reading) -> list[Reading]:
    return [replace(reading, value=0.0), reading] if reading.is_first else [reading]
