"""Finds lines in a block of output: in linear time, whatever is searched for."""

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from cmdtool.patterns import compile_search

BEFORE: Final = 80
"""Bytes of a long line that are shown before a match."""

SHOWN: Final = 320
"""Bytes of a line that are shown."""

Find: TypeAlias = Callable[[bytes, int], int]
"""Returns where the first match at or after a position begins, -1 if there is none."""

_LINE_END: Final = re.compile(rb"[\r\n]")


def literal(text: str) -> Find:
    """Return what finds `text` as it stands."""
    needle = text.encode(errors="replace")
    return lambda block, position: block.find(needle, position)


def pattern(text: str) -> Find:
    """Return what finds an RE2 pattern; `^` and `$` are the borders of a line.

    Raises:
        BadValue: RE2 cannot compile it.
    """
    regexp = compile_search(text)

    def find(block: bytes, position: int) -> int:
        match = regexp.search(block, position)
        return match.start() if match else -1

    return find


def matching_lines(block: bytes, find: Find) -> Iterator[tuple[int, bytes, int]]:
    """Iterate over the lines that match: where what is shown of each begins, that text, and where the line ends.

    Lines end in LF or CR, so that each state of a redrawn line is one. Of a long line the surroundings of the first
    match are shown.
    """
    position = 0
    while position < len(block) and (hit := find(block, position)) >= 0:
        begin = max(position, block.rfind(b"\n", position, hit) + 1, block.rfind(b"\r", position, hit) + 1)
        ended = _LINE_END.search(block, hit)
        end = ended.start() if ended else len(block)
        shown = max(begin, hit - BEFORE)
        yield shown, block[shown : min(end, shown + SHOWN)], end
        position = end + 1
