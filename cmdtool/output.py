"""Keeps what a command prints within bounds: the head and the tail of each stream, and how much lies between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from cmdtool.text import clean


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stream cut to size: `left_out` bytes are missing between `head` and `tail`."""

    head: bytes
    left_out: int
    tail: bytes

    @property
    def text(self) -> str:
        """The excerpt as it may be shown: decoded, cleaned, and saying what is left out."""
        if not self.left_out:
            return clean((self.head + self.tail).decode("utf-8", "replace"))
        head = _whole_characters(self.head).decode("utf-8", "replace")
        tail = self.tail.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", "replace")
        return f"{clean(head)}\n[... {self.left_out:,} bytes left out ...]\n{clean(tail)}"

    def shortened(self, limit: int) -> "Excerpt":
        """Return the excerpt cut to `limit` bytes."""
        head, tail = self.head, self.tail
        if len(head) + len(tail) <= limit:
            return self
        if not tail:  # nothing was left out: all of the stream is in the head
            head, tail = head[: len(head) // 2], head[len(head) // 2 :]
        half = limit // 2
        head, tail = head[:half], tail[len(tail) - min(half, len(tail)) :]
        return Excerpt(head, self.left_out + len(self.head) + len(self.tail) - len(head) - len(tail), tail)


class Capture:
    """The first and the last `limit` bytes of a stream; holds less than four times that, however long it is."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take the next block."""
        self.size += len(data)
        room = self._limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._limit :]
        if len(self._tail) > 2 * self._limit:
            del self._tail[: -self._limit]

    def excerpt(self, limit: int) -> Excerpt:
        """Return the stream cut to `limit` bytes, half head, half tail."""
        if self.size <= limit:
            return Excerpt(bytes(self._head + self._tail), 0, b"")
        half = limit // 2
        kept = bytes(self._head + self._tail)
        return Excerpt(kept[:half], self.size - limit, kept[len(kept) - (limit - half) :])


def share_limit(captures: Sequence[Capture], limit: int) -> list[Excerpt]:
    """Cut several streams so that together they hold at most `limit` bytes; what one does not need, others get."""
    excerpts: dict[int, Excerpt] = {}
    smallest_first = sorted(range(len(captures)), key=lambda i: captures[i].size)
    for taken, index in enumerate(smallest_first):
        excerpts[index] = captures[index].excerpt(limit // (len(captures) - taken))
        limit -= len(excerpts[index].head) + len(excerpts[index].tail)
    return [excerpts[index] for index in range(len(captures))]


def _whole_characters(data: bytes) -> bytes:
    """Return `data` without the first bytes of a UTF-8 character that was cut at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if back < width else data
        if byte < 0x80:
            break
    return data
