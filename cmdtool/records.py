"""Byte chunks -> records: what a program printed on one line, or between two redraws of one.

Takes bytes in any chunking and gives the same records; keeps at most one line and one escape sequence. It never
decodes: a chunk may end inside a character, and patterns read bytes.
"""

import re
from typing import Final

MAX_RECORD: Final = 8 * 1024
"""Bytes of a line that are parsed; the rest of a longer line is dropped up to its end."""

_LONGEST_STRING: Final = 4096
_STRING: Final = rb"(?:\][^\x07\x1b\r\n]{0,%d}|[PX^_][^\x07\x1b]{0,%d})" % (_LONGEST_STRING, _LONGEST_STRING)
_CSI: Final = rb"\[[0-?]{0,64}[ -/]{0,8}"

_TOKEN: Final = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]+|[\r\n]|\x08+|\x1b")
_ESCAPE: Final = re.compile(
    # A string that another escape sequence interrupts ends there, as it does on a terminal.
    rb"\x1b(?:%b(?:\x07|\x1b\\|(?=\x1b[^\\]))|\[(?P<count>[0-?]{0,64})[ -/]{0,8}(?P<final>[@-~])?|[ -/]{0,8}[0-~])?"
    % _STRING,
    re.DOTALL,
)
_UNFINISHED: Final = re.compile(rb"\x1b(?:%b|%b\x1b?|[ -/]{0,8})\Z" % (_CSI, _STRING))
_DRAWN_AGAIN: Final = re.compile(rb"\r[^\r\n]")
_STYLE: Final = re.compile(rb"\x1b\[[0-9;:?]{0,64}[mKhl]")
"""Colours and modes: they change nothing about a record, and most output with escape sequences has no others."""

_MOVES: Final = b"ABEFGHJdf"
"""Final bytes of the sequences that leave the line: cursor movement, and erasing the screen."""

_UP: Final = b"AF"
_DOWN: Final = b"BE"
_TO_ROW: Final = b"Hdf"

_CR_AS_LF: Final = bytes.maketrans(b"\r", b"\n")
_DROPPED: Final = bytes({*range(0x20), 0x7F} - set(b"\t\n\r"))


class Placed(bytes):
    """A record of a program that draws: `row` is its line on the screen, counted from where the program began."""

    row: int

    @classmethod
    def at(cls, row: int, text: bytes) -> "Placed":
        """Return `text` on a row."""
        placed = cls(text)
        placed.row = row
        return placed


class RecordSplitter:
    """Splits one stream of a program into records; any chunking gives the same ones.

    A record ends at LF, CR, or a redraw: backspaces and cursor movement show what stands on the line so far if
    something was added since, then take back as much of it as they erase. Empty records are dropped. Escape sequences
    and control characters but TAB are removed. Once something was drawn again, records are `Placed` on their rows.

    Memory is bounded by `MAX_RECORD` and one escape sequence of about 4 KiB (a longer one is taken as text). Cost is
    linear; output without redraws takes a few passes in C, some hundred MB/s.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._width = 0  # of the line as printed, of which _line holds at most MAX_RECORD bytes
        self._is_new = False  # whether something was added to the line since it was last given out
        self._unfinished = b""  # an escape sequence whose end has not come
        self._is_after_cr = False
        self._row = 0
        self._draws = False  # whether something was drawn again
        self.has_moved_up = False
        """Whether the program has gone back to an earlier row: it draws several at once."""

    @property
    def pending(self) -> bytes:
        """The text that no end has followed yet; empty if a redraw gave it out already."""
        return self._placed(bytes(self._line)) if self._is_new else b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the records that end in `data`."""
        data = self._unfinished + data
        self._unfinished = b""
        if b"\x1b" in data or b"\x08" in data:
            plain = self._without_styles(data)
            if plain is None:
                return self._feed_redraws(data)
            data = plain
        if self._draws or self._draws_in(data):
            return self._feed_redraws(data)
        if data:
            self._is_after_cr = False
        first, *rest = data.translate(_CR_AS_LF, _DROPPED).split(b"\n")
        self._add(first)
        records = []
        if rest:
            records = self._end_line()
            *lines, last = rest
            records += [line[:MAX_RECORD] for line in lines if line]
            self._add(last)
            self._row += data.count(b"\n")
            self._is_after_cr = data.endswith(b"\r")
        return records

    def finish(self) -> list[bytes]:
        """Return the record that the end of the stream ends, if there is one."""
        self._unfinished = b""
        return self._end_line()

    def _draws_in(self, data: bytes) -> bool:
        """Whether a line is begun again in `data`: after a CR that is not that of a CR LF."""
        if self._is_after_cr and data and data[:1] not in b"\r\n":
            return True
        return b"\r" in data and _DRAWN_AGAIN.search(data) is not None

    def _without_styles(self, data: bytes) -> bytes | None:
        """Return `data` without escape sequences and keep an unfinished one, or None if some of them are no styles."""
        last = data.rfind(b"\x1b")
        end = last if last >= 0 and _UNFINISHED.match(data, last) else len(data)
        plain, count = _STYLE.subn(b"", data[:end])
        if b"\x08" in data or count != data.count(b"\x1b", 0, end):
            return None
        self._unfinished = data[end:]
        return plain

    def _feed_redraws(self, data: bytes) -> list[bytes]:
        records: list[bytes] = []
        position = 0
        while match := _TOKEN.search(data, position):
            token, position = match[0], match.end()
            if token == b"\x1b":
                if _UNFINISHED.match(data, match.start()):
                    self._unfinished = data[match.start() :]
                    break
                escape = _ESCAPE.match(data, match.start())
                assert escape is not None
                position = escape.end()
                records += self._escape(escape["final"] or b"", escape["count"] or b"")
            elif token[0] == 0x08:
                records += self._take_back(len(token))
            elif token in b"\r\n":
                records += self._end_line()
                self._is_after_cr = token == b"\r"
                self._row += token == b"\n"
            else:
                self._add(token)
        return records

    def _escape(self, final: bytes, count: bytes) -> list[bytes]:
        if final == b"C":
            self._add(b" ")
        elif final == b"D":
            return self._take_back(int(count) if count.isdigit() else 1)
        elif final and final in _MOVES:
            self._draws = True
            records = self._end_line()
            self._move(final, count)
            return records
        return []

    def _move(self, final: bytes, count: bytes) -> None:
        """Follow the cursor to another row."""
        number = count.partition(b";")[0]
        rows = max(int(number), 1) if number.isdigit() and len(number) < 6 else 1
        before = self._row
        if final in _UP:
            self._row -= rows
        elif final in _DOWN:
            self._row += rows
        elif final in _TO_ROW:
            self._row = rows - 1
        self.has_moved_up |= self._row < before

    def _add(self, text: bytes) -> None:
        if text:
            self._draws |= self._is_after_cr
            self._is_after_cr = False
            self._line += text[: max(MAX_RECORD - self._width, 0)]
            self._width += len(text)
            self._is_new = True

    def _show(self) -> list[bytes]:
        records = [self._placed(bytes(self._line))] if self._is_new and self._line else []
        self._is_new = False
        return records

    def _placed(self, text: bytes) -> bytes:
        return Placed.at(self._row, text) if self._draws else text

    def _end_line(self) -> list[bytes]:
        records = self._show()
        self._line.clear()
        self._width = 0
        return records

    def _take_back(self, count: int) -> list[bytes]:
        self._draws = True
        records = self._show()
        unkept = self._width - len(self._line)
        for _ in range(min(count - unkept, len(self._line))):
            while self._line and self._line[-1] & 0xC0 == 0x80:  # the tail of a UTF-8 character
                self._line.pop()
            del self._line[-1:]
        self._width = len(self._line) if count > unkept else self._width - count
        return records
