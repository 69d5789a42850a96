"""The files that a command has made: found, measured, and small ones read. No pipe is waited for, no link followed."""

import glob
import mimetypes
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cmdtool.argv import FilePattern, lies_in

MOST_FILES: Final = 100
"""The most files that one result names."""

MEDIA_LIMIT: Final = 1024 * 1024
"""The most bytes of a picture or a recording that is sent with the result; a larger one is only named."""

ALL_MEDIA_LIMIT: Final = 4 * MEDIA_LIMIT
"""The most bytes of all of them in a result together."""

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image/png"),
    (b"\xff\xd8\xff", 0, b"", "image/jpeg"),
    (b"GIF87a", 0, b"", "image/gif"),
    (b"GIF89a", 0, b"", "image/gif"),
    (b"RIFF", 8, b"WEBP", "image/webp"),
    (b"RIFF", 8, b"WAVE", "audio/wav"),
    (b"ID3", 0, b"", "audio/mpeg"),
    (b"\xff\xfb", 0, b"", "audio/mpeg"),
    (b"OggS", 28, b"OpusHead", "audio/ogg"),
    (b"OggS", 28, b"\x01vorbis", "audio/ogg"),
)
"""What a picture or a recording begins with, what stands further on, and its type."""

_SIGNATURE_LENGTH: Final = 36


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A regular file at its real path, and what it holds, if that goes with the result.

    `media` is a picture or a recording, which has told its type itself.
    """

    path: str
    size: int
    mime_type: str | None
    media: bytes | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class NoFile:
    """What there is at a path that a file was expected at."""

    path: str
    reason: str


def find_made_files(
    patterns: Sequence[FilePattern], text_limit: int = -1, shows: Callable[[str], bool] = lambda _: True
) -> list[MadeFile | NoFile]:
    """Return what there is at each pattern, in order of the patterns and then of names; one that fits nothing too.

    Reads the disk: not for the event loop.

    Args:
        patterns: where to look.
        text_limit: the most bytes of text files, all together, that are read; none are if it is negative.
        shows: whether the command could see a real path. What it could not is not read for it, nor named.
    """
    found: dict[str, MadeFile | NoFile] = {}
    room = _Room(ALL_MEDIA_LIMIT, text_limit)
    for path, within in islice(_paths(patterns), MOST_FILES + 1):
        if len(found) == MOST_FILES:
            found[""] = NoFile(os.path.dirname(path), f"more than {MOST_FILES} files: the rest is not named")
            break
        if path not in found:
            file = _look(path, within, shows, room)
            found[path if isinstance(file, MadeFile) else file.path] = file
    return list(found.values())


@dataclass(slots=True)
class _Room:
    """How many bytes of files may still go with the result."""

    media: int
    text: int


def _paths(patterns: Sequence[FilePattern]) -> Iterator[tuple[str, Sequence[str]]]:
    for pattern in patterns:
        paths = sorted(glob.glob(pattern.pattern)) or [_plain(pattern.pattern)]
        yield from ((path, pattern.within) for path in paths)


def _look(path: str, within: Sequence[str], shows: Callable[[str], bool], room: _Room) -> MadeFile | NoFile:
    try:
        # The real folder is opened, not the one that was named: a link in between is followed once, and then checked.
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if within and not any(lies_in(real, os.path.realpath(folder)) for folder in within):
            return NoFile(path, "not within the folders that are allowed")
        if not shows(real):
            return NoFile(os.path.dirname(path), "hidden from the sandbox")
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        return NoFile(path, "no such file")
    except (OSError, ValueError) as exc:
        reason = "a symbolic link" if os.path.islink(path) else (getattr(exc, "strerror", None) or str(exc)).lower()
        return NoFile(path, reason)
    try:
        if not shows(os.path.realpath(f"/proc/self/fd/{descriptor}")):  # the way to it has changed meanwhile
            return NoFile(os.path.dirname(path), "hidden from the sandbox")
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return NoFile(path, "not a regular file")
        return _read(descriptor, real, facts.st_size, room)
    finally:
        os.close(descriptor)


def _read(descriptor: int, path: str, size: int, room: _Room) -> MadeFile:
    start = os.read(descriptor, _SIGNATURE_LENGTH)
    if kind := _media_type(start):
        limit = min(room.media, MEDIA_LIMIT)
        media = start + _rest(descriptor, limit - len(start)) if size <= limit else None
        room.media -= len(media or b"")
        return MadeFile(path, size, kind, media)
    kind = mimetypes.guess_type(path)[0]
    if size <= room.text:
        data = start + _rest(descriptor, room.text - len(start))
        with suppress(UnicodeDecodeError):
            text = data.decode()
            room.text -= len(data)
            return MadeFile(path, size, kind or "text/plain", text=text)
    return MadeFile(path, size, kind)


def _media_type(start: bytes) -> str | None:
    kinds = (kind for head, at, mark, kind in _SIGNATURES if start.startswith(head) and start[at:].startswith(mark))
    return next(kinds, None)


def _rest(descriptor: int, limit: int) -> bytes:
    """Return the rest of a file, `limit` bytes of it at most: it may still grow."""
    blocks = []
    while limit > 0 and (block := os.read(descriptor, limit)):
        blocks.append(block)
        limit -= len(block)
    return b"".join(blocks)


def _plain(pattern: str) -> str:
    """Return a pattern that fits nothing as it was meant, without what `glob.escape` put in."""
    for char in "[*?":
        pattern = pattern.replace(f"[{char}]", char)
    return pattern
