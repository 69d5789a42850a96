"""Another engine behind the seam: the same clients, the same requests, and commands that a second process runs."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastmcp.client import Client as FastMcpClient
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp_tasks.client import call_tool_task

from tests import elsewhere
from tests.http_serving import HttpServer, http_server
from tests.test_tasks import ask, call, get, listening, over, said
from tests.waiting import eventually, until

pytestmark = pytest.mark.anyio

MANIFEST = r"""
tools:
  who: {shell: 'echo $PPID', task: always}
  fail: {shell: 'exit 3', task: always}
  wait:
    arguments: {what: {type: string}}
    shell: 'echo "waits for $what"; until [ -e "$what" ]; do sleep 0.02; done; echo went'
    task: optional
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    with http_server(tmp_path, MANIFEST, program=[elsewhere.__file__]) as server:
        yield server


async def test_a_client_drives_tasks_that_run_elsewhere(server: HttpServer, tmp_path: Path) -> None:
    async with FastMcpClient(StreamableHttpTransport(server.url)) as client:
        (worker,) = (each.pid for each in psutil.Process(server.process.pid).children() if "worker" in each.cmdline())
        assert said(await client.call_tool("who", {})) == f"{worker}\n"
        assert (await client.call_tool("fail", {}, raise_on_error=False)).is_error
        task, unwanted = [await call_tool_task(client, "wait", {"what": what}) for what in ("go", "nothing")]
        await eventually(task.status, lambda state: state.status_message == "waits for go")
        (tmp_path / "go").touch()
        assert said(await task.result()) == "waits for go\nwent\n"
        await unwanted.cancel()
        assert (await unwanted.wait()).status == "cancelled"


async def test_requests_and_streams_know_tasks_that_run_elsewhere(server: HttpServer, tmp_path: Path) -> None:
    task = await call(server, "wait", what="go")
    states: list[dict[str, Any]] = []
    async with listening(server, [task["taskId"], "0" * 32]) as stream:
        assert (await anext(stream))["params"]["notifications"] == {"taskIds": [task["taskId"]]}
        async for message in stream:
            states.append(message["params"])
            if states[-1].get("statusMessage") == "waits for go":
                assert set(await ask(server, "tasks/update", {**task, "inputResponses": {}})) == {"resultType", "_meta"}
                (tmp_path / "go").touch()
            if states[-1]["status"] == "completed":
                break
    assert states[-1]["result"] == (await get(server, task))["result"]
    unwanted = await call(server, "wait", what="nothing")
    await ask(server, "tasks/cancel", {"taskId": unwanted["taskId"]})
    assert (await over(server, unwanted))["status"] == "cancelled"


async def test_a_server_that_ends_waits_for_tasks_that_would_be_lost(server: HttpServer, tmp_path: Path) -> None:
    task = await call(server, "wait", what="go")
    server.process.send_signal(signal.SIGTERM)
    await until(lambda: "for calls under way: 1" in server.log)
    assert (await get(server, task))["status"] == "working"
    (tmp_path / "go").touch()
    assert server.process.wait(20) == 128 + signal.SIGTERM
