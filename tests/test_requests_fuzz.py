"""Whatever a client writes, its next request is answered, and it reads nothing but valid JSON-RPC."""

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import types

from cmdtool.host import LocalHost
from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, load
from cmdtool.process import Supervisor
from cmdtool.server.app import App
from cmdtool.server.catalogue import Catalogue
from cmdtool.server.messages import Refusal, read_message
from cmdtool.server.wire import connect
from tests.serving import spool_of_tests

MANIFEST = """
tools:
  say: {command: [echo, "{text}"], progress: none}
  any:
    command: [echo, "{a}", "{b}", "{c}"]
    arguments: {a: {type: object}, b: {type: array, items: {type: number}}, c: {type: integer, default: 1}}
"""
PATIENCE = 20
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
ENVELOPE: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

texts = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["\ud800", "\udcff", "\0", "-x"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8)
arguments = st.fixed_dictionaries({}, optional=dict.fromkeys(["text", "a", "b", "c", "\ud800"], values))
params = values | st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["say", "any"]) | values,
        "arguments": arguments | values,
        "_meta": st.just(ENVELOPE)
        | st.fixed_dictionaries({"progressToken": values})
        | st.dictionaries(st.sampled_from(list(ENVELOPE)), values)
        | values,
        "cursor": values,
        "requestId": values,
        "protocolVersion": values,
    },
)
methods = st.sampled_from(
    ["tools/call", "tools/list", "ping", "server/discover", "notifications/cancelled", "notifications/progress"]
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | values,
        "id": values,
        "method": methods | values,
        "params": params,
        "result": values,
        "error": values,
    },
)
requests = st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "method": methods | texts, "params": params})


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid line with some of its bytes replaced."""
    line = bytearray(json.dumps({**draw(requests), "id": draw(st.integers())}).encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(line) - 1))
        line[start : start + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(line)


class Client:
    """Two ends of pipes to a server that speaks one era."""

    def __init__(self, to_server: BinaryIO, from_server: BinaryIO, *, is_modern: bool) -> None:
        self._to_server = to_server
        self._from_server = from_server
        self._is_modern = is_modern
        self._numbers = itertools.count()
        self._pending = b""
        self.answers: dict[str, list[dict[str, Any]]] = {}
        if not is_modern:
            self.ask("initialize", INITIALIZE)
            self.write(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode())

    def write(self, line: bytes) -> None:
        self._to_server.write(line + b"\n")
        self._to_server.flush()

    def fresh_id(self) -> str:
        return f"mine-{next(self._numbers)}"

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a valid request and return its answer."""
        request_id = self.fresh_id()
        if self._is_modern:
            params = {**params, "_meta": ENVELOPE}
        self.write(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode())
        return self.answer(request_id)

    def answer(self, request_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while request_id not in self.answers:
            assert select.select([self._from_server], [], [], deadline - time.monotonic())[0], "no answer"
            block = os.read(self._from_server.fileno(), 65536)
            assert block, "the server is gone"
            *lines, self._pending = (self._pending + block).split(b"\n")
            for line in lines:
                self._hear(line)
        (answer,) = self.answers.pop(request_id)
        return answer

    def _hear(self, line: bytes) -> None:
        message = json.loads(line)
        assert not isinstance(read_message(line), Refusal) or message.get("id", 0) is None, line
        if "method" in message:
            assert message["method"] == "notifications/progress"
            return
        if "error" in message:
            assert message["error"]["code"] not in (0, types.INTERNAL_ERROR), message
            assert "Traceback" not in message["error"]["message"]
            assert "pydantic" not in line.decode()
        if str(message["id"]).startswith("mine-"):
            self.answers.setdefault(message["id"], []).append(message)

    def assert_is_served(self) -> None:
        assert [tool["name"] for tool in self.ask("tools/list", {})["result"]["tools"]] == ["say", "any"]


@contextlib.contextmanager
def served_in_process(*, is_modern: bool) -> Iterator[Client]:
    ours_in, server_out = os.pipe()
    server_in, ours_out = os.pipe()

    async def serve() -> None:
        manifest = load([Source("t.yaml", "/", MANIFEST)], builtin_parsers())
        server = App(Catalogue(manifest), LocalHost(), Supervisor(), spool_of_tests()).server()
        async with connect(server_in, server_out, on_end=lambda: None) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    with open(ours_out, "wb") as to_server, open(ours_in, "rb", buffering=0) as from_server:
        yield Client(to_server, from_server, is_modern=is_modern)
        to_server.close()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    os.close(server_in)
    os.close(server_out)


@contextlib.contextmanager
def served_by_a_process(folder: Path, *, is_modern: bool) -> Iterator[Client]:
    (folder / "tools.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "cmdtool", "serve"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        said: list[bytes] = []
        listener = threading.Thread(target=lambda: said.extend(server.stderr or []))
        listener.start()
        yield Client(server.stdin, server.stdout, is_modern=is_modern)  # type: ignore[arg-type]
        server.stdin.close()
        assert server.wait(PATIENCE) == 0
        listener.join(PATIENCE)
        assert b"Traceback" not in b"".join(said)


@pytest.fixture(scope="module", params=["legacy", "modern"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with served_in_process(is_modern=request.param == "modern") as client:
        yield client


@settings(max_examples=150)
@given(line=st.binary() | mutated())
def test_any_bytes(client: Client, line: bytes) -> None:
    client.write(line)
    client.assert_is_served()


@settings(max_examples=150)
@given(message=messages | values)
def test_any_json(client: Client, message: object) -> None:
    client.write(json.dumps(message).encode())
    client.assert_is_served()


@settings(max_examples=150)
@given(request=requests)
def test_any_request_is_answered(client: Client, request: dict[str, Any]) -> None:
    request_id = client.fresh_id()
    client.write(json.dumps({**request, "id": request_id}).encode())
    assert client.answer(request_id).keys() & {"result", "error"}
    client.assert_is_served()


@pytest.mark.parametrize("is_modern", [False, True])
def test_a_real_server(tmp_path: Path, is_modern: bool) -> None:
    with served_by_a_process(tmp_path, is_modern=is_modern) as client:

        @settings(max_examples=40, database=None)
        @given(st.binary() | mutated() | messages.map(lambda message: json.dumps(message).encode()))
        def fuzz(line: bytes) -> None:
            client.write(line)
            client.assert_is_served()

        fuzz()
