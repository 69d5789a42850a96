"""Calls by clients that we did not write, over a time that some of them wait only while progress comes."""

import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp.client import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

from tests.foreign import INSPECTOR, call_by_typescript, run_node
from tests.http_serving import http_server

pytestmark = pytest.mark.anyio

MANIFEST = """
tools:
  silent:
    command: sleep {seconds}
    progress: {parser: none, heartbeat: 1s}
  counting:
    shell: 'for i in $(seq 1 $seconds); do echo "step $i of $seconds"; sleep 1; done'
    arguments: {seconds: {type: string}}
    progress: 'step (\\d+) of (\\d+)'
"""

SECONDS = 8
PATIENCE = 2.0
"""Seconds after which the TypeScript SDKs give up, unless there is progress; no other client here can be set to."""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    manifest = tmp_path / "tools.yaml"
    manifest.write_text(MANIFEST)
    return [sys.executable, "-m", "cmdtool", "serve", str(manifest)]


def check_progress(tool: str, progress: list[dict[str, Any]]) -> None:
    values = [update["progress"] for update in progress]
    assert len(values) >= SECONDS - 1
    assert all(before < after for before, after in pairwise(values)), values
    if tool == "counting":
        # The TypeScript SDKs pass over the very last one when the result comes in the same piece.
        assert progress[-1]["progress"] in (SECONDS, pytest.approx(SECONDS * 0.999))
        assert progress[-1]["total"] == SECONDS
        assert progress[-1]["message"] == f"step {SECONDS} of {SECONDS}"
    else:
        assert all("total" not in update and "elapsed" in update["message"] for update in progress)


Server = list[str] | str
"""The command that serves over standard input and output, or the URL of a server."""


async def by_typescript(sdk: int, era: str, server: Server, tool: str, home: Path) -> None:
    arguments = {"seconds": str(SECONDS)}
    answer = await call_by_typescript(sdk, era, server, tool, arguments, patience=PATIENCE, home=home)
    assert answer["tools"] == ["silent", "counting"]
    assert answer.get("error") is None
    assert answer["result"]["isError"] is False
    check_progress(tool, answer["progress"])


async def by_fastmcp(server: Server, tool: str) -> None:
    progress: list[dict[str, Any]] = []

    async def keep(value: float, total: float | None, message: str | None) -> None:
        update = {"progress": value, "total": total, "message": message}
        progress.append({key: field for key, field in update.items() if field is not None})

    transport = StreamableHttpTransport(server) if isinstance(server, str) else StdioTransport(server[0], server[1:])
    async with Client(transport, progress_handler=keep) as client:
        result = await client.call_tool(tool, {"seconds": str(SECONDS)})
    assert not result.is_error
    check_progress(tool, progress)


async def by_inspector(server: Server, tool: str, home: Path) -> None:
    """Its command line asks for no progress, and has no option for how long it waits."""
    call = ("--tool-name", tool, "--tool-args-json", json.dumps({"seconds": str(SECONDS)}))
    assert (await inspect(server, "tools/call", *call, home=home))["isError"] is False


async def inspect(server: Server, method: str, *options: str, home: Path) -> dict[str, Any]:
    """Send one request by the command line of the Inspector, and return its result."""
    target = [server] if isinstance(server, str) else server
    words = ["--cli", "--quiet", "--format", "json", *target, "--method", method, *options]
    done = await run_node(INSPECTOR, *words, home=home)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    result: dict[str, Any] = answer.get("result", answer)
    return result


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "stdio":
        yield request.getfixturevalue("command")
        return
    with http_server(tmp_path, MANIFEST) as started:
        yield started.url


@pytest.mark.parametrize("tool", ["silent", "counting"])
async def test_a_long_call_completes_with_clients_that_others_wrote(tool: str, server: Server, tmp_path: Path) -> None:
    calls: list[Callable[[], Coroutine[Any, Any, None]]] = [
        lambda: by_typescript(1, "legacy", server, tool, tmp_path),
        lambda: by_typescript(2, "legacy", server, tool, tmp_path),
        lambda: by_typescript(2, "modern", server, tool, tmp_path),
        lambda: by_fastmcp(server, tool),
        lambda: by_inspector(server, tool, tmp_path),
    ]
    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(call)


async def test_the_inspector_lists_tools_and_reads_what_a_run_printed_over_http(tmp_path: Path) -> None:
    with http_server(tmp_path, "tools: {hello: {description: Greets., command: echo hello}}") as server:
        # `--strict` fails where the schema of a tool is one that some clients cannot take.
        listed = await inspect(server.url, "tools/list", "--strict", home=tmp_path)
        called = await inspect(server.url, "tools/call", "--tool-name", "hello", home=tmp_path)
        uri = f"{called['_meta']['cmdtool/run']['uri']}/stdout"
        read = await inspect(server.url, "resources/read", "--uri", uri, home=tmp_path)
    assert [tool["name"] for tool in listed["tools"]] == ["hello"]
    assert [contents["text"] for contents in read["contents"]] == ["hello\n"]


async def test_without_progress_such_a_client_gives_up(command: list[str], tmp_path: Path) -> None:
    manifest = tmp_path / "tools.yaml"
    manifest.write_text(MANIFEST.replace("heartbeat: 1s", "heartbeat: 60s"))
    answer = await call_by_typescript(1, "legacy", command, "silent", {"seconds": "60"}, patience=0.5, home=tmp_path)
    assert "timed out" in answer["error"]
