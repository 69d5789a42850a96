"""Calls by clients that we did not write. Each would give up, or show nothing, if progress did not come as it must."""

import json
import sys
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastmcp.client import Client
from fastmcp.client.transports import StdioTransport

from tests.foreign import INSPECTOR, call_by_typescript, run_node

pytestmark = pytest.mark.anyio

MANIFEST = """
tools:
  silent:
    command: sleep {seconds}
    progress: {parser: none, heartbeat: 1s}
  counting:
    shell: 'for i in $(seq 1 $seconds); do sleep 1; echo "step $i of $seconds"; done'
    arguments: {seconds: {type: string}}
    progress: 'step (\\d+) of (\\d+)'
"""

SECONDS = 8
PATIENCE = 2.0
"""Seconds after which the clients that can give up do, unless there is progress."""


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


async def by_typescript(sdk: int, era: str, command: list[str], tool: str, home: Path) -> None:
    arguments = {"seconds": str(SECONDS)}
    answer = await call_by_typescript(sdk, era, command, tool, arguments, patience=PATIENCE, home=home)
    assert answer["tools"] == ["silent", "counting"]
    assert answer.get("error") is None
    assert answer["result"]["isError"] is False
    check_progress(tool, answer["progress"])


async def by_fastmcp(command: list[str], tool: str) -> None:
    progress: list[dict[str, Any]] = []

    async def keep(value: float, total: float | None, message: str | None) -> None:
        update = {"progress": value, "total": total, "message": message}
        progress.append({key: field for key, field in update.items() if field is not None})

    async with Client(StdioTransport(command[0], command[1:]), progress_handler=keep) as client:
        result = await client.call_tool(tool, {"seconds": str(SECONDS)})
    assert not result.is_error
    check_progress(tool, progress)


async def by_inspector(command: list[str], tool: str, home: Path) -> None:
    call = ("--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps({"seconds": str(SECONDS)}))
    done = await run_node(INSPECTOR, "--cli", "--quiet", "--format", "json", *command, *call, home=home)
    assert done.returncode == 0, done.stderr.decode()
    result = json.loads(done.stdout)
    assert result.get("result", result)["isError"] is False


@pytest.mark.parametrize("tool", ["silent", "counting"])
async def test_a_long_call_completes_with_clients_that_others_wrote(
    tool: str, command: list[str], tmp_path: Path
) -> None:
    calls: list[Callable[[], Coroutine[Any, Any, None]]] = [
        lambda: by_typescript(1, "legacy", command, tool, tmp_path),
        lambda: by_typescript(2, "legacy", command, tool, tmp_path),
        lambda: by_typescript(2, "modern", command, tool, tmp_path),
        lambda: by_fastmcp(command, tool),
        lambda: by_inspector(command, tool, tmp_path),
    ]
    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(call)


async def test_without_progress_such_a_client_gives_up(command: list[str], tmp_path: Path) -> None:
    manifest = tmp_path / "tools.yaml"
    manifest.write_text(MANIFEST.replace("heartbeat: 1s", "heartbeat: 60s"))
    answer = await call_by_typescript(1, "legacy", command, "silent", {"seconds": "60"}, patience=0.5, home=tmp_path)
    assert "timed out" in answer["error"]
