"""The server's log on standard error. A client may leave that unread: the log then loses lines and holds up nothing.

What is logged is cleaned, one line, not long, and without secrets. It can be the words of a client or of a program, so
it cannot be made to grow without bound either: beyond `RATE` lines a second lines are left out.
"""

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from typing import Any, Final

from cmdtool.masking import NO_SECRETS, Secrets
from cmdtool.text import clean, clean_line

RATE: Final = 100.0
"""Lines a second in the long run; `_MOST_WAITING` may come at once."""

_MOST_WAITING: Final = 1000
_LONGEST_LINE: Final = 1000
_MOST_FRAMES: Final = 20
_FLUSH: Final = 0.2


class StderrLog:
    """Takes over Python's logging; a thread of its own writes what is logged."""

    def __init__(self, secrets: Secrets = NO_SECRETS) -> None:
        self._waiting: Queue[Any] = Queue(_MOST_WAITING)
        handler = _DroppingHandler(self._waiting)
        handler.setFormatter(_CleanFormatter(secrets))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        logging.getLogger("mcp").setLevel(logging.WARNING)
        QueueListener(self._waiting, logging.StreamHandler(sys.stderr)).start()

    def flush(self) -> None:
        """Wait until all is written, but not long."""
        deadline = time.monotonic() + _FLUSH
        while not self._waiting.empty() and time.monotonic() < deadline:
            time.sleep(0.005)


class _CleanFormatter(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def formatMessage(self, record: logging.LogRecord) -> str:
        return clean_line(self._secrets.mask(super().formatMessage(record)), _LONGEST_LINE)

    def formatException(self, ei: Any) -> str:
        return self._secrets.mask("\n".join(map(clean, _trace(ei[1]))))


def _trace(error: BaseException) -> Iterator[str]:
    """Yield where an exception came from, and its kind. Its message only where that quotes no value of a call."""
    for frame in traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]:
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    says = f": {error}" if isinstance(error, OSError) else ""
    yield f"{type(error).__qualname__}{says}"
    for inner in getattr(error, "exceptions", ()):
        yield from _trace(inner)


class _DroppingHandler(QueueHandler):
    def __init__(self, queue: Queue[Any]) -> None:
        super().__init__(queue)
        self._room = float(_MOST_WAITING)
        self._asked_at = time.monotonic()
        self._left_out = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        self._room = min(self._room + RATE * (now - self._asked_at), _MOST_WAITING)
        self._asked_at = now
        if self._room < 1:
            self._left_out += 1
            return
        if self._left_out:
            record.msg = f"{record.msg}\n({self._left_out} lines before this one were left out)"
        try:
            self.queue.put_nowait(record)
        except Full:
            self._left_out += 1
        else:
            self._left_out = 0
            self._room -= 1
