"""The parser called `auto`: reads progress that the manifest does not describe.

For programs that the library knows, by the names of those the command runs, their parsers: all are shown every record,
and the newest reading counts. Otherwise the records are mined, and so they are, until a parser has read something,
beside parsers of programs that run others, such as make, and where a script runs unknown programs too.

What mining does, so that a reader can predict it (`features.py`, `mining.py`):

1. **Features.** Of each record the numbers that could be progress are looked at: percentages, `a/b` and `a of b`,
   `a/b` where a + b stays the same (done and left), `left a/b`, clock pairs, shares in JSON lines, bars made of glyphs
   where there is no digit, bare counts, lines that say how one test ended, and rows of dots while they grow. What its
   form or a word beside it gives away as a ratio, a load, a rate, a try, a score, a time, a date, part of a name or of
   a row of a table is left out.
2. **Series.** A feature belongs to the same series as one of an earlier record where it stands in the same place of the
   same kind of record: with the same words before it, the same total, or, for a bare count, in a record that is
   otherwise the same.
3. **Proof.** Nothing is said of a series until it has risen: once where a bar, brackets or a word say that it is
   progress, or its total stays the same, or, in a record drawn again, a large number beside it rises too; else twice. A
   bare count needs three steps, one less where a word says what is counted, two less for a size that is drawn again.
   A series that falls without having been complete must prove more, one that keeps falling is left alone. So
   constants, ratios, tables and summaries stay unread. What a series said before its proof is then told, oldest first.
4. **Choice.** Determinate beats indeterminate. In one record a total beats a bare percentage, unless its numbers are
   rounded more; a pair that counts the parts of the job (`file 3 of 10`, or `Epoch 3/10` on a line before) beats what
   moves faster than it. What is chosen is followed as long as it goes on. Another thing is the next phase once the one
   before is complete, or two records of the other have come without it; another count once the one before is silent
   for fifty records. Of several bars drawn at once, `bars.py` chooses.

Mining prefers silence to a wrong number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cmdtool.mining import Miner
from cmdtool.model import Progress, ProgressSpec, Stream
from cmdtool.readings import Reader, Reading
from cmdtool.suggest import Finding


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the programs that a command runs: their parsers, and whether others may print too."""

    parsers: Mapping[str, ProgressSpec] = field(default_factory=dict)
    mines: bool = True

    def stages(self, spec: Progress) -> Mapping[str, float]:
        """Return the weights of stages: those of `spec`, else of the only parser that reads."""
        parsers = list(self.parsers.values())
        return spec.stages or (parsers[0].stages if len(parsers) == 1 else None) or {}


NOTHING_KNOWN: Final = Known()


class Detector:
    """Reads the records of one call."""

    def __init__(self, known: Known, arguments: Mapping[str, str]) -> None:
        self._readers = [Reader(spec, arguments) for spec in known.parsers.values()]
        self._miner = Miner() if known.mines else None
        self._has_told = False
        self._held: list[Reading] = []

    def feed(self, stream: Stream, records: Sequence[bytes], *, is_screen: bool = False) -> list[Reading]:
        """Return what is read in `records`, the newest last."""
        # What one parser reads may be older than what another does, so several see one record after the other.
        each = [[record] for record in records] if len(self._readers) > 1 else [records]
        found = [reading for some in each for reader in self._readers for reading in reader.read(stream, some)]
        mined = self._miner.feed(stream, records, is_screen=is_screen) if self._miner else []
        if any(reading.value is not None for reading in found):
            self._miner = None
            return self._told(found)
        return [*found, *mined]

    def _told(self, found: list[Reading]) -> list[Reading]:
        """Hold what is complete when it first appears until more comes: a bar that is only shown when all is done."""
        if self._has_told:
            return found
        numbers = [*self._held, *(reading for reading in found if reading.value is not None)]
        if len(numbers) == 1 and _is_complete(numbers[0]):
            self._held = numbers
            return [reading for reading in found if reading.value is None]
        self._has_told = True
        return [*self._held, *found]

    def findings(self) -> list[Finding]:
        """Return the rules that would read what was mined."""
        return self._miner.findings() if self._miner else []

    def preview(self, stream: Stream, pending: bytes, *, is_screen: bool = False) -> list[Reading]:
        """Return what `feed` would if the record `pending` ended here."""
        found = [reader.preview(stream, pending) for reader in self._readers]
        mined = self._miner.preview(stream, pending, is_screen=is_screen) if self._miner else []
        readings = [reading for reading in found if reading is not None]
        if not self._has_told and not self._held and len(readings) == 1 and _is_complete(readings[0]):
            return []
        if not any(reading.value is not None for reading in readings):
            return [*readings, *mined]
        self._has_told = True
        return readings


def _is_complete(reading: Reading) -> bool:
    return reading.value is not None and reading.total is not None and reading.value >= reading.total
