"""The files that a command has made: found, measured, and pictures read. No pipe is waited for, no link followed."""

import glob
import mimetypes
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cmdtool.argv import FilePattern

MOST_FILES: Final = 100
"""The most files that one result names."""

PICTURE_LIMIT: Final = 1024 * 1024
"""The most bytes of a picture that is sent with the result; a larger one is only named."""

PICTURES_LIMIT: Final = 4 * PICTURE_LIMIT
"""The most bytes of all pictures of a result together."""

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", b"", "image/png"),
    (b"\xff\xd8\xff", b"", "image/jpeg"),
    (b"GIF87a", b"", "image/gif"),
    (b"GIF89a", b"", "image/gif"),
    (b"RIFF", b"WEBP", "image/webp"),
)
"""What a picture begins with, what stands from its eighth byte on, and its type."""


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A regular file at its real path. `picture` is what it holds if that is a small enough picture."""

    path: str
    size: int
    mime_type: str | None
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class NoFile:
    """What there is at a path that a file was expected at."""

    path: str
    reason: str


def find_made_files(patterns: Sequence[FilePattern]) -> list[MadeFile | NoFile]:
    """Return what there is at each pattern, in order of the patterns and then of names; one that fits nothing too.

    Reads the disk: not for the event loop.
    """
    found: dict[str, MadeFile | NoFile] = {}
    room = PICTURES_LIMIT
    for path, within in islice(_paths(patterns), MOST_FILES + 1):
        if len(found) == MOST_FILES:
            found[""] = NoFile(os.path.dirname(path), f"more than {MOST_FILES} files: the rest is not named")
            break
        if path not in found:
            found[path] = made = _look(path, within, min(room, PICTURE_LIMIT))
            room -= len(made.picture or b"") if isinstance(made, MadeFile) else 0
    return list(found.values())


def _paths(patterns: Sequence[FilePattern]) -> Iterator[tuple[str, Sequence[str]]]:
    for pattern in patterns:
        paths = sorted(glob.glob(pattern.pattern)) or [_plain(pattern.pattern)]
        yield from ((path, pattern.within) for path in paths)


def _look(path: str, within: Sequence[str], picture_limit: int) -> MadeFile | NoFile:
    try:
        # The real folder is opened, not the one that was named: a link in between is followed once, and then checked.
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if within and not any(_lies_in(real, os.path.realpath(folder)) for folder in within):
            return NoFile(path, "not within the folders that are allowed")
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        return NoFile(path, "no such file")
    except (OSError, ValueError) as exc:
        reason = "a symbolic link" if os.path.islink(path) else (getattr(exc, "strerror", None) or str(exc)).lower()
        return NoFile(path, reason)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return NoFile(path, "not a regular file")
        start = os.read(descriptor, 16)
        kind = _picture_type(start)
        if kind is None:
            return MadeFile(real, facts.st_size, mimetypes.guess_type(real)[0])
        picture = start + _read(descriptor, picture_limit - len(start)) if facts.st_size <= picture_limit else None
        return MadeFile(real, facts.st_size, kind, picture)
    finally:
        os.close(descriptor)


def _picture_type(start: bytes) -> str | None:
    kinds = (kind for head, eighth, kind in _SIGNATURES if start.startswith(head) and start[8:].startswith(eighth))
    return next(kinds, None)


def _read(descriptor: int, limit: int) -> bytes:
    """Return the rest of a file, `limit` bytes of it at most: it may still grow."""
    blocks = []
    while limit > 0 and (block := os.read(descriptor, limit)):
        blocks.append(block)
        limit -= len(block)
    return b"".join(blocks)


def _lies_in(path: str, folder: str) -> bool:
    return os.path.commonpath([folder, path]) == folder


def _plain(pattern: str) -> str:
    """Return a pattern that fits nothing as it was meant, without what `glob.escape` put in."""
    for char in "[*?":
        pattern = pattern.replace(f"[{char}]", char)
    return pattern
