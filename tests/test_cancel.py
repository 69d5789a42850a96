"""Each way the protocol has to cancel, and those that are none: the command is dead, or it lives on. Measured."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import psutil
import pytest

from cmdtool.host import LocalHost
from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, load
from cmdtool.process import Supervisor
from cmdtool.server import http as http_module
from cmdtool.server.app import App
from cmdtool.server.catalogue import Catalogue
from cmdtool.server.drain import Drain
from cmdtool.server.metrics import Metrics
from cmdtool.server.site import HttpOptions, open_site
from cmdtool.server.slots import Slots
from tests.http_serving import ACCEPT, HttpServer, headers_for, http_server, legacy_request, request
from tests.serving import ERAS, Era, spool_of_tests
from tests.waiting import until

pytestmark = pytest.mark.anyio

MANIFEST = r"""
tools:
  wait: {shell: 'sleep 300 & echo $$ $! > pid; until [ -e go ]; do sleep 0.02; done; touch went', progress: none}
  talk: {shell: 'sleep 300 & echo $$ $! > pid; while :; do i=$((i+1)); echo "$i of 100000"; sleep 0.02; done'}
"""


async def tree_of(folder: Path) -> list[psutil.Process]:
    """Wait until the tool runs; return its process and the one that it leaves in the background."""
    file = folder / "pid"
    await until(lambda: file.exists() and file.read_text().endswith("\n"), 20)
    command, background = map(psutil.Process, map(int, file.read_text().split()))
    return [command, background]


async def assert_dead(processes: list[psutil.Process]) -> None:
    await until(lambda: not any(process.is_running() for process in processes), 5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    with http_server(tmp_path, MANIFEST) as server:
        yield server


# --- standard input and output ---------------------------------------------------------------------------------------


class Stdio:
    """A server over standard input and output, in raw JSON-RPC; `received` are the messages it sends."""

    def __init__(self, folder: Path, era: Era) -> None:
        (folder / "tools.yaml").write_text(MANIFEST)
        self._era = era
        self.log = folder / "log"
        self.received: Queue[dict[str, Any]] = Queue()
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "cmdtool", "serve"]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=log, text=True)
        self._reader = Thread(target=self._read)
        self._reader.start()
        if era == "legacy":
            self.send(initialize())
            assert self.receive()["id"] == 0
            self.send(notification("notifications/initialized"))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.received.put(json.loads(line))

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        return self.received.get(timeout=20)

    def ask(self, number: int, method: str, params: dict[str, Any] | None = None) -> None:
        modern = {**request(method, params), "id": number}
        self.send(modern if self._era == "auto" else legacy_request(number, method, params))

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self._reader.join(20)
        self.process.stdout.close()


@pytest.fixture
def stdio(tmp_path: Path, era: Era) -> Iterator[Stdio]:
    started = Stdio(tmp_path, era)
    yield started
    started.end()


def initialize() -> dict[str, Any]:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def notification(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params or {}}


@pytest.mark.parametrize("era", ERAS)
async def test_stdio_a_cancel_ends_the_command_and_is_not_answered(stdio: Stdio, tmp_path: Path) -> None:
    stdio.ask(7, "tools/call", {"name": "wait"})
    tree = await tree_of(tmp_path)
    stdio.send(notification("notifications/cancelled", {"requestId": 7, "reason": "no\x1b[31m more\n\u202etime"}))
    await assert_dead(tree)
    stdio.ask(8, "tools/list")
    assert (await anyio.to_thread.run_sync(stdio.receive))["id"] == 8
    assert stdio.received.empty()
    log = stdio.log.read_text
    await until(lambda: "a client cancels request 7: no more <U+202E>time\n" in log())
    await until(lambda: "wait: cancelled" in log())


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "params",
    [{"requestId": 99}, {"requestId": "x"}, {"requestId": [7]}, {"reason": "x"}, {}, {"requestId": 7.5}],
    ids=str,
)
async def test_stdio_a_cancel_of_nothing_is_passed_over(stdio: Stdio, tmp_path: Path, params: dict[str, Any]) -> None:
    stdio.ask(7, "tools/call", {"name": "wait"})
    await tree_of(tmp_path)
    stdio.send(notification("notifications/cancelled", params))
    stdio.ask(8, "tools/list")
    assert (await anyio.to_thread.run_sync(stdio.receive))["id"] == 8
    (tmp_path / "go").touch()
    answer = await anyio.to_thread.run_sync(stdio.receive)
    assert answer["id"] == 7
    assert not answer["result"]["isError"]


# --- HTTP, 2026-07-28 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["wait", "talk"], ids=["before it has begun", "after some progress"])
async def test_modern_http_hanging_up_ends_the_command(server: HttpServer, tmp_path: Path, tool: str) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, server, tool)
        tree = await tree_of(tmp_path)
        tasks.cancel_scope.cancel()
    await assert_dead(tree)
    await until(lambda: f"{tool}: cancelled" in server.log)
    assert (await server.post("tools/list")).status_code == 200


async def _listen(server: HttpServer, tool: str) -> None:
    """Call a tool and read the stream until somebody ends this task: then the connection is closed."""
    params = {"name": tool, "arguments": {}}
    headers = headers_for("tools/call", params)
    async with httpx2.AsyncClient(timeout=60) as http:
        async with http.stream("POST", server.url, json=request("tools/call", params), headers=headers) as answer:
            async for _ in answer.aiter_lines():
                pass


async def test_modern_http_a_cancel_by_notification_is_taken_and_does_nothing(
    server: HttpServer, tmp_path: Path
) -> None:
    """Anybody could name the request of somebody else."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, server, "wait")
        tree = await tree_of(tmp_path)
        async with httpx2.AsyncClient() as http:
            message = notification("notifications/cancelled", {"requestId": 1})
            answer = await http.post(server.url, json=message, headers=headers_for("notifications/cancelled"))
        assert answer.status_code == 202
        (tmp_path / "go").touch()
        await until((tmp_path / "went").exists)
    await assert_dead(tree)


@pytest.mark.parametrize("era", ERAS)
async def test_http_a_client_that_cancels_a_call_ends_the_command(server: HttpServer, tmp_path: Path, era: Era) -> None:
    async with server.client(era) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "talk", {})
            tree = await tree_of(tmp_path)
            tasks.cancel_scope.cancel()
        await assert_dead(tree)
        assert (await client.list_tools()).tools


# --- HTTP, sessions of older revisions -------------------------------------------------------------------------------


class Session:
    """A session of the 2025-11-25 revision, in raw requests."""

    def __init__(self, server: HttpServer, http: httpx2.AsyncClient) -> None:
        self.server = server
        self.http = http

    async def post(self, message: dict[str, Any]) -> httpx2.Response:
        return await self.http.post(self.server.url, json=message)

    async def call(self, tool: str, number: int = 7) -> str:
        """Call a tool and return the whole stream."""
        return (await self.post(legacy_request(number, "tools/call", {"name": tool}))).text


@asynccontextmanager
async def session(server: HttpServer) -> AsyncIterator[Session]:
    async with httpx2.AsyncClient(headers={**ACCEPT, "MCP-Protocol-Version": "2025-11-25"}, timeout=60) as http:
        opened = await http.post(server.url, json=initialize())
        http.headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
        assert (await http.post(server.url, json=notification("notifications/initialized"))).status_code == 202
        yield Session(server, http)


async def test_a_session_cancels_by_notification(server: HttpServer, tmp_path: Path) -> None:
    ended: list[str] = []

    async def call(client: Session) -> None:
        ended.append(await client.call("wait"))

    async with session(server) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(call, client)
        tree = await tree_of(tmp_path)
        message = notification("notifications/cancelled", {"requestId": 7, "reason": "enough"})
        assert (await client.post(message)).status_code == 202
        await assert_dead(tree)
        await until(lambda: bool(ended))
    assert '"result"' not in ended[0]
    await until(lambda: "a client cancels request 7: enough" in server.log)


async def test_a_dropped_connection_of_a_session_is_no_cancel(server: HttpServer, tmp_path: Path) -> None:
    async with session(server) as client:
        await _call_and_hang_up(client, tmp_path)
        assert len((await client.post(legacy_request(8, "tools/list"))).text) > 0
        (tmp_path / "go").touch()
        await until((tmp_path / "went").exists)
        await until(lambda: "s, done" in server.log)
    assert "wait: cancelled" not in server.log


async def test_a_call_whose_connection_was_dropped_can_still_be_cancelled(server: HttpServer, tmp_path: Path) -> None:
    async with session(server) as client:
        tree = await _call_and_hang_up(client, tmp_path)
        await client.post(notification("notifications/cancelled", {"requestId": 7}))
        await assert_dead(tree)


async def test_a_session_that_is_deleted_ends_its_commands(server: HttpServer, tmp_path: Path) -> None:
    async with session(server) as client:
        tree = await _call_and_hang_up(client, tmp_path)
        assert (await client.http.delete(server.url)).status_code == 200
        await assert_dead(tree)
        assert (await client.post(legacy_request(8, "tools/list"))).status_code == 404


async def _call_and_hang_up(client: Session, folder: Path) -> list[psutil.Process]:
    """Return the processes of a call, all of them alive after its connection was closed."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call, "wait")
        tree = await tree_of(folder)
        tasks.cancel_scope.cancel()
    server = psutil.Process(client.server.process.pid)
    await until(lambda: all(each.status == psutil.CONN_LISTEN for each in server.net_connections("tcp")), 20)
    assert all(process.is_running() for process in tree)
    return tree


async def test_a_session_that_nobody_uses_ends_with_its_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, to make half an hour shorter; the connection is none, for that would hold the session."""
    monkeypatch.setattr(http_module, "SESSION_IDLE", 1.0)
    manifest = load([Source("tools.yaml", str(tmp_path), MANIFEST)], builtin_parsers())
    site = open_site(HttpOptions("0"))
    app = http_module.make_app(
        App(Catalogue(manifest), LocalHost(), Supervisor(), spool_of_tests()).server(),
        site,
        Drain(),
        Metrics(Slots(1)),
    )
    headers = {**ACCEPT, "MCP-Protocol-Version": "2025-11-25", "Host": "localhost"}
    with site.listener:
        async with app.router.lifespan_context(app):
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), headers=headers) as http:
                opened = await http.post("http://localhost/mcp", json=initialize())
                http.headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
                await http.post("http://localhost/mcp", json=notification("notifications/initialized"))
                async with anyio.create_task_group() as tasks:
                    message = legacy_request(7, "tools/call", {"name": "wait"})
                    tasks.start_soon(partial(http.post, "http://localhost/mcp", json=message))
                    tree = await tree_of(tmp_path)
                    tasks.cancel_scope.cancel()
                await assert_dead(tree)
                gone = await http.post("http://localhost/mcp", json=legacy_request(8, "tools/list"))
                assert gone.status_code == 404
