"""Serves one client over standard input and output, and sees to it that nothing outlives the connection."""

import logging
import os
import signal
import threading
from collections.abc import AsyncIterable
from typing import Any, Final, NoReturn

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage

from cmdtool.process import LAST_GRACE, Supervisor
from cmdtool.server.log import StderrLog

logger = logging.getLogger(__name__)

PATIENCE: Final = LAST_GRACE + 0.5
"""Seconds from the end of the connection to the end of the process, even if the client reads no last answer."""

Message = SessionMessage | Exception


async def serve_stdio(server: Server[Any], supervisor: Supervisor, log: StderrLog) -> None:
    """Serve until standard input ends, the client is gone or a signal comes; then end every command and the process.

    Never returns: it leaves by `os._exit`, for the SDK reads standard input in a thread that nothing can interrupt.
    The exit status is 0, 128 + signal, or 1 after a failure of the server itself.
    """
    async with supervisor.guarding(), stdio_server() as (incoming, outgoing), anyio.create_task_group() as tasks:
        relayed, messages = anyio.create_memory_object_stream[Message]()
        ending = _Ending(supervisor, log)
        tasks.start_soon(ending.watch_signals)
        tasks.start_soon(ending.watch_input, incoming, relayed)
        try:
            with ending.serving:
                await server.run(messages, outgoing, server.create_initialization_options())
        except Exception:
            logger.exception("the server failed; please report this")
            ending.status = 1
        finally:
            ending.leave()


class _Ending:
    """The end of the server, however it comes: `LAST_GRACE` for the commands, then the process is gone."""

    def __init__(self, supervisor: Supervisor, log: StderrLog) -> None:
        self.serving = anyio.CancelScope()
        self.status = 0
        self._supervisor = supervisor
        self._log = log

    async def watch_signals(self) -> None:
        """The first signal ends the commands and the server; a second one kills at once."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if self.status:
                    self.leave()
                self.status = 128 + number
                self._begin()
                logger.info("ending on %s", number.name)
                self.serving.cancel()

    async def watch_input(self, incoming: AsyncIterable[Message], relayed: MemoryObjectSendStream[Message]) -> None:
        """Pass messages on; once no more can come, tell the commands to hurry before the SDK cancels their calls."""
        try:
            async for message in incoming:
                if isinstance(message, Exception):
                    logger.warning("a line that is no JSON-RPC message was passed over")
                await relayed.send(message)
        finally:
            self._begin()
            relayed.close()

    def _begin(self) -> None:
        self._supervisor.hurry()
        # A thread, so that neither a blocked client nor a busy event loop can hold it up.
        deadline = threading.Timer(PATIENCE, self.leave)
        deadline.daemon = True
        deadline.start()

    def leave(self) -> NoReturn:
        """Kill what is left and end the process, without waiting for anything but the log, and for that not long."""
        try:
            self._supervisor.kill_all()
            self._log.flush()
        finally:
            os._exit(self.status)
