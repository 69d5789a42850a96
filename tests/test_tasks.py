"""Calls that are tasks: with clients that others wrote, with raw requests, and across the end of a server."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import psutil
import pytest
from fastmcp.client import Client as FastMcpClient
from fastmcp.client.client import CallToolResult as FastMcpResult
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from fastmcp_tasks.client import call_tool_task
from mcp import Client, MCPError
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, Request, RequestParams, Result, TextContent
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from cmdtool.progress import Update
from cmdtool.sinks.status import format_status
from tests.foreign import INSPECTOR, run_node
from tests.http_serving import HttpServer, headers_for, http_server, request
from tests.serving import server_command, text_of
from tests.test_auth import ALICE, AUTH, BOB, bearer, write_auth
from tests.test_cancel import assert_dead, tree_of
from tests.waiting import eventually, until

pytestmark = pytest.mark.anyio

TASKS = "io.modelcontextprotocol/tasks"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"

MANIFEST = r"""
tools:
  hello: {command: 'echo hello {name}', task: optional}
  plain: {command: echo plain}
  job: {shell: 'echo done', task: {mode: always, ttl: 1h, poll_interval: 5s}}
  fails: {shell: 'echo broken >&2; exit 3', task: always}
  slow: {shell: 'sleep 300', task: always, timeout: 100ms}
  short: {command: echo short, task: {mode: always, ttl: 1s}}
  data: {command: [echo, '{"n":1}'], arguments: {}, output: json, task: always}
  quiet: {command: echo unwritten-output, output: {spool: false}, task: always}
  wait: {shell: 'sleep 300 & echo $$ $! > pid; until [ -e go ]; do sleep 0.02; done; echo went', task: always}
  copy:
    shell: 'echo "42% 12.3MB/s 0:31"; until [ -e copied ]; do sleep 0.02; done'
    progress: [{pattern: '(\d+)% (?P<rate>\S+) (?P<left>\S+)', message: '{rate} · {left} left'}]
    task: optional
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with http_server(tmp_path_factory.mktemp("tasks"), MANIFEST) as server:
        yield server


def enveloped(method: str, params: dict[str, Any], *, declares: bool = True) -> dict[str, Any]:
    """Return a request whose client declares the extension; it also asks for progress."""
    body = request(method, params)
    body["params"]["_meta"][CAPABILITIES] = {"extensions": {TASKS: {}}} if declares else {}
    return body


def routed(method: str, params: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, str]:
    name = {"Mcp-Name": params["taskId"]} if "taskId" in params else {}
    return headers_for(method, params, name | (headers or {}))


async def post(
    server: HttpServer, method: str, params: dict[str, Any], headers: dict[str, str] | None = None, **how: bool
) -> httpx2.Response:
    """Send a request on a connection of its own."""
    async with httpx2.AsyncClient(timeout=60) as http:
        return await http.post(
            server.url, json=enveloped(method, params, **how), headers=routed(method, params, headers)
        )


async def ask(server: HttpServer, method: str, params: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    answer = await post(server, method, params, bearer(token) if token else None)
    assert answer.headers["content-type"] == "application/json"  # no notification came before it
    result: dict[str, Any] = answer.json()["result"]
    return result


async def call(server: HttpServer, tool: str, token: str | None = None, **arguments: Any) -> dict[str, Any]:
    return await ask(server, "tools/call", {"name": tool, "arguments": arguments}, token)


async def get(server: HttpServer, task: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    return await ask(server, "tasks/get", {"taskId": task["taskId"]}, token)


async def over(server: HttpServer, task: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    """Ask for a task until it is over."""
    return await eventually(lambda: get(server, task, token), lambda state: state["status"] != "working")


def assert_error(answer: httpx2.Response, status: int, code: int) -> dict[str, Any]:
    assert answer.status_code == status
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    return error


# --- what a client gets ----------------------------------------------------------------------------------------------


async def test_a_server_says_that_it_knows_tasks(server: HttpServer) -> None:
    capabilities = (await server.post("server/discover")).json()["result"]["capabilities"]
    assert capabilities["extensions"] == {TASKS: {}}
    assert "tasks" not in capabilities
    tools = (await server.post("tools/list")).json()["result"]["tools"]
    assert all("execution" not in tool for tool in tools)


async def test_a_task_is_flat_and_can_be_asked_for_at_once(server: HttpServer) -> None:
    task = await call(server, "job")
    assert task.pop("_meta")
    later = await get(server, task)
    assert set(task) == {
        "resultType", "taskId", "status", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"
    }  # fmt: skip
    assert (task["resultType"], task["status"]) == ("task", "working")
    assert (task["ttlMs"], task["pollIntervalMs"]) == (3_600_000, 5000)
    assert task["createdAt"] == task["lastUpdatedAt"]
    assert task["createdAt"].endswith("Z")
    assert len(bytes.fromhex(task["taskId"])) == 16
    assert (later["taskId"], later["resultType"]) == (task["taskId"], "complete")
    done = await over(server, task)
    assert done["createdAt"] == task["createdAt"]
    assert done["ttlMs"] > 3_600_000  # an hour from its end


async def test_what_came_of_it_is_what_the_call_would_have_answered(server: HttpServer) -> None:
    done = await over(server, await call(server, "hello", name="you"))
    assert done["status"] == "completed"
    at_once = (await post(server, "tools/call", {"name": "hello", "arguments": {"name": "you"}}, declares=False)).json()
    for result in (done["result"], at_once["result"]):
        facts = result["_meta"]["cmdtool/run"]
        assert (facts["ended_by"], facts["exit_status"]) == ("exit", 0)
        del result["_meta"]
    assert done["result"] == at_once["result"]
    assert done["result"]["content"] == [{"type": "text", "text": "hello you"}]
    assert (await over(server, await call(server, "data")))["result"]["structuredContent"] == {"n": 1}


async def test_a_failed_command_is_a_completed_task(server: HttpServer) -> None:
    for tool, said in (("fails", "broken"), ("slow", "timed out after 0.1s")):
        done = await over(server, await call(server, tool))
        assert done["status"] == "completed"
        assert done["result"]["isError"] is True
        assert said in done["result"]["content"][0]["text"]
        assert "error" not in done


async def test_wrong_arguments_make_no_task(server: HttpServer) -> None:
    result = await call(server, "hello", nome="you")
    assert (result["resultType"], result["isError"]) == ("complete", True)


async def test_the_status_message_is_the_progress(server: HttpServer, tmp_path: Path) -> None:
    task = await call(server, "copy")  # with a progress token, but the answer is no stream
    status = "42 % · 12.3MB/s · 0:31 left"
    state = await eventually(lambda: get(server, task), lambda state: state.get("statusMessage") == status)
    assert state["status"] == "working"
    assert state["lastUpdatedAt"] > state["createdAt"]
    await ask(server, "tasks/cancel", {"taskId": task["taskId"]})
    assert "statusMessage" not in await over(server, task)


@pytest.mark.parametrize(
    ("update", "status"),
    [
        (Update(42, 100, "12.3 MB/s · 0:31 left"), "42 % · 12.3 MB/s · 0:31 left"),
        (Update(9, 20, "step 9 of 20"), "45 % · step 9 of 20"),
        (Update(42, 100, " 42%"), "42 %"),
        (Update(0.999, 1, None), "99 %"),
        (Update(1234, None, "files"), "1,234 · files"),
        (Update(1.2e-5, None, "12s elapsed"), "12s elapsed"),
        (Update(1e-9, None, None), ""),
    ],
)
def test_a_status_is_read_by_people(update: Update, status: str) -> None:
    assert format_status(update) == status


async def test_a_task_that_waits_for_its_turn_says_so(tmp_path: Path) -> None:
    manifest = """
    concurrency: 1
    tools: {wait: {shell: 'until [ -e go ]; do sleep 0.02; done; echo went', task: always}}
    """
    with http_server(tmp_path, manifest) as server:
        first, second = await call(server, "wait"), await call(server, "wait")
        await eventually(lambda: get(server, second), lambda state: "next in line" in state.get("statusMessage", ""))
        (tmp_path / "go").touch()
        for task in (first, second):
            assert (await over(server, task))["result"]["content"][0]["text"] == "went"


# --- who may ask -----------------------------------------------------------------------------------------------------


async def test_a_client_that_does_not_declare_tasks_is_called_for_no_task(server: HttpServer) -> None:
    params: dict[str, Any] = {"name": "hello", "arguments": {"name": "you"}, "task": {"ttl": 1}}
    result = (await post(server, "tools/call", params, declares=False)).json()["result"]
    assert (result["resultType"], result["content"][0]["text"]) == ("complete", "hello you")
    plain = await ask(server, "tools/call", {"name": "plain", "task": {"ttl": 60_000}})
    assert plain["resultType"] == "complete"  # the word of older clients makes no task
    refused = assert_error(await post(server, "tools/call", {"name": "job"}, declares=False), 400, -32021)
    assert refused["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_requests_about_tasks_are_checked(server: HttpServer, method: str) -> None:
    task_id = (await call(server, "job"))["taskId"]
    params = {"taskId": task_id, "inputResponses": {"unknown": {"action": "accept"}}}
    refused = assert_error(await post(server, method, params, declares=False), 400, -32021)
    assert refused["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    assert_error(await post(server, method, params, {"Mcp-Name": "another"}), 400, -32020)
    assert_error(await post(server, method, {**params, "taskId": "0" * 32}), 400, -32602)
    assert_error(await post(server, method, {**params, "taskId": "../" + task_id}), 400, -32602)
    assert_error(await post(server, method, {"inputResponses": {}}), 400, -32602)
    assert (await post(server, method, params, {"Mcp-Name": ""})).status_code == 200  # some clients send none
    answer = (await post(server, method, params)).json()["result"]
    assert answer["resultType"] == "complete"
    assert method == "tasks/get" or set(answer) == {"resultType", "_meta"}


@pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
async def test_methods_of_older_tasks_are_unknown(server: HttpServer, method: str) -> None:
    assert_error(await post(server, method, {"taskId": "x"}), 404, -32601)


async def test_an_older_client_gets_results_and_a_reason(server: HttpServer) -> None:
    async with server.client("legacy") as client:
        assert text_of(await client.call_tool("hello", {"name": "you"})) == "hello you"
        refused = await client.call_tool("job", {})
        assert refused.is_error
        assert "always runs as a task" in text_of(refused)
        with pytest.raises(MCPError, match="not found"):
            await client.session.send_request(GetTask(params=GetTaskParams(task_id="x")), TaskState)


async def test_a_task_is_its_callers_alone(tmp_path: Path) -> None:
    write_auth(tmp_path, AUTH)
    tools = r"""
    tools:
      hello: {shell: 'until [ -e go ]; do sleep 0.02; done; echo hello', task: always}
    """
    with http_server(tmp_path, tools, "--auth", "auth.yaml") as server:
        task = await call(server, "hello", ALICE)
        params = {"taskId": task["taskId"], "inputResponses": {}}
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            assert_error(await post(server, method, params, bearer(BOB)), 400, -32602)
        async with listening(server, [task["taskId"]], BOB) as stream:
            assert (await anext(stream))["params"]["notifications"] == {"taskIds": []}
        (tmp_path / "go").touch()
        assert (await over(server, task, ALICE))["result"]["content"][0]["text"] == "hello"
        assert_error(await post(server, "tasks/get", params, bearer(BOB)), 400, -32602)


# --- notifications ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(
    server: HttpServer, task_ids: Sequence[Any], token: str | None = None, **also: Any
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Open a stream of notifications, and give its messages."""
    params = {"notifications": {"taskIds": list(task_ids), **also}}
    headers = routed("subscriptions/listen", params, bearer(token) if token else None)
    body = enveloped("subscriptions/listen", params)

    async def messages(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
        async for line in lines:
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    async with (
        httpx2.AsyncClient(timeout=60) as http,
        http.stream("POST", server.url, json=body, headers=headers) as answer,
    ):
        with anyio.fail_after(30):
            yield messages(answer.aiter_lines())


async def test_listeners_are_told_how_their_tasks_go_on(tmp_path: Path) -> None:
    with http_server(tmp_path, MANIFEST) as server:
        task, done = await call(server, "copy"), await call(server, "hello", name="you")
        await over(server, done)
        asked = [task["taskId"], "0" * 32, done["taskId"]]
        async with listening(server, asked, toolsListChanged=True) as stream:
            acknowledged = await anext(stream)
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            honoured = acknowledged["params"]["notifications"]
            assert honoured == {"taskIds": [task["taskId"], done["taskId"]], "toolsListChanged": True}
            told: dict[str, list[dict[str, Any]]] = {task["taskId"]: [], done["taskId"]: []}
            async for message in stream:
                assert message["method"] == "notifications/tasks"
                params = message["params"]
                assert params.pop("_meta") == {"io.modelcontextprotocol/subscriptionId": 1}
                told[params["taskId"]].append(params)
                if params.get("statusMessage", "").startswith("42 %"):
                    (tmp_path / "copied").touch()
                if told[task["taskId"]] and told[task["taskId"]][-1]["status"] == "completed" and told[done["taskId"]]:
                    break
        last = await get(server, task)
        del last["_meta"], last["resultType"]
        assert told[task["taskId"]][-1] == last
        assert "result" in last
        assert [state["status"] for state in told[done["taskId"]]] == ["completed"]


async def test_only_clients_that_know_tasks_can_listen_to_them(server: HttpServer) -> None:
    listen = "subscriptions/listen"
    refused = await post(server, listen, {"notifications": {"taskIds": ["x"]}}, declares=False)
    assert assert_error(refused, 400, -32021)["data"]["requiredCapabilities"] == {"extensions": {TASKS: {}}}
    assert_error(await post(server, listen, {"notifications": {"taskIds": "x"}}), 400, -32602)
    assert_error(await post(server, listen, {"notifications": {"taskIds": [1]}}), 400, -32602)


# --- the end of tasks ------------------------------------------------------------------------------------------------


async def test_a_cancel_ends_the_command_and_all_it_started(tmp_path: Path) -> None:
    with http_server(tmp_path, MANIFEST) as server:
        task = await call(server, "wait")
        processes = await tree_of(tmp_path)
        for _ in range(2):  # the second one finds it cancelled already, or nearly
            answer = await ask(server, "tasks/cancel", {"taskId": task["taskId"]})
            assert set(answer) == {"resultType", "_meta"}
        await assert_dead(processes)
        cancelled = await over(server, task)
        assert cancelled["status"] == "cancelled"
        assert cancelled.keys().isdisjoint({"result", "error"})
        await ask(server, "tasks/cancel", {"taskId": task["taskId"]})
        await until(lambda: "wait: cancelled" in server.log)


async def test_a_task_outlives_every_connection_over_http(tmp_path: Path) -> None:
    with http_server(tmp_path, MANIFEST) as server:
        async with server_client(server) as client:
            task = await client.session.call_tool("wait", {}, allow_claimed=True)
            assert isinstance(task, CreatedTask)
        processes = await tree_of(tmp_path)
        connections = psutil.Process(server.process.pid).net_connections
        await until(lambda: all(each.status != psutil.CONN_ESTABLISHED for each in connections()))
        assert all(process.is_running() for process in processes)
        (tmp_path / "go").touch()
        assert (await over(server, {"taskId": task.task_id}))["status"] == "completed"


async def test_the_end_of_standard_input_ends_tasks(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    async with sdk_client(tmp_path) as client:
        task = await client.session.call_tool("wait", {}, allow_claimed=True)
        assert isinstance(task, CreatedTask)
        processes = await tree_of(tmp_path)
    await assert_dead(processes)
    async with sdk_client(tmp_path) as client:
        state = await client.session.send_request(GetTask(params=GetTaskParams(task_id=task.task_id)), TaskState)
    assert state.status == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_after_a_restart_results_are_there_and_what_ran_has_failed(
    tmp_path: Path, number: signal.Signals
) -> None:
    with http_server(tmp_path, MANIFEST, "--drain", "100ms") as server:
        finished, running = await call(server, "hello", name="you"), await call(server, "wait")
        cancelled = await call(server, "copy")
        await ask(server, "tasks/cancel", {"taskId": cancelled["taskId"]})
        before = [await over(server, finished), await over(server, cancelled)]
        processes = await tree_of(tmp_path)
        os.kill(server.process.pid, number)
        server.process.wait(20)
        await assert_dead(processes)
    with http_server(tmp_path, MANIFEST) as server:
        assert [await get(server, finished), await get(server, cancelled)] == before
        failed = await get(server, running)
        assert failed["status"] == "failed"
        assert failed["error"] == {"code": -32603, "message": "the server ended while this ran"}
        assert failed["statusMessage"] == "the server ended while this ran"
        assert "result" not in failed
        assert failed["createdAt"] == running["createdAt"]
        answer = await ask(server, "tasks/cancel", {"taskId": running["taskId"]})
        assert answer["resultType"] == "complete"
        async with listening(server, [running["taskId"]]) as stream:
            assert (await anext(stream))["params"]["notifications"] == {"taskIds": [running["taskId"]]}
            assert (await anext(stream))["params"]["status"] == "failed"


async def test_a_server_that_ends_lets_tasks_finish(tmp_path: Path) -> None:
    with http_server(tmp_path, MANIFEST) as server:
        task = await call(server, "wait")
        await tree_of(tmp_path)
        server.process.send_signal(signal.SIGTERM)
        await until(lambda: "for calls under way: 1" in server.log)
        assert (await get(server, task))["status"] == "working"
        assert (await post(server, "tools/call", {"name": "wait"})).status_code == 503
        (tmp_path / "go").touch()
        server.process.wait(20)
        await until(lambda: " s, done" in server.log)
        assert server.log.count("wait: ") == 1  # the call and its task are told of once
    with http_server(tmp_path, MANIFEST) as server:
        assert (await get(server, task))["result"]["content"][0]["text"] == "went"


async def test_an_expired_task_is_unknown(server: HttpServer) -> None:
    task = await call(server, "short")
    assert task["ttlMs"] == 1000
    params = {"taskId": task["taskId"]}
    answer = await eventually(lambda: post(server, "tasks/get", params), lambda answer: answer.status_code != 200)
    assert_error(answer, 400, -32602)


async def test_a_result_that_must_not_be_on_the_disk_ends_with_the_server(tmp_path: Path) -> None:
    spool = tmp_path / "runs"
    with http_server(tmp_path, MANIFEST, "--spool", str(spool)) as server:
        task = await call(server, "quiet")
        assert (await over(server, task))["result"]["content"][0]["text"] == "unwritten-output"
        written = b"".join(path.read_bytes() for path in spool.rglob("*") if path.is_file())
        assert task["taskId"].encode() in written
        assert b"unwritten-output" not in written
    with http_server(tmp_path, MANIFEST, "--spool", str(spool)) as server:
        failed = await get(server, task)
        assert (failed["status"], failed["statusMessage"]) == (
            "failed",
            "the command has ended, but its result was not kept",
        )


async def test_a_spool_that_cannot_be_used_fails_no_task(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with http_server(tmp_path, MANIFEST, "--spool", str(tmp_path / "file" / "runs")) as server:
        done = await over(server, await call(server, "hello", name="you"))
        assert done["result"]["content"][0]["text"] == "hello you"
        assert (await get(server, done))["result"] == done["result"]


async def test_secrets_are_masked_in_what_is_kept(tmp_path: Path) -> None:
    manifest = r"""
    tools:
      tell:
        arguments: {password: {type: string, secret: true}}
        shell: 'echo "50% $password"; until [ -e go ]; do sleep 0.02; done'
        progress: '(\d+)%'
        task: always
    """
    spool = tmp_path / "runs"
    with http_server(tmp_path, manifest, "--spool", str(spool)) as server:
        task = await call(server, "tell", password="sesame-open")
        state = await eventually(lambda: get(server, task), lambda state: "statusMessage" in state)
        assert "[masked]" in state["statusMessage"]
        (tmp_path / "go").touch()
        assert "[masked]" in (await over(server, task))["result"]["content"][0]["text"]
    assert not any(b"sesame" in path.read_bytes() for path in spool.rglob("*") if path.is_file())


async def test_the_output_of_a_task_is_read_while_it_runs(server: HttpServer) -> None:
    task = await call(server, "copy")
    uri = f"cmdtool://runs/{task['taskId']}/stdout"
    read = await eventually(
        lambda: post(server, "resources/read", {"uri": uri}, {"Mcp-Name": uri}), lambda read: read.status_code == 200
    )
    assert read.json()["result"]["contents"][0]["text"] == "42% 12.3MB/s 0:31\n"
    await ask(server, "tasks/cancel", {"taskId": task["taskId"]})


# --- clients that others wrote ---------------------------------------------------------------------------------------


@pytest.fixture(params=["stdio", "http"])
def fastmcp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FastMcpClient[Any]]:
    if request.param == "stdio":
        (tmp_path / "tools.yaml").write_text(MANIFEST)
        yield FastMcpClient(StdioTransport(sys.executable, ["-m", "cmdtool", "serve", str(tmp_path / "tools.yaml")]))
        return
    with http_server(tmp_path, MANIFEST) as server:
        yield FastMcpClient(StreamableHttpTransport(server.url))


def said(result: FastMcpResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


async def test_fastmcp_waits_for_tasks_by_itself(fastmcp: FastMcpClient[Any]) -> None:
    async with fastmcp:
        result = await fastmcp.call_tool("hello", {"name": "you"})
        assert said(result) == "hello you"
        assert (await fastmcp.call_tool("data", {})).structured_content == {"n": 1}
        failed = await fastmcp.call_tool("fails", {}, raise_on_error=False)
        assert failed.is_error
        assert "exit status 3" in said(failed)


async def test_fastmcp_drives_a_task(fastmcp: FastMcpClient[Any], tmp_path: Path) -> None:
    async with fastmcp:
        task = await call_tool_task(fastmcp, "copy", {})
        await eventually(task.status, lambda state: (state.status_message or "").startswith("42 %"))
        (tmp_path / "copied").touch()
        assert "42%" in said(await task.result())
        unwanted = await call_tool_task(fastmcp, "wait", {})
        processes = await tree_of(tmp_path)
        await unwanted.cancel()
        assert (await unwanted.wait()).status == "cancelled"
        await assert_dead(processes)


class Wire(Result):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class CreatedTask(Wire):
    result_type: Literal["task"] = "task"
    task_id: str
    status: str


class TaskState(Wire):
    task_id: str
    status: str
    result: dict[str, Any] | None = None


class GetTaskParams(RequestParams):
    task_id: str


class GetTask(Request[GetTaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    name_param = "taskId"
    params: GetTaskParams


class KnowsTasks(ClientExtension):
    """The extension as somebody would write it for the SDK's own client."""

    identifier = TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self.resolve)]

    async def resolve(self, task: CreatedTask, ctx: ClaimContext) -> CallToolResult:
        while True:
            state = await ctx.session.send_request(GetTask(params=GetTaskParams(task_id=task.task_id)), TaskState)
            if state.status == "completed":
                return CallToolResult.model_validate(state.result)
            assert state.status == "working"
            await anyio.sleep(0.05)


def sdk_client(folder: Path, **options: Any) -> Client:
    return Client(server_command(folder / "tools.yaml"), extensions=[KnowsTasks()], **options)


def server_client(server: HttpServer) -> Client:
    return Client(server.url, extensions=[KnowsTasks()])


async def test_the_sdks_client_resolves_a_task(server: HttpServer) -> None:
    async with server_client(server) as client:
        assert text_of(await client.call_tool("job", {})) == "done"
    async with server.client() as client:
        with pytest.raises(MCPError) as error:
            await client.call_tool("job", {})
        assert error.value.error.code == -32021


async def test_the_person_is_asked_before_there_is_a_task(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("""
    tools:
      greet: {arguments: {name: {type: string}}, command: 'echo hello {name}', ask: true, task: always}
      wipe: {command: touch wiped, confirm: Wipe it?, task: always}
    """)
    asked: list[str] = []

    async def person(_: object, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        if "Wipe" in params.message:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content={"name": "Alice"})

    async with sdk_client(tmp_path, elicitation_callback=person) as client:
        assert text_of(await client.call_tool("greet", {})) == "hello Alice"
        assert "the person said no" in text_of(await client.call_tool("wipe", {}))
    assert asked == ["greet needs this: name", "Wipe it?"]
    assert not (tmp_path / "wiped").exists()


async def test_the_inspector_calls_a_tool_that_may_be_a_task(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    command = (sys.executable, "-m", "cmdtool", "serve", str(tmp_path / "tools.yaml"))
    what = ("--method", "tools/call", "--tool-name", "hello", "--tool-args-json", '{"name": "you"}')
    done = await run_node(INSPECTOR, "--cli", "--quiet", "--format", "json", *command, *what, home=tmp_path)
    assert b"hello you" in done.stdout


async def test_a_call_at_a_terminal_knows_no_tasks(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    done = await anyio.run_process([sys.executable, "-m", "cmdtool", "run", "job"], cwd=tmp_path)
    assert done.stdout == b"done\n"
