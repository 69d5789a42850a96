"""The server's log on standard error, as text or as one JSON object a line.

A client may leave it unread: it then loses lines and holds up nothing. What is logged is cleaned, one line, not long,
and without secrets. It can be the words of a client or of a program, so it cannot be made to grow without bound either:
beyond `RATE` lines a second lines are left out.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from typing import Any, Final, Literal, TypeAlias

from cmdtool.masking import NO_SECRETS, Secrets
from cmdtool.text import clean, clean_line

LogFormat: TypeAlias = Literal["text", "json"]

RATE: Final = 100.0
"""Lines a second in the long run; `_MOST_WAITING` may come at once."""

_MOST_WAITING: Final = 1000
_LONGEST_LINE: Final = 1000
_MOST_FRAMES: Final = 20
_FLUSH: Final = 0.2


class StderrLog:
    """Takes over Python's logging; a thread of its own writes what is logged."""

    def __init__(self, form: LogFormat = "text") -> None:
        self._waiting: Queue[Any] = Queue(_MOST_WAITING)
        self._formatter = _JsonFormatter() if form == "json" else _CleanFormatter()
        handler = _DroppingHandler(self._waiting)
        handler.setFormatter(self._formatter)
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        for library in ("mcp", "uvicorn", "watchfiles", "opentelemetry", "urllib3"):
            logging.getLogger(library).setLevel(logging.WARNING)
        QueueListener(self._waiting, logging.StreamHandler(sys.stderr)).start()

    def conceal(self, secrets: Secrets) -> None:
        """Mask these in all lines from now on."""
        self._formatter.secrets = secrets

    def flush(self) -> None:
        """Wait until all is written, but not long."""
        deadline = time.monotonic() + _FLUSH
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)


class _CleanFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self.secrets = NO_SECRETS

    def format(self, record: logging.LogRecord) -> str:
        left_out = _left_out(record)
        note = f"\n({left_out} lines before this one were left out)" if left_out else ""
        return super().format(record) + note

    def formatMessage(self, record: logging.LogRecord) -> str:
        return self.shown(super().formatMessage(record))

    def shown(self, text: str) -> str:
        """Return a text as it may stand in the log."""
        return clean_line(self.secrets.mask(text), _LONGEST_LINE)

    def formatException(self, ei: Any) -> str:
        return self.secrets.mask("\n".join(map(clean, _trace(ei[1]))))


class _JsonFormatter(_CleanFormatter):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`, and what a call says in `facts`; each text is cleaned."""

    def format(self, record: logging.LogRecord) -> str:
        time_ = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": time_.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        shown = {name: self.shown(value) if isinstance(value, str) else value for name, value in entry.items()}
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        if left_out := _left_out(record):
            shown["lines_left_out"] = left_out
        return json.dumps(shown)  # in ASCII, whatever the encoding of standard error


def _left_out(record: logging.LogRecord) -> int:
    left_out: int = getattr(record, "left_out", 0)
    return left_out


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

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        self._room = min(self._room + RATE * (now - self._asked_at), _MOST_WAITING)
        self._asked_at = now
        if self._room < 1:
            self._left_out += 1
            return
        record.left_out = self._left_out
        super().emit(record)

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except Full:
            self._left_out += 1
        else:
            self._left_out = 0
            self._room -= 1
