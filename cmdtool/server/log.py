"""The server's log on standard error. A client may leave that unread: the log then loses lines and holds up nothing."""

import logging
import sys
import time
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from typing import Any, Final

_MOST_WAITING: Final = 1000
_FLUSH: Final = 0.2


class StderrLog:
    """Takes over Python's logging; a thread of its own writes what is logged."""

    def __init__(self) -> None:
        self._waiting: Queue[Any] = Queue(_MOST_WAITING)
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        dropping = _DroppingHandler(self._waiting)
        dropping.setFormatter(logging.Formatter())  # else `basicConfig` gives it one, and level and name come twice
        logging.basicConfig(level=logging.INFO, handlers=[dropping])
        for chatty in ("mcp", "uvicorn"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        QueueListener(self._waiting, handler).start()

    def flush(self) -> None:
        """Wait until all is written, but not long."""
        deadline = time.monotonic() + _FLUSH
        while not self._waiting.empty() and time.monotonic() < deadline:
            time.sleep(0.005)


class _DroppingHandler(QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(Full):
            self.queue.put_nowait(record)
