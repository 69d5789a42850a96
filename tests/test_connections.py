"""Connections that ask for nothing, or are too many: of a real server, in this process and in one of its own."""

import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from cmdtool.server import connections
from cmdtool.server.connections import BACKLOG, BoundedListener, TalkingConnection
from tests.http_serving import HttpServer, http_server
from tests.test_http import write_certificate
from tests.waiting import until

pytestmark = pytest.mark.anyio

HELLO = "tools: {hello: {command: [echo, hello]}}"


@asynccontextmanager
async def web() -> AsyncIterator[int]:
    """Serve, and yield the port."""
    config = uvicorn.Config(
        PlainTextResponse("here"), http=TalkingConnection, lifespan="off", log_config=None, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    with BoundedListener(socket.create_server(("127.0.0.1", 0))) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(server.serve, sockets=[listener]))
            await until(lambda: server.started)
            yield listener.getsockname()[1]
            server.should_exit = server.force_exit = True


async def test_a_connection_that_asks_nothing_is_closed_and_one_that_did_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST", 0.3)
    async with (
        web() as port,
        await anyio.connect_tcp("127.0.0.1", port) as silent,
        await anyio.connect_tcp("127.0.0.1", port) as talking,
    ):
        with anyio.fail_after(5):
            for _ in range(2):
                await talking.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await talking.receive()).startswith(b"HTTP/1.1 200")
                with pytest.raises(anyio.EndOfStream):
                    await silent.receive()


async def test_one_connection_too_many_is_closed_until_another_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 1)
    async with web() as port:
        with anyio.fail_after(5):
            async with await anyio.connect_tcp("127.0.0.1", port) as first:
                await first.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await first.receive()).startswith(b"HTTP/1.1 200")
                async with await anyio.connect_tcp("127.0.0.1", port) as second:
                    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                        await second.receive()
            while True:
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):  # the first has not gone yet
                    async with await anyio.connect_tcp("127.0.0.1", port) as third:
                        await third.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        assert (await third.receive()).startswith(b"HTTP/1.1 200")
                        break


def let_have_few_descriptors(server: HttpServer) -> tuple[str, int]:
    """Return its address."""
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (4 * BACKLOG, 4 * BACKLOG))
    return "127.0.0.1", int(server.root.rpartition(":")[2])


async def test_a_server_outlives_more_connections_than_it_has_descriptors(tmp_path: Path) -> None:
    with http_server(tmp_path, HELLO) as server:
        place = let_have_few_descriptors(server)
        with ExitStack() as flood:
            for _ in range(5 * BACKLOG):
                one = flood.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(place)
            await anyio.sleep(3)  # longer than the server goes without a look at its orphans
            assert server.process.poll() is None, server.log
        with anyio.fail_after(20):
            async with server.client() as client:
                assert not (await client.call_tool("hello")).is_error


async def test_a_connection_counts_before_its_tls_handshake_is_done(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    with http_server(tmp_path, HELLO, "--tls-cert", "cert.pem", "--tls-key", "key.pem") as server:
        place = let_have_few_descriptors(server)
        with ExitStack() as flood:
            opened = [flood.enter_context(socket.create_connection(place, 20)) for _ in range(5 * BACKLOG)]
            for each in opened:
                each.setblocking(False)
            await until(lambda: sum(map(is_closed, opened)) == 3 * BACKLOG)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end was closed."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


TEN_CALLS = "{concurrency: 10, tools: {a: {command: ls, concurrency: 9}, b: {command: ls}}}"


@contextmanager
def allowing(descriptors: int) -> Iterator[None]:
    """Let processes that are started have so many of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("allowed", [263, 264])
def test_too_few_descriptors_for_the_calls_are_warned_of(tmp_path: Path, allowed: int) -> None:
    with allowing(allowed), http_server(tmp_path, TEN_CALLS) as server:
        said = "10 calls at once may need 264 descriptors, and 263 are allowed: see `ulimit -n`\n" in server.log
        assert said == (allowed == 263)


@pytest.mark.parametrize("allowed", [131, 132])
def test_connections_need_none_over_standard_input_and_output(tmp_path: Path, allowed: int) -> None:
    (tmp_path / "tools.yaml").write_text(TEN_CALLS)
    command = [sys.executable, "-m", "cmdtool", "serve"]
    with allowing(allowed):
        done = subprocess.run(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
        )
    assert ("10 calls at once may need 132 descriptors" in done.stderr) == (allowed == 131)
