"""Several bars drawn at once -> one progress. Values in, values out.

A program that goes back to an earlier row of the screen draws several bars. Which of them tells how far the whole is
can be seen from how they are drawn:

- One by one, so that the same bar is drawn twice in a row: loops within loops. The outermost that is not complete wins.
- In turn, as one frame: jobs side by side. Their sum wins where each says how much of how much, else the deepest that
  has moved.
"""

from dataclasses import replace
from typing import Final, Literal, TypeAlias

from cmdtool.readings import Reading

_MOST: Final = 64
"""Bars that are remembered."""

Key: TypeAlias = str | int
"""A bar is known by its label, one without a label by its row."""


class Bars:
    """The bars of one run; what was read anywhere but on a screen passes unchanged."""

    def __init__(self) -> None:
        self._bars: dict[Key, Reading] = {}
        self._first: dict[Key, Reading] = {}
        self._drawn: Literal["one by one", "in turn"] | None = None
        self._last: Key | None = None

    def take(self, reading: Reading, *, is_screen: bool) -> Reading | None:
        """Return the progress of the whole after `reading`, None where this bar does not change it.

        Args:
            reading: of one bar, if it has a row.
            is_screen: whether the program has been seen to draw on several rows; before that there is but one bar.
        """
        if reading.row is None or reading.value is None:
            return reading
        key = reading.stage or reading.row
        if not is_screen:
            self._bars, self._first, self._last = {key: reading}, {key: reading}, key
            return reading
        is_new = key not in self._bars
        if self._drawn is None and not is_new and len(self._bars) > 1:
            self._drawn = "one by one" if key == self._last else "in turn"
        followed = self._outermost() if self._drawn == "one by one" else None
        if is_new:
            self._make_room(reading.row)
        self._bars[key] = reading
        self._first.setdefault(key, reading)
        self._last = key
        if len(self._bars) == 1:
            return reading
        if self._drawn == "in turn":
            return self._side_by_side(reading)
        if self._drawn == "one by one":
            return reading if key in (followed, self._outermost()) else None
        return None

    def _make_room(self, row: int) -> None:
        """Forget the bars that another one is drawn over, and the oldest where there are many."""
        gone = [key for key, bar in self._bars.items() if bar.row == row]
        for key in gone or list(self._bars)[: len(self._bars) - _MOST + 1]:
            del self._bars[key], self._first[key]

    def _outermost(self) -> Key | None:
        unfinished = [key for key, bar in self._bars.items() if not _is_complete(bar)]
        return min(unfinished, key=self._row, default=None)

    def _side_by_side(self, reading: Reading) -> Reading | None:
        bars = self._bars.values()
        if all(bar.total is not None and bar.total != 100 for bar in bars):
            value, total = (sum(numbers) for numbers in zip(*((bar.value, bar.total) for bar in bars), strict=True))
            return replace(reading, value=value, total=total, stage=None)
        moved = [key for key, bar in self._bars.items() if bar.value != self._first[key].value]
        return reading if self._last == max(moved, key=self._row, default=None) else None

    def _row(self, key: Key) -> int:
        return self._bars[key].row or 0


def _is_complete(bar: Reading) -> bool:
    return bar.total is not None and bar.value is not None and bar.value >= bar.total
