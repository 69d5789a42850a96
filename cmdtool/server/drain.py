"""What is under way over HTTP, so that a server can end without cutting it off."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import anyio
from mcp import types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_METHOD_HEADER
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_REQUESTS: Final = 500
"""Requests served at once, open streams among them; a server that takes more runs out of descriptors."""

CALL: Final = "tools/call"
ENDING: Final = "the server is ending and takes no more calls"
CUT_OFF: Final = "the server has ended before this was done; a command that it had started was ended too"


class Drain:
    """Counts calls and requests; once `begin` was called, it refuses new calls and the others can be waited for."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.calls = Tally()
        """The calls of tools that wait or run, whether or not their connection still stands."""
        self.requests = Tally()
        """The requests being answered, streams that never end among them."""

    def begin(self) -> None:
        """Refuse new calls from now on."""
        self.begun.set()

    async def watch_calls(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """The SDK's middleware that counts the calls."""
        if ctx.method != CALL:
            return await call_next(ctx)
        if self.begun.is_set():
            raise MCPError(code=types.INTERNAL_ERROR, message=ENDING)
        with self.calls.one():
            return await call_next(ctx)


class Guarded:
    """An ASGI application whose requests are counted, bounded, and ended in an orderly way by `Tally.cancel`.

    While the server ends, a new call is told so in the way that load balancers understand, too. All else is still
    answered: a client with a call under way may want to cancel it, or list the tools to check its result.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._drain.begun.is_set() and Headers(scope=scope).get(MCP_METHOD_HEADER) == CALL:
            return await _unavailable(ENDING)(scope, receive, send)
        if self._drain.requests.count >= MOST_REQUESTS:
            return await _unavailable("too many requests at once")(scope, receive, send)
        last: Message = {}

        async def watch(message: Message) -> None:
            nonlocal last
            last = message
            await send(message)

        with self._drain.requests.one() as request:
            await self._app(scope, receive, watch)
        if request.cancelled_caught and not last:
            await PlainTextResponse(f"{CUT_OFF}\n", 503, {"Connection": "close"})(scope, receive, send)
        elif request.cancelled_caught and (last["type"] == "http.response.start" or last.get("more_body")):
            await send({"type": "http.response.body", "body": b""})


def _unavailable(why: str) -> PlainTextResponse:
    return PlainTextResponse(f"{why}\n", 503, {"Retry-After": "1", "Connection": "close"})


class Tally:
    """How many of something are under way; they can be waited for, and cancelled."""

    def __init__(self) -> None:
        self._under_way: set[anyio.CancelScope] = set()
        self._none = anyio.Event()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._under_way)

    @contextmanager
    def one(self) -> Iterator[anyio.CancelScope]:
        """The block is one more."""
        with anyio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                yield scope
            finally:
                self._under_way.discard(scope)
                if not self._under_way:
                    self._none.set()
                    self._none = anyio.Event()

    async def none(self) -> None:
        """Wait until there are none."""
        while self._under_way:
            await self._none.wait()

    def cancel(self) -> None:
        """Cancel all there are."""
        for scope in self._under_way:
            scope.cancel()
