"""Serves one client over standard input and output, and sees to it that nothing outlives the connection."""

import logging
import os
import signal
import threading
from typing import Any, Final, NoReturn

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import ReadStream
from mcp.shared.message import SessionMessage

from cmdtool.process import LAST_GRACE, Supervisor

logger = logging.getLogger(__name__)

PATIENCE: Final = LAST_GRACE + 0.7
"""Seconds from the end of the connection to the end of the process, even if the client reads no last answer."""

Message = SessionMessage | Exception


async def serve_stdio(server: Server[Any], supervisor: Supervisor) -> None:
    """Serve until standard input ends, the client is gone or a signal comes; then end every command and the process.

    Never returns: it leaves by `os._exit`, for the SDK reads standard input in a thread that nothing can interrupt.
    The exit status is 0, or 128 + signal.
    """
    async with stdio_server() as (incoming, outgoing), anyio.create_task_group() as tasks:
        relayed, messages = anyio.create_memory_object_stream[Message]()
        ending = _Ending(supervisor)
        tasks.start_soon(ending.watch_signals)
        tasks.start_soon(ending.watch_input, incoming, relayed)
        try:
            with ending.serving:
                await server.run(messages, outgoing, server.create_initialization_options())
        finally:
            ending.leave()


class _Ending:
    """The end of the server, however it comes: `LAST_GRACE` for the commands, then the process is gone."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.serving = anyio.CancelScope()
        self._supervisor = supervisor
        self._status = 0

    async def watch_signals(self) -> None:
        """The first signal ends the commands and the server; a second one kills at once."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if self._status:
                    self._kill()
                logger.info("ending on %s", number.name)
                self._status = 128 + number
                self._begin()
                self.serving.cancel()

    async def watch_input(self, incoming: ReadStream[Message], relayed: MemoryObjectSendStream[Message]) -> None:
        """Pass messages on; once no more can come, tell the commands to hurry before the SDK cancels their calls."""
        try:
            async for message in incoming:
                await relayed.send(message)
        finally:
            self._begin()
            relayed.close()

    def _begin(self) -> None:
        self._supervisor.hurry()
        # A thread, so that neither a blocked client nor a busy event loop can hold it up.
        deadline = threading.Timer(PATIENCE, self._kill)
        deadline.daemon = True
        deadline.start()

    def _kill(self) -> None:
        self._supervisor.kill_all()
        self.leave()

    def leave(self) -> NoReturn:
        """End the process; all commands have ended."""
        logging.shutdown()
        os._exit(self._status)
