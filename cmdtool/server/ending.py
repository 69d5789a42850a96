"""The end of the server, however it comes: a moment for the commands, then the process is gone."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import anyio

from cmdtool.process import LAST_GRACE, Supervisor
from cmdtool.server.log import StderrLog
from cmdtool.server.spans import flush_spans

logger = logging.getLogger(__name__)

PATIENCE: Final = LAST_GRACE + 0.5
"""Seconds from `Ending.begin` to the end of the process, even if a client reads no last answer."""


class Ending:
    """Ends the commands and the process; `status` is what it exits with."""

    def __init__(self, supervisor: Supervisor, log: StderrLog) -> None:
        self.status = 0
        self._supervisor = supervisor
        self._log = log

    async def watch_signals(self, *numbers: signal.Signals, on_first: Callable[[], None]) -> None:
        """The first signal calls `on_first` and sets the status to 128 + signal; a second one kills at once."""
        with anyio.open_signal_receiver(*numbers) as signals:
            async for number in signals:
                if self.status:
                    self.leave()
                self.status = 128 + number
                logger.info("ending on %s", number.name)
                on_first()

    def begin(self) -> None:
        """Tell the commands to hurry; after `PATIENCE` seconds kill what is left and leave."""
        self._supervisor.hurry()
        # A thread, so that neither a blocked client nor a busy event loop can hold it up.
        deadline = threading.Timer(PATIENCE, self.leave)
        deadline.daemon = True
        deadline.start()

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Serve in the block: however it ends, the process ends with it, with status 1 if that was a failure."""
        try:
            yield
        except (Exception, SystemExit):
            logger.exception("the server failed; please report this")
            self.status = 1
        except anyio.get_cancelled_exc_class():  # by what has failed beside it; nothing else does that
            logger.error("the server failed; please report this")
            self.status = self.status or 1
        finally:
            self.leave()

    def leave(self) -> NoReturn:
        """Kill what is left and end the process; spans and log are waited for, but not long."""
        try:
            self._supervisor.kill_all()
            flush_spans()
            self._log.flush()
        finally:
            os._exit(self.status)
