"""Which of the records that no rule reads look like progress, and why: for whoever writes a rule."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cmdtool.patterns import Pattern

MOST: Final = 10
"""Kinds of records that are worth showing."""

_MOST_KEPT: Final = 10_000
_LEAST_LITERAL: Final = 3
_NUMBER: Final = re.compile(rb"\d[\d.,:]*")
_PERCENT: Final = re.compile(rb"(?:^|[^\w%.-])\d{1,3}(?:\.\d+)? ?%")
_OF: Final = re.compile(
    rb"(?:^|[^\w/.-])\d[\d.,]*(?: ?[kKMGT]?i?B)? ?(?:/|of) ?\d[\d.,]*(?: ?[kKMGT]?i?B)?(?:[^\w/.-]|$)"
)


@dataclass(slots=True)
class Near:
    """A record that was not read, how many there are like it, and what speaks for reading it."""

    t: float
    record: bytes
    why: str = ""
    count: int = 1


class NearMisses:
    """Remembers the records of a run by their shape: records that differ in their numbers only are of one kind."""

    def __init__(self, patterns: Iterable[Pattern], *, is_late: bool = False) -> None:
        """Take the patterns of the rules, in order.

        Args:
            patterns: of the rules.
            is_late: whether a record may be read only once others like it have come, as `auto` does.
        """
        self._is_late = is_late
        self._literals = [(number, pattern.literal.strip()) for number, pattern in enumerate(patterns, 1)]
        self._read: dict[bytes, bytes] = {}
        self._unread: dict[bytes, Near] = {}

    def read(self, record: bytes) -> None:
        """Note a record that was read."""
        if len(self._read) < _MOST_KEPT:
            self._read.setdefault(_shape(record), record)

    def unread(self, t: float, record: bytes, why: str = "") -> None:
        """Note a record that was not read; `why` is what speaks for it, where that is known."""
        shape = _shape(record)
        if shape in self._unread:
            self._unread[shape].count += 1
        elif len(self._unread) < _MOST_KEPT:
            self._unread[shape] = Near(t, record, why)

    def found(self) -> list[Near]:
        """Return the records that look like progress, one of each kind, those first that look most like a match."""
        ranked = []
        for shape, near in self._unread.items():
            if found := self._why(shape, near):
                rank, near.why = found
                ranked.append((rank, near.t, near))
        return [near for _, _, near in sorted(ranked, key=lambda item: item[:2])][:MOST]

    def _why(self, shape: bytes, near: Near) -> tuple[int, str] | None:
        if near.why:
            return 0, near.why
        if shape in self._read and self._is_late:
            return None
        if shape in self._read:
            return 1, f"only its numbers differ from `{self._read[shape].decode(errors='replace').strip()}`"
        for number, literal in self._literals:
            if len(literal) >= _LEAST_LITERAL and literal in near.record:
                return 2, f"holds `{literal.decode(errors='replace')}`, as rule {number} wants it"
        if _PERCENT.search(near.record):
            return 3, "holds a percentage"
        return (4, "holds how many of how many") if _OF.search(near.record) else None


def _shape(record: bytes) -> bytes:
    return _NUMBER.sub(b"0", record).strip()
