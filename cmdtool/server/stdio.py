"""Serves one client over standard input and output, and sees to it that nothing outlives the connection."""

import logging
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio
from mcp.server import NotificationOptions

from cmdtool.process import Supervisor
from cmdtool.server.app import App
from cmdtool.server.ending import Ending
from cmdtool.server.log import StderrLog
from cmdtool.server.wire import standard_streams

logger = logging.getLogger(__name__)


async def serve_stdio(
    app: App,
    supervisor: Supervisor,
    log: StderrLog,
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until standard input ends, the client is gone or a signal comes; then end every command and the process.

    Never returns: it leaves by `os._exit`, for standard input is read in a thread that nothing can interrupt.
    `watch` runs beside it. The exit status is 0, 128 + signal, or 1 after a failure of the server itself.
    """
    server, ending, serving = app.server(), Ending(supervisor, log), anyio.CancelScope()

    def end() -> None:
        ending.begin()
        serving.cancel()

    async with (
        supervisor.guarding(),
        standard_streams(on_end=ending.begin) as (incoming, outgoing),
        anyio.create_task_group() as tasks,
    ):
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        tasks.start_soon(partial(ending.watch_signals, *numbers, on_first=end))
        with ending.leaving(), serving:
            if watch:
                tasks.start_soon(watch)
            changes = NotificationOptions(tools_changed=watch is not None)
            await server.run(incoming, outgoing, server.create_initialization_options(changes))
