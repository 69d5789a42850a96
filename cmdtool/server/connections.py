"""Bounds what connections take of a server over HTTP before anybody has said who they are: each costs a descriptor."""

import asyncio
import resource
import socket
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS: Final = 600
"""Connections at once, more than requests that are served: one too many is closed."""

BACKLOG: Final = 64
"""Connections that wait to be taken."""

FIRST_REQUEST: Final = 10.0
"""Seconds that a new connection may take until its first request has come, but for the body."""

PER_CALL: Final = 10
"""Descriptors that a call may take: for its processes, their output, the files that keep it, and its connection."""

OWN: Final = 32
"""Descriptors that a server takes besides."""


class BoundedListener(socket.socket):
    """A socket that listens, of which at most `MOST_CONNECTIONS` are open, also those whose TLS handshake goes on.

    Where few descriptors are allowed, half of them stay for commands: a server without any cannot even see what runs.
    """

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(fileno=listener.detach())
        self._open: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection, as a socket does; one too many is closed, as if whoever it is from had given it up."""
        connection, address = super().accept()
        self._open = [each for each in self._open if each.fileno() >= 0]
        if len(self._open) >= _most():
            connection.close()
            raise ConnectionAbortedError
        self._open.append(connection)
        return connection, address


class TalkingConnection(H11Protocol):
    """uvicorn's protocol, but closed if it never asks for anything."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._asked: asyncio.TimerHandle = self.loop.call_later(FIRST_REQUEST, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._asked.cancel()

    def _close_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.close()


def _most() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, soft // 2)


def descriptors_for(calls: int, *, over_http: bool) -> int:
    """Return how many descriptors a server needs to run so many calls at once, whatever connections take of them."""
    needed = OWN + PER_CALL * calls
    return needed + min(needed, MOST_CONNECTIONS) if over_http else needed
