"""What the 2026-07-28 revision says of every server, in raw JSON-RPC over standard input and output and over HTTP.

`docs/protocol.md` says which rule is proven where; the last tests hold it to that.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Protocol

import anyio
import anyio.to_thread
import httpx2
import pytest

from cmdtool import __version__
from tests.http_serving import MODERN, HttpServer, headers_for, http_server

pytestmark = pytest.mark.anyio

MANIFEST = r"""
server: {name: media}
tools:
  zebra: {command: echo zebra}
  count: {shell: 'for i in 1 2 3; do echo "$i of 3"; sleep 0.15; done', progress: '(\d) of (\d)'}
  fail: {command: [sh, -c, exit 3]}
  route:
    arguments:
      region: {type: string, x-mcp-header: Region}
      level: {type: integer, x-mcp-header: Level, optional: true}
    command: 'echo {region} {level}'
  wipe: {command: echo wiped, confirm: Sure?}
"""

PREFIX = "io.modelcontextprotocol/"
META: dict[str, Any] = {
    f"{PREFIX}protocolVersion": MODERN,
    f"{PREFIX}clientInfo": {"name": "raw", "version": "1"},
    f"{PREFIX}clientCapabilities": {},
}

Message = dict[str, Any]


def request(method: str, params: Message | None = None, **meta: Any) -> Message:
    """Return a request; `meta` is put into its `_meta`, by names without prefix where the name is the protocol's."""
    named = {name if name == "progressToken" else f"{PREFIX}{name}": value for name, value in meta.items()}
    whole = {name: value for name, value in {**META, **named}.items() if value is not None}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": whole}}


class Peer(Protocol):
    async def ask(self, message: Message) -> list[Message]:
        """Send a request; return what comes for it, its response last."""


class StdioPeer:
    def __init__(self, folder: Path, manifest: str) -> None:
        (folder / "tools.yaml").write_text(manifest)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cmdtool", "serve"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.received: Queue[Message] = Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.received.put(json.loads(line))

    def send(self, message: Message | str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
        self.process.stdin.flush()

    async def receive(self) -> Message:
        return await anyio.to_thread.run_sync(lambda: self.received.get(timeout=30))

    async def ask(self, message: Message) -> list[Message]:
        self.send(message)
        messages = [await self.receive()]
        while "id" not in messages[-1]:
            messages.append(await self.receive())
        return messages

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        self._reader.join(20)


class HttpPeer:
    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.status = 0
        """That of the last answer."""

    async def ask(self, message: Message) -> list[Message]:
        params = message["params"]
        version = params.get("_meta", {}).get(f"{PREFIX}protocolVersion", MODERN)
        headers = headers_for(message["method"], params, {"MCP-Protocol-Version": version})
        if "uri" in params:
            headers["Mcp-Name"] = params["uri"]
        async with httpx2.AsyncClient(timeout=60) as http:
            answer = await http.post(self.server.url, json=message, headers=headers)
        self.status = answer.status_code
        if answer.headers["content-type"] == "application/json":
            return [answer.json()]
        return [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:")]


@pytest.fixture(scope="module")
def stdio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StdioPeer]:
    peer = StdioPeer(tmp_path_factory.mktemp("stdio"), MANIFEST)
    yield peer
    peer.end()


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpPeer]:
    with http_server(tmp_path_factory.mktemp("http"), MANIFEST) as server:
        yield HttpPeer(server)


@pytest.fixture(params=["stdio", "http"])
def peer(request: pytest.FixtureRequest) -> Peer:
    peer: Peer = request.getfixturevalue(request.param)
    return peer


async def result_of(peer: Peer, method: str, params: Message | None = None, **meta: Any) -> Message:
    answer = (await peer.ask(request(method, params, **meta)))[-1]
    assert "result" in answer, answer
    result: Message = answer["result"]
    return result


async def error_of(peer: Peer, message: Message) -> Message:
    answer = (await peer.ask(message))[-1]
    assert answer.get("id") == message["id"]
    error: Message = answer["error"]
    return error


# --- progress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["p", "", 0, 7, 2**53], ids=repr)
async def test_a_token_comes_back_as_it_was_and_nothing_follows_the_response(peer: Peer, token: str | int) -> None:
    *told, last = await peer.ask(request("tools/call", {"name": "count", "arguments": {}}, progressToken=token))
    assert last["result"]["isError"] is False
    assert {message["method"] for message in told} == {"notifications/progress"}
    tokens = [message["params"]["progressToken"] for message in told]
    assert [(type(echo), echo) for echo in tokens] == [(type(token), token)] * len(told)
    values = [message["params"]["progress"] for message in told]
    assert all(before < after for before, after in pairwise(values))
    assert [message["id"] for message in await peer.ask(request("tools/list"))] == [1]


@pytest.mark.parametrize("token", [True, None, 1.5, ["p"]], ids=repr)
async def test_without_a_token_that_is_one_there_is_no_progress(peer: Peer, token: object) -> None:
    messages = await peer.ask(request("tools/call", {"name": "count", "arguments": {}}, progressToken=token))
    assert len(messages) == 1
    assert messages[0].get("error", {"code": -32602})["code"] == -32602


# --- tools -----------------------------------------------------------------------------------------------------------


async def test_the_list_is_the_same_for_everybody_whatever_was_called(
    stdio: StdioPeer, http: HttpPeer, tmp_path: Path
) -> None:
    before = await result_of(http, "tools/list")
    await result_of(http, "tools/call", {"name": "zebra", "arguments": {}})
    other: Message = {"clientInfo": None, "clientCapabilities": {"elicitation": {}}}
    assert (await result_of(http, "tools/list", **other))["tools"] == before["tools"]
    assert (await result_of(stdio, "tools/list"))["tools"] == before["tools"]
    assert [tool["name"] for tool in before["tools"]] == ["zebra", "count", "fail", "route", "wipe"]
    assert not any("execution" in tool for tool in before["tools"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Mcp-Param-Region": "north"}, 200),
        ({"Mcp-Param-Region": "=?base64?bm9ydGg=?="}, 200),
        ({"mcp-param-region": "north", "Mcp-Param-Level": "3"}, 400),
        ({}, 400),
        ({"Mcp-Param-Region": "south"}, 400),
        ({"Mcp-Param-Region": "=?base64?bm9ydGg?="}, 400),
    ],
    ids=str,
)
async def test_a_header_says_what_the_argument_says_or_the_call_is_refused(
    http: HttpPeer, headers: dict[str, str], status: int
) -> None:
    answer = await http.server.post("tools/call", {"name": "route", "arguments": {"region": "north"}}, headers)
    assert answer.status_code == status
    assert ("north" in answer.text) == (status == 200)
    assert status == 200 or answer.json()["error"]["code"] == -32020


async def test_clients_put_arguments_into_headers(http: HttpPeer) -> None:
    """The SDK's client leaves out a tool whose headers are not as the specification wants them."""
    async with http.server.client() as client:
        assert "route" in [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("route", {"region": "n\u00f6rd lich", "level": 4})
    assert result.content[0].model_dump()["text"] == "n\u00f6rd lich 4"


# --- every request ---------------------------------------------------------------------------------------------------


async def test_a_client_can_discover_what_there_is(peer: Peer) -> None:
    result = await result_of(peer, "server/discover")
    assert MODERN in result["supportedVersions"]
    assert result["capabilities"]["tools"] == {"listChanged": True}
    assert "prompts" not in result["capabilities"]
    assert "logging" not in result["capabilities"]


@pytest.mark.parametrize("name", ["protocolVersion", "clientCapabilities"])
@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call"])
async def test_a_request_says_its_revision_and_what_the_client_can_do(peer: Peer, method: str, name: str) -> None:
    params = {"name": "zebra", "arguments": {}} if method == "tools/call" else {}
    whole = request(method, params)
    assert (await error_of(peer, request(method, params, **{name: None})))["code"] == -32602
    del whole["params"]["_meta"]
    assert (await error_of(peer, whole))["code"] == -32602
    assert not isinstance(peer, HttpPeer) or peer.status == 400


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"jsonrpc": "2.0", "id": true, "method": "ping"}',
        '{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {}, "params": {}}',
        '{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"a": NaN}}',
        '{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"a": ' + "[" * 100 + "]" * 100 + "}}",
    ],
)
async def test_what_is_no_request_is_answered_alike(stdio: StdioPeer, http: HttpPeer, text: str) -> None:
    stdio.send(text)
    expected = await stdio.receive()
    for version in (MODERN, "2025-11-25"):
        headers = headers_for("tools/list", {}, {"MCP-Protocol-Version": version, "Content-Type": "application/json"})
        async with httpx2.AsyncClient() as client:
            answer = await client.post(http.server.url, content=text, headers=headers)
        assert (answer.status_code, answer.json()) == (400, expected)


async def test_a_client_need_not_say_its_name(peer: Peer) -> None:
    assert await result_of(peer, "tools/list", clientInfo=None)


async def test_a_revision_that_is_not_there_is_told_those_that_are(peer: Peer) -> None:
    error = await error_of(peer, request("tools/list", protocolVersion="2099-01-01"))
    assert error["code"] == -32022
    assert MODERN in error["data"]["supported"]
    assert error["data"]["requested"] == "2099-01-01"
    assert not isinstance(peer, HttpPeer) or peer.status == 400


async def test_every_result_says_its_type_and_who_gave_it(peer: Peer) -> None:
    ran = await result_of(peer, "tools/call", {"name": "zebra", "arguments": {}})
    uri = ran["_meta"]["cmdtool/run"]["uri"]
    can_ask: Message = {"clientCapabilities": {"elicitation": {}}}
    results = [
        ran,
        await result_of(peer, "tools/call", {"name": "fail", "arguments": {}}),
        await result_of(peer, "tools/call", {"name": "wipe", "arguments": {}}, **can_ask),
        await result_of(peer, "server/discover"),
        await result_of(peer, "tools/list"),
        await result_of(peer, "resources/list"),
        await result_of(peer, "resources/templates/list"),
        await result_of(peer, "resources/read", {"uri": uri}),
    ]
    types = ["complete", "complete", "input_required", *["complete"] * 5]
    assert [result["resultType"] for result in results] == types
    servers = [result["_meta"][f"{PREFIX}serverInfo"] for result in results]
    assert {(server["name"], server["version"]) for server in servers} == {("media", __version__)}


async def test_what_may_be_kept_says_how_long_and_for_whom_on_every_page(peer: Peer) -> None:
    for method in ("server/discover", "tools/list", "resources/list", "resources/templates/list"):
        pages = [await result_of(peer, method)]
        while cursor := pages[-1].get("nextCursor"):
            pages.append(await result_of(peer, method, {"cursor": cursor}))
        assert all(isinstance(page["ttlMs"], int) and page["ttlMs"] >= 0 for page in pages), method
        assert len({page["cacheScope"] for page in pages} - {"public", "private"}) == 0, method
        assert len({page["cacheScope"] for page in pages}) == 1, method
    assert (await result_of(peer, "tools/list"))["ttlMs"] > 0


@pytest.mark.parametrize("method", ["ping", "logging/setLevel", "resources/subscribe", "prompts/list", "tasks/list"])
async def test_what_was_removed_or_never_was_is_not_found(peer: Peer, method: str) -> None:
    assert (await error_of(peer, request(method, {"level": "debug", "uri": "x:y"})))["code"] == -32601
    assert not isinstance(peer, HttpPeer) or peer.status == 404


async def test_there_is_no_stream_to_get_and_no_session(http: HttpPeer) -> None:
    async with httpx2.AsyncClient() as client:
        answer = await client.get(http.server.url, headers=headers_for("tools/list"))
        assert answer.status_code == 405
        answer = await client.post(http.server.url, json=request("tools/list"), headers=headers_for("tools/list"))
    assert "mcp-session-id" not in answer.headers


# --- subscriptions ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(server: HttpServer, message: Message) -> AsyncIterator[AsyncIterator[Message]]:
    async with (
        httpx2.AsyncClient(timeout=60) as http,
        http.stream("POST", server.url, json=message, headers=headers_for(message["method"])) as answer,
    ):

        async def messages() -> AsyncIterator[Message]:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

        yield messages()


async def test_a_listener_is_acknowledged_first_hears_what_it_asked_for_and_gets_a_result_at_the_end(
    tmp_path: Path,
) -> None:
    asked = request("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    with http_server(tmp_path, MANIFEST) as server, anyio.fail_after(30):
        async with listening(server, {**asked, "id": "mine"}) as messages:
            first = await anext(messages)
            assert first["method"] == "notifications/subscriptions/acknowledged"
            # It does not want to hear that a run changes the list of resources, nor of anybody's progress.
            call = request("tools/call", {"name": "count", "arguments": {}}, progressToken="p")
            assert len(await HttpPeer(server).ask(call)) > 1
            (tmp_path / "tools.yaml").write_text(MANIFEST.replace("zebra:", "horse:"))
            server.process.send_signal(signal.SIGHUP)
            heard = [first, await anext(messages)]
            server.process.terminate()
            heard += [message async for message in messages]
    assert [message.get("method") for message in heard] == [first["method"], "notifications/tools/list_changed", None]
    *told, last = heard
    assert {message["params"]["_meta"][f"{PREFIX}subscriptionId"] for message in told} == {"mine"}
    assert last["id"] == "mine"
    assert last["result"]["_meta"][f"{PREFIX}subscriptionId"] == "mine"


# --- the page --------------------------------------------------------------------------------------------------------

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "protocol.md"
RULES = {"A": 10, "B": 11, "C": 17, "D": 12, "E": 8, "F": 20}


def rows() -> dict[str, tuple[str, ...]]:
    """Return the cells of each row of the page by its number: rule, level, who, how it is proven."""
    found = re.findall(r"^\| ([A-F]\d+) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {number: tuple(cells) for number, *cells in found}


def test_every_rule_has_its_row() -> None:
    assert list(rows()) == [f"{part}{number}" for part, most in RULES.items() for number in range(1, most + 1)]


def test_every_rule_is_proven_by_tests_that_exist_or_is_said_not_to_be_met() -> None:
    for number, (_, _, _, proof) in rows().items():
        named = re.findall(r"`(test_\w+\.py|hostile/\w+\.py)(?:::(\w+))?`", proof)
        assert named or proof.startswith("not met: "), number
        for file, name in named:
            path = TESTS / file
            assert path.is_file(), (number, file)
            assert not name or f"def {name}(" in path.read_text("utf-8"), (number, name)
