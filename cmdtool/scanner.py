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

QUIET: Final = 0.02
"""Seconds without output after which a record is read though its end has not come."""

GLANCE: Final = 0.05
"""Seconds between two looks at a record that keeps growing, such as a row of dots."""

_DIGIT: Final = re.compile(rb"\d")


class Scanner:
    """Reads what one call prints: whole records, and records that are still growing.

    A number at the end of a block may go on in the next one. So a growing record is read whole only after `QUIET`
    seconds, which whoever feeds the scanner must watch for, or at its end. While it grows without such a pause, it is
    read every `GLANCE` seconds without the word at its end, if that holds a digit.
    """

    def __init__(self, spec: Progress, arguments: Mapping[str, str], known: Known = NOTHING_KNOWN) -> None:
        """Begin to read a call by `spec`; `known` is what `auto` may know of the programs that it runs."""
        self._reader = Reader(spec, arguments)
        self._detector = Detector(known, arguments) if spec.detects else None
        self._bars = Bars()
        self._splitters = {stream: RecordSplitter() for stream in STREAMS}
        self._unread_since: dict[Stream, float] = {}
        self.last_record = b""

    @property
    def total(self) -> float | None:
        """The total as known now."""
        return self._reader.total

    def set_total(self, counted: Counted, value: float) -> list[Reading]:
        """Take a total that was counted, and return what is read now, if that is of use."""
        return _listed(self._reader.set_total(counted, value))

    def awaits_quiet(self, stream: Stream) -> bool:
        """Whether there is a growing record that `quiet` would read."""
        return stream in self._unread_since

    def feed(self, stream: Stream, block: bytes, now: float) -> list[Reading]:
        """Take the next block; return what is read now, the newest last, nothing if no rule read anything in it."""
        splitter = self._splitters[stream]
        records = splitter.feed(block)
        if records:
            self._unread_since.pop(stream, None)
        readings = self._read(stream, records)
        if splitter.pending and now >= self._unread_since.setdefault(stream, now) + GLANCE:
            self._unread_since[stream] = now
            readings += self._preview(stream, _without_last_number(splitter.pending))
        return readings

    def quiet(self, stream: Stream) -> list[Reading]:
        """Read the growing record as it stands: nothing has come for `QUIET` seconds."""
        self._unread_since.pop(stream, None)
        return self._preview(stream, self._splitters[stream].pending)

    def finish(self, stream: Stream) -> list[Reading]:
        """Read what the end of the stream ends."""
        self._unread_since.pop(stream, None)
        return self._read(stream, self._splitters[stream].finish())

    def _read(self, stream: Stream, records: list[bytes]) -> list[Reading]:
        if not records:
            return []
        self.last_record = records[-1]
        if not self._splitters[stream].has_moved_up:
            return self._whole(stream, records[-1], self._feed(stream, records))
        return [reading for record in records for reading in self._whole(stream, record, self._feed(stream, [record]))]

    def _preview(self, stream: Stream, pending: bytes) -> list[Reading]:
        if not pending:
            return []
        self.last_record = pending
        readings = _listed(self._reader.preview(stream, pending))
        if self._detector and not readings:
            readings = self._detector.preview(stream, pending, is_screen=self._splitters[stream].has_moved_up)
        return self._whole(stream, pending, readings)

    def _feed(self, stream: Stream, records: list[bytes]) -> list[Reading]:
        readings = _listed(self._reader.feed(stream, records))
        if self._detector and not readings:
            return self._detector.feed(stream, records, is_screen=self._splitters[stream].has_moved_up)
        return readings

    def _whole(self, stream: Stream, record: bytes, readings: list[Reading]) -> list[Reading]:
        """Return the progress of the whole where `readings` are of one of several bars; after a start, from zero."""
        readings = [each for reading in readings for each in _from_zero(reading)]
        if not isinstance(record, Placed):
            return readings
        is_screen = self._splitters[stream].has_moved_up
        placed = [reading if reading.row is not None else replace(reading, row=record.row) for reading in readings]
        wholes = [self._bars.take(reading, is_screen=is_screen) for reading in placed]
        return [whole for whole in wholes if whole is not None]


def _listed(reading: Reading | None) -> list[Reading]:
    return [reading] if reading else []


def _from_zero(reading: Reading) -> list[Reading]:
    return [replace(reading, value=0.0), reading] if reading.is_first else [reading]


def _without_last_number(pending: bytes) -> bytes:
    start = pending.rfind(b" ") + 1
    return pending[:start] if _DIGIT.search(pending, start) else pending
