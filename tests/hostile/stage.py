"""The server of one case and the SDK's client, with an end of the pipes that can stall, hang up or send garbage."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import Client
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage

from tests.hostile import proc
from tests.serving import Seen
from tests.waiting import until

TOOL = "hostile"


class Wire:
    """The client's end of the server's standard input and output."""

    def __init__(self, server: anyio.abc.Process) -> None:
        self._server = server
        self._flowing = anyio.Event()
        self._flowing.set()
        self.has_stopped = False
        self.sent: dict[str, dict[str, Any]] = {}
        """The newest message of each method that was sent."""

    @asynccontextmanager
    async def transport(self) -> AsyncIterator[TransportStreams]:
        to_client, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        to_server, from_client = anyio.create_memory_object_stream[SessionMessage](0)
        async with to_client, from_server, to_server, from_client, anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, to_client)
            tasks.start_soon(self._write, from_client)
            yield from_server, to_server
            tasks.cancel_scope.cancel()

    async def _read(self, to_client: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        assert self._server.stdout
        pending = b""
        async with to_client:
            try:
                while True:
                    await self._flowing.wait()
                    *lines, pending = (pending + await self._server.stdout.receive()).split(b"\n")
                    for line in lines:
                        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                        await to_client.send(SessionMessage(message))
            except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass

    async def _write(self, from_client: MemoryObjectReceiveStream[SessionMessage]) -> None:
        try:
            async for sent in from_client:
                message = sent.message.model_dump(mode="json", by_alias=True, exclude_unset=True)
                self.sent[message.get("method", "")] = message
                await self.send(json.dumps(message).encode())
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass

    async def send(self, line: bytes) -> None:
        """Send a line as it is."""
        assert self._server.stdin
        await self._server.stdin.send(line + b"\n")

    async def hang_up(self) -> None:
        assert self._server.stdin
        await self._server.stdin.aclose()

    def stop_reading(self) -> None:
        self.has_stopped = True
        self._flowing = anyio.Event()

    def go_on_reading(self) -> None:
        self._flowing.set()


@dataclass
class Timed(Seen):
    """Progress with the time at which it came."""

    times: list[float] = field(default_factory=list)

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        await super().__call__(progress, total, message)
        self.times.append(time.monotonic())

    def most_in_a_second(self) -> int:
        return max((sum(start <= at < start + 1 for at in self.times) for start in self.times), default=0)


@dataclass
class Stage:
    """What an act has to do with."""

    client: Client
    wire: Wire
    server: anyio.abc.Process
    folder: Path
    mark: str
    """Is in the environment of all that the command starts, and in the name of its folder."""
    seen: Timed = field(default_factory=Timed)
    calls: int = 0
    ended_at: float = 0
    """When the call was over, or its end began: what it started must die from then on."""

    async def call(self, arguments: dict[str, Any] | None = None) -> types.CallToolResult:
        self.calls += 1
        try:
            return await self.client.call_tool(TOOL, arguments or {}, progress_callback=self.seen)
        finally:
            self.ended_at = time.monotonic()

    async def ready(self) -> None:
        """Wait until the program has made the file `ready`."""
        await until(lambda: self.made("ready"), 30)

    def made(self, name: str) -> bool:
        return (self.folder / name).exists()

    def living(self) -> set[int]:
        """Return what the command started and is alive, also the one that wrote its pid into `ready`."""
        return proc.marked(self.mark) | {pid for pid in self._named() if proc.is_alive(pid)}

    def beat(self) -> int:
        """Return how often a program that runs from every list of processes has said that it is alive."""
        return (self.folder / "beat").stat().st_size if self.made("beat") else 0

    def _named(self) -> list[int]:
        text = (self.folder / "ready").read_text() if self.made("ready") else ""
        return [int(pid) for pid in text.split() if proc.program(int(pid)) == "steps"]  # one in a sandbox is another


@asynccontextmanager
async def serve(
    manifest: Path, prefix: Sequence[str], env: Mapping[str, str], log: Path
) -> AsyncIterator[anyio.abc.Process]:
    """Start a server and see to its end."""
    command = [*prefix, sys.executable, "-m", "cmdtool", "serve", str(manifest)]
    with log.open("wb") as errors:
        server = await anyio.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **env}
        )
    try:
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            if server.stdin:
                await server.stdin.aclose()
            with anyio.move_on_after(5):
                await server.wait()
            await server.aclose()


def compile_program(source: Path, folder: Path) -> Path:
    """Compile a program, once for a folder."""
    binary = folder / source.stem
    if not binary.exists():
        compiler = shutil.which("cc")
        assert compiler, "the suite needs a C compiler"
        subprocess.run([compiler, "-O1", "-Wall", "-Werror", "-o", binary, source], check=True)
    return binary
