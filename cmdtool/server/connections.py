"""Bounds what connections take of a server over HTTP before anybody has said who they are: each costs a descriptor."""

import asyncio
import resource
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS: Final = 600
"""Connections at once, more than requests that are served: whoever is one too many is told so."""

BACKLOG: Final = 64
"""Connections that wait to be taken, and that may be taken before they are counted."""

FIRST_REQUEST: Final = 10.0
"""Seconds that a new connection may take until its first request has come, but for the body."""


class BoundedConnection(H11Protocol):
    """uvicorn's protocol, but at most `MOST_CONNECTIONS` of them, and none that never asks for anything.

    Where few descriptors are allowed, half of them stay for commands: a server without any cannot even see what runs.
    """

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= _most():
            self.transport = transport  # `connection_lost` asks for it
            transport.abort()
            return
        super().connection_made(transport)
        self._asked: asyncio.TimerHandle = self.loop.call_later(FIRST_REQUEST, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if hasattr(self, "_asked"):
            self._asked.cancel()

    def _close_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.close()


def _most() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, soft // 2)
