"""Where the bytes of a stream stand in its file: the head first, behind it a ring that holds the tail.

A stream that fits stands in its file byte for byte.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """The sizes of head and ring, in bytes."""

    head: int
    tail: int

    def gap(self, size: int) -> range:
        """Return the offsets of a stream of `size` bytes that are not kept."""
        return range(self.head, max(self.head, size - self.tail))

    def write(self, fd: int, offset: int, data: memoryview) -> int:
        """Write the beginning of `data`, which stands at `offset` of the stream; return how many bytes of it."""
        return os.pwrite(fd, data[: self._room(offset)], self._position(offset))

    def read(self, fd: int, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`, all of which are kept."""
        parts: list[bytes] = []
        while start < end:
            part = os.pread(fd, min(end - start, self._room(start)), self._position(start))
            if not part:
                break
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def _position(self, offset: int) -> int:
        return offset if offset < self.head else self.head + (offset - self.head) % self.tail

    def _room(self, offset: int) -> int:
        """Return how many bytes from `offset` on stand side by side in the file."""
        return self.head - offset if offset < self.head else self.tail - (offset - self.head) % self.tail
