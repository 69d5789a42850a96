"""A folder of runs, which several servers may share: one private folder a run, with `meta.json` and a file a stream.

A lock on its folder says that a run is going on. The kernel drops it with the server, however that ends, so a run that
is neither ended nor locked is one whose server died; what it printed is kept like that of any other.

Blocks are written at once, by `pwrite`: into the page cache, a few µs for 64 KiB, and not more than the file's limit
waits there for a disk. Where the kernel makes a writer wait for a slow disk, so does the command. Nothing is queued,
so memory does not grow, and nothing is lost when the server dies. The first error ends the keeping, not the run.
"""

import errno
import fcntl
import logging
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from cmdtool.model import STREAMS, Stream
from cmdtool.spool.layout import Layout

logger = logging.getLogger(__name__)

LAYOUT: Final = Layout(head=32 << 20, tail=32 << 20)
EXPIRY: Final = 24 * 3600.0
"""Seconds after its end that a run is kept."""

TOTAL: Final = 1 << 30
"""Bytes on disk beyond which the runs that ended first are removed."""

MOST: Final = 5000
"""Runs beyond which they are, too: to list the runs takes a look at each."""

_TIDY_EVERY: Final = 60.0
_TIDY_BYTES: Final = 64 << 20
_ABANDONED: Final = 3600.0
"""Seconds after which a folder without facts is no run that is just beginning."""

_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_META: Final = "meta.json"
_META_ROOM: Final = 4096
"""Bytes of `meta.json`, blanks at its end among them, so that the end of a run has room where its beginning had."""

_RESULT: Final = "result.json"
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class TaskTerms(BaseModel):
    """What was promised of a run that is a task; durations are in seconds."""

    model_config = ConfigDict(frozen=True)

    ttl: float
    """How long after its end it can be asked for."""
    poll_interval: float


class Record(BaseModel):
    """The facts of a run, as `meta.json` holds them: no argument values, no secrets. Times are Unix times."""

    model_config = ConfigDict(frozen=True)

    id: str
    tool: str
    caller: str | None
    served: str
    """What the server served; others do not see the run."""
    started: float
    ended: float | None = None
    ended_by: str | None = None
    """What ended it: `server` for one whose server ended, `cancel`, `error` for a bug, otherwise as in the result."""
    exit_status: int | None = None
    signal: str | None = None
    sizes: dict[Stream, int] = {}
    """How many bytes came from each stream that gave any, up to a `problem`; of many, head and tail are kept."""
    problem: str | None = None
    """Why what followed was not kept."""
    task: TaskTerms | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a stream: where they begin, and the size of the whole when they were read."""

    start: int
    data: bytes
    size: int
    gap: range
    """The offsets that are not kept."""


class RunOutput:
    """The output of one run while it is written; a context, whose end is that of the run.

    A run that prints nothing leaves nothing, unless it is a task: that has its folder from the beginning until `close`,
    which may come some time after the end of the run.
    """

    def __init__(self, spool: "Spool", record: Record) -> None:
        self._spool = spool
        self._record = record
        self._sizes: dict[Stream, int] = {}
        self._folder: int | None = None
        self._files: dict[Stream, int] = {}
        self._is_lost = False

    def __enter__(self) -> "RunOutput":
        return self

    def __exit__(self, *_: object) -> None:
        if self._record.ended is None:
            self.finish("cancel")

    @property
    def record(self) -> Record:
        """The facts as they are now."""
        return self._record.model_copy(update={"sizes": dict(self._sizes)})

    def feed(self, stream: Stream, block: bytes) -> None:
        """Take the next block of a stream."""
        if self._record.problem is not None:
            return
        try:
            if self._folder is None:
                self._folder = self._spool.open_folder(self)
            if stream not in self._files:
                self._files[stream] = os.open(stream, _NEW_FILE, 0o600, dir_fd=self._folder)
                self._sizes[stream] = 0
            self._write(stream, memoryview(block))
        except OSError as exc:
            self._note_problem(exc)

    def open(self) -> None:
        """Make the folder now, before anything is printed."""
        try:
            self._folder = self._spool.open_folder(self)
        except OSError as exc:
            self._note_problem(exc)

    def finish(self, ended_by: str, exit_status: int | None = None, signal: str | None = None) -> Record:
        """Write down how the run ended, and let go of its files."""
        facts = {"ended": self._spool.now(), "ended_by": ended_by, "exit_status": exit_status, "signal": signal}
        self._record = self._record.model_copy(update=facts)
        if self._folder is not None:
            try:
                _write_record(self._folder, self.record)
            except OSError as exc:
                self._lose(exc)
            if self._record.task is None:
                self.close()
        return self.record

    def close(self, result: bytes | None = None) -> bool:
        """Let go of the folder, and first put the result of a task there; return whether it holds what it should."""
        if self._folder is None:
            return False
        if result is not None:
            try:
                _write_file(self._folder, _RESULT, result)
            except OSError as exc:
                self._lose(exc)
        for fd in (*self._files.values(), self._folder):
            os.close(fd)
        self._folder = None
        self._spool.close_folder(self.record)
        return not self._is_lost

    def _lose(self, error: OSError) -> None:
        self._is_lost = True
        self._spool.complain(_reason(error))

    def _note_problem(self, error: OSError) -> None:
        self._record = self._record.model_copy(update={"problem": _reason(error)})
        self._spool.complain(_reason(error))

    def _write(self, stream: Stream, data: memoryview) -> None:
        while data:
            written = self._spool.layout.write(self._files[stream], self._sizes[stream], data)
            self._sizes[stream] += written
            data = data[written:]


class Spool:
    """The runs of one server in a folder that it may share.

    Args:
        folder: where the runs are; made when the first one prints something or is a task.
        served: what tells the runs of this server, and of those before it that served the same, from others.
        layout: how much of a stream is kept.
        total: bytes on disk of all runs together.
        most: runs that are kept.
        now: the Unix time.
    """

    def __init__(
        self,
        folder: Path,
        served: str,
        *,
        layout: Layout = LAYOUT,
        total: int = TOTAL,
        most: int = MOST,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._served = served
        self.layout = layout
        self._total = total
        self._most = most
        self.now = now
        self._running: dict[str, RunOutput] = {}
        self._has_complained = False
        self._tidying = threading.Lock()
        self._next_tidy = 0.0
        self._written = 0

    def begin(self, run_id: str, tool: str, caller: str | None, task: TaskTerms | None = None) -> RunOutput:
        """Return what takes the output of a run that has just begun, or of a task that is to become one."""
        started = round(self.now(), 6)
        return RunOutput(
            self, Record(id=run_id, tool=tool, caller=caller, served=self._served, started=started, task=task)
        )

    def find(self, run_id: str, caller: str | None) -> Record | None:
        """Return a run of this caller that can be read; None also for one of another server that goes on."""
        if not _RUN_ID.fullmatch(run_id):
            return None
        running = self._running.get(run_id)
        record = running.record if running else self._load(self.folder / run_id)
        return record if record and self._is_for(record, caller) else None

    def runs(self, caller: str | None) -> list[Record]:
        """Return the runs of this caller that can be read, newest first."""
        records = [running.record for running in list(self._running.values())]
        seen = {record.id for record in records}
        records += [record for path in self._run_folders() if path.name not in seen and (record := self._load(path))]
        mine = [record for record in records if self._is_for(record, caller)]
        return sorted(mine, key=lambda record: (-record.started, record.id))

    def read(self, record: Record, stream: Stream, start: int, end: int) -> Piece:
        """Return what is kept from `start` to `end`; of a part that reaches into the gap, only what precedes it.

        Where `start` itself is in the gap, the piece begins behind it.

        Raises:
            FileNotFoundError: it has been removed.
        """
        running = self._running.get(record.id)
        size = (running.record if running else record).sizes.get(stream, 0)
        gap = self.layout.gap(size)
        start = self.first_kept(min(start, size), size)
        end = min(end, size, gap.start if gap and start < gap.start else size)
        fd = os.open(self.folder / record.id / stream, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return Piece(start, self.layout.read(fd, start, end), size, gap)
        finally:
            os.close(fd)

    def result(self, record: Record) -> bytes | None:
        """Return what `RunOutput.close` has kept, None if that was nothing."""
        try:
            return (self.folder / record.id / _RESULT).read_bytes()
        except OSError:
            return None

    def first_kept(self, offset: int, size: int) -> int:
        """Return where, at or behind `offset`, a stream of `size` bytes can be read."""
        gap = self.layout.gap(size)
        return gap.stop if offset in gap else offset

    def tidy(self) -> None:
        """Remove what has expired, what is too much, and what is left of runs that never began. Runs that go on stay.

        Of what is too much, tasks go last: their results were promised.

        Any thread may call it; a folder that cannot be read is none of its business.
        """
        ended: list[tuple[bool, float, int, Path]] = []
        for path in self._run_folders():
            with suppress(OSError), _locked(path) as is_free:
                if not is_free:
                    continue
                record = self._read_record(path)
                if record is None:
                    if self.now() - path.stat().st_mtime > _ABANDONED:
                        shutil.rmtree(path, ignore_errors=True)
                elif self._has_expired(record):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    ended.append((record.task is not None, record.ended or 0.0, _bytes_on_disk(path), path))
        too_much = sum(size for _, _, size, _ in ended) - self._total
        too_many = len(ended) - self._most
        for _, _, size, path in sorted(ended):
            if too_much <= 0 and too_many <= 0:
                break
            shutil.rmtree(path, ignore_errors=True)
            too_much -= size
            too_many -= 1

    def tidy_soon(self) -> None:
        """Tidy in a thread of its own, at most once a minute, or when much was written since."""
        if time.monotonic() >= self._next_tidy or self._written >= _TIDY_BYTES:
            self._next_tidy, self._written = time.monotonic() + _TIDY_EVERY, 0
            threading.Thread(target=self._tidy_alone, name="spool", daemon=True).start()

    def _tidy_alone(self) -> None:
        with self._tidying:
            self.tidy()

    def open_folder(self, output: RunOutput) -> int:
        """Make the folder of a run that prints, and return its descriptor, which holds the lock."""
        _make_private(self.folder)
        record = output.record
        path = self.folder / record.id
        path.mkdir(0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _write_record(fd, record)
        except OSError:
            os.close(fd)
            shutil.rmtree(path, ignore_errors=True)
            raise
        self._running[record.id] = output
        return fd

    def close_folder(self, record: Record) -> None:
        """Count a run among those that have ended."""
        del self._running[record.id]
        self._written += sum(min(size, self.layout.head + self.layout.tail) for size in record.sizes.values())
        self.tidy_soon()

    def complain(self, problem: str) -> None:
        """Log what goes wrong with the folder, once."""
        if not self._has_complained:
            self._has_complained = True
            logger.warning("%s: the output of runs is not kept: %s (said once)", self.folder, problem)

    def _is_for(self, record: Record, caller: str | None) -> bool:
        return record.served == self._served and record.caller == caller and not self._has_expired(record)

    def _has_expired(self, record: Record) -> bool:
        kept = max(EXPIRY, record.task.ttl if record.task else 0)
        return record.ended is not None and self.now() - record.ended > kept

    def _run_folders(self) -> list[Path]:
        try:
            with os.scandir(self.folder) as entries:
                return [
                    Path(entry.path)
                    for entry in entries
                    if _RUN_ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                ]
        except OSError:
            return []

    def _load(self, path: Path) -> Record | None:
        """Return the record of a run that has ended, or whose server has."""
        try:
            with _locked(path) as is_free:
                return self._read_record(path) if is_free else None
        except OSError:
            return None

    def _read_record(self, path: Path) -> Record | None:
        """Return the record in a folder that nobody writes to."""
        try:
            record = Record.model_validate_json((path / _META).read_bytes())
            if record.ended is not None:
                return record
            sizes = {stream: self._size_left(path / stream) for stream in STREAMS if (path / stream).exists()}
            ended = path.stat().st_mtime
            return record.model_copy(update={"ended": ended, "ended_by": "server", "sizes": sizes})
        except (OSError, ValidationError):
            return None

    def _size_left(self, path: Path) -> int:
        """Return how much of a stream is certain when nobody wrote down its size: where the ring began is unknown."""
        size = path.stat().st_size
        return size if size < self.layout.head + self.layout.tail else self.layout.head


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Tell the block whether a run's folder was free; no run of that id begins while it lasts."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            is_free = True
        except BlockingIOError:
            is_free = False
        yield is_free
    finally:
        os.close(fd)


def _make_private(folder: Path) -> None:
    """Make the folder of all runs if need be; refuse one in which somebody else could put or replace things."""
    folder.mkdir(0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "others may write to the folder")


def _write_record(folder: int, record: Record) -> None:
    """Write the facts; on a disk that is full, in the place of the earlier ones, which had room for them."""
    data = record.model_dump_json(indent=2).encode().ljust(_META_ROOM)
    try:
        _write_file(folder, _META, data)
    except OSError:
        fd = os.open(_META, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.pwrite(fd, data, 0)
        finally:
            os.close(fd)


def _write_file(folder: int, name: str, data: bytes) -> None:
    """Write a file as one step: whoever reads it finds the old one or the new one."""
    new = f"{name}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(new, dir_fd=folder)
        raise


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _bytes_on_disk(path: Path) -> int:
    with os.scandir(path) as entries:
        return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in entries)
