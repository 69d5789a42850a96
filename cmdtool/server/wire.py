"""One client's messages over standard input and output: the SDK's `stdio_server`, but nothing stays unanswered.

The SDK reads lines of any length and drops what it cannot parse without an answer. Here both are bounded: the bytes of
a line, and the requests that wait for their answers. A client that closes its end of standard output is gone, even
while there is nothing to tell it.
"""

import json
import logging
import os
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from anyio.to_thread import run_sync
from mcp import types
from mcp.shared.message import ServerMessageMetadata, SessionMessage

from cmdtool.server.messages import LineSplitter, Refusal, read_message

logger = logging.getLogger(__name__)

MAX_OPEN: Final = 1000
"""Requests that may wait for their answers at once; more are refused."""

MAX_OPEN_BYTES: Final = 16 << 20
"""Their bytes, together."""

BUSY: Final = -31000
"""Error code of a request that is refused because too many are open; one that neither JSON-RPC nor MCP reserves."""

LAST_ANSWERS: Final = 0.5
"""Seconds that requests have for their answers when standard input has ended."""

_BLOCK: Final = 1 << 16


@asynccontextmanager
async def standard_streams(
    on_end: Callable[[], None],
) -> AsyncIterator[tuple[MemoryObjectReceiveStream[SessionMessage], MemoryObjectSendStream[SessionMessage]]]:
    """Yield a stream of what the client sends, which ends when the client is gone, and one of what is sent to it.

    `on_end` is called once no more can come, before the stream ends; the last requests have a moment for their answers.
    Meanwhile file descriptor 0 is empty and 1 is standard error, so that nothing else gets at the protocol's bytes.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    async with connect(incoming, outgoing, on_end) as streams:
        yield streams


@asynccontextmanager
async def connect(
    input_fd: int, output_fd: int, on_end: Callable[[], None]
) -> AsyncIterator[tuple[MemoryObjectReceiveStream[SessionMessage], MemoryObjectSendStream[SessionMessage]]]:
    """Do so over two file descriptors, which are blocking afterwards."""
    os.set_blocking(input_fd, True)
    os.set_blocking(output_fd, True)
    to_server, received = anyio.create_memory_object_stream[SessionMessage]()
    sent, from_server = anyio.create_memory_object_stream[SessionMessage]()
    wire = _Wire(input_fd, output_fd, to_server, on_end)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wire.read)
        tasks.start_soon(wire.write, from_server)
        tasks.start_soon(wire.watch)
        yield received, sent
        tasks.cancel_scope.cancel()


class _Wire:
    def __init__(
        self,
        input_fd: int,
        output_fd: int,
        to_server: MemoryObjectSendStream[SessionMessage],
        on_end: Callable[[], None],
    ) -> None:
        self._input = input_fd
        self._output = output_fd
        self._to_server = to_server
        self._on_end = on_end
        self._reading = anyio.CancelScope()
        self._writing = anyio.Lock()
        self._open: dict[types.RequestId, int] = {}
        """The bytes of each request that waits for its answer."""

    async def read(self) -> None:
        """Pass messages on until standard input ends or the client is gone; answer what is none."""
        lines = LineSplitter()
        with self._to_server:
            with self._reading:
                while block := await run_sync(os.read, self._input, _BLOCK, abandon_on_cancel=True):
                    for line in lines.feed(block):
                        await self._take(line)
                await self._take(lines.end())
            self._on_end()
            with self._reading, anyio.move_on_after(LAST_ANSWERS):
                while self._open or self._writing.locked():  # noqa: ASYNC110 - two conditions, looked at for a moment
                    await anyio.sleep(0.01)

    async def write(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write what the server sends. It waits as long as the client does not read."""
        with messages:
            async for each in messages:
                if isinstance(each.message, types.JSONRPCResponse | types.JSONRPCError) and each.message.id is not None:
                    self._open.pop(each.message.id, None)
                await self._send(each.message)

    async def watch(self) -> None:
        """Notice that the client has closed its end, without a need to write. Without epoll, the next write does."""
        if not hasattr(select, "epoll"):
            return
        with select.epoll() as hang_up:
            try:
                hang_up.register(self._output, 0)  # errors and hang-ups are always reported
            except PermissionError:
                return  # a file: nobody reads along
            await anyio.wait_readable(hang_up.fileno())
        self._hang_up()

    async def _take(self, line: bytes | Refusal) -> None:
        if isinstance(line, bytes) and not line.strip():
            return
        found = line if isinstance(line, Refusal) else read_message(line)
        size = len(line) if isinstance(line, bytes) else 0
        if isinstance(found, types.JSONRPCRequest) and (refusal := self._refuse(found, size)):
            found = refusal
        if isinstance(found, Refusal):
            logger.warning("a line from the client was refused: %s", found.reason)
            if answer := found.answer():
                # No further line is read before the client has taken this: it cannot make answers pile up.
                await self._send(answer)
            return
        metadata = None
        if isinstance(found, types.JSONRPCRequest):
            request_id = found.id
            self._open[request_id] = size

            async def forget() -> None:
                self._open.pop(request_id, None)

            metadata = ServerMessageMetadata(on_request_unanswered=forget)
        await self._to_server.send(SessionMessage(found, metadata))

    def _refuse(self, request: types.JSONRPCRequest, size: int) -> Refusal | None:
        if request.id in self._open:
            return Refusal("a request with this id is still running", id=request.id)
        if len(self._open) >= MAX_OPEN or sum(self._open.values()) + size > MAX_OPEN_BYTES:
            return Refusal("too many requests are open; wait for answers first", BUSY, request.id)
        return None

    async def _send(self, message: types.JSONRPCMessage) -> None:
        data = _encode(message)
        async with self._writing:
            try:
                await run_sync(_write_all, self._output, data)
            except OSError:
                self._hang_up()

    def _hang_up(self) -> None:
        if not self._reading.cancel_called:
            logger.info("the client is gone")
            self._reading.cancel()


def _encode(message: types.JSONRPCMessage) -> bytes:
    try:
        text = message.model_dump_json(by_alias=True, exclude_unset=True)
    except ValueError:  # it repeats a lone surrogate of the client's, say in the name of a tool
        text = json.dumps(message.model_dump(by_alias=True, exclude_unset=True), ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
