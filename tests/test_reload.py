import logging
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp_types import ToolListChangedNotification

from cmdtool.commands.files import read_manifest
from cmdtool.host import LocalHost
from cmdtool.model import Manifest, ServerKeys
from cmdtool.process import Supervisor
from cmdtool.server.app import App
from cmdtool.server.catalogue import LIST_TTL, Catalogue
from cmdtool.server.reload import Reloader
from tests.http_serving import http_server
from tests.serving import ERAS, Era, server_command, spool_of_tests, text_of
from tests.waiting import until

pytestmark = pytest.mark.anyio

BROKEN = "tools:\n  say: {command: 'echo | cat'}\n"


def manifest(word: str = "one", *, more: str = "", concurrency: int = 8) -> str:
    return (
        f"concurrency: {concurrency}\ntools:\n  say:\n    command: [echo, {word}, '{{text}}']\n"
        f"  wait: {{shell: 'echo {word} > started; while [ ! -e go ]; do sleep 0.02; done; echo {word}'}}\n{more}"
    )


class Served:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.reloader = Reloader([path], lambda: read_manifest([path]))
        self.time = 1000.0
        self.catalogue = Catalogue(read_manifest([path]), now=lambda: self.time)
        self.server = App(self.catalogue, LocalHost(), Supervisor(), spool_of_tests()).server()

    async def change(self, text: str) -> bool:
        self.path.write_text(text)
        return await self.reloader.reload(self.catalogue)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    path = tmp_path / "tools.yaml"
    path.write_text(manifest())
    return Served(path)


async def say(client: Client, text: str = "x") -> str:
    result = await client.call_tool("say", {"text": text})
    assert not result.is_error, result
    return text_of(result)


async def test_a_thousand_reloads_half_of_them_broken_fail_no_call(served: Served) -> None:
    calls = 0
    reloading = True

    async def call_on(client: Client) -> None:
        nonlocal calls
        while reloading:
            assert await say(client) in ("odd x", "even x", "one x")
            calls += 1

    async with Client(served.server) as client, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call_on, client)
        for number in range(500):
            assert await served.change(manifest("odd" if number % 2 else "even"))
            assert not await served.change(BROKEN)
        reloading = False
    assert calls > 10


async def test_two_hundred_reloads_of_a_real_server_half_of_them_broken_fail_no_call(tmp_path: Path) -> None:
    calls = dict.fromkeys(ERAS, 0)
    reloading = True

    def slow(word: str) -> str:  # the log has at most 100 lines a second, and the reloads are seen there
        return f"tools: {{say: {{arguments: {{text: {{type: string}}}}, shell: 'sleep 0.05; echo {word} $text'}}}}\n"

    async def call_on(era: Era) -> None:
        async with server.client(era) as client:
            while reloading:
                assert await say(client) in ("odd x", "even x", "one x")
                calls[era] += 1

    async def reload(text: str, said: str) -> None:
        seen = len(server.log)
        (tmp_path / "tools.yaml").write_text(text)
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: said in server.log[seen:])

    with http_server(tmp_path, slow("one")) as server:
        async with anyio.create_task_group() as tasks:
            for era in ERAS:
                tasks.start_soon(call_on, era)
            await until(lambda: all(calls.values()))
            for number in range(100):
                await reload(slow("odd" if number % 2 else "even"), "serving say")
                await reload(BROKEN, "the manifest was not reloaded")
            await until(lambda: min(calls.values()) > 10)
            reloading = False


async def test_a_running_call_keeps_its_tool_and_a_later_one_has_the_new(served: Served) -> None:
    async with Client(served.server) as client, anyio.create_task_group() as tasks:
        answers: list[str] = []

        async def wait() -> None:
            answers.append(text_of(await client.call_tool("wait", {})))

        tasks.start_soon(wait)
        await until((served.path.parent / "started").exists)
        await served.change(manifest("two"))
        assert await say(client) == "two x"
        (served.path.parent / "go").touch()
    assert answers == ["one"]


async def test_a_queued_call_keeps_its_tool_and_a_higher_limit_lets_it_start(served: Served) -> None:
    await served.change(manifest(concurrency=1))
    async with Client(served.server) as client, anyio.create_task_group() as tasks:
        answers: list[str] = []

        async def queued() -> None:
            answers.append(await say(client))

        tasks.start_soon(client.call_tool, "wait", {})
        await until((served.path.parent / "started").exists)
        tasks.start_soon(queued)
        await anyio.wait_all_tasks_blocked()
        await served.change(manifest("two", concurrency=2))
        await until(lambda: bool(answers))
        (served.path.parent / "go").touch()
    assert answers == ["one x"]


async def test_a_broken_edit_is_one_message_that_says_where(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    assert not await served.change(BROKEN)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "tools.yaml:2:24: tools.say.command" in record.getMessage()
    served.path.unlink()
    assert not await served.reloader.reload(served.catalogue)
    assert "say" in served.catalogue.manifest.tools


async def test_what_others_could_have_written_is_not_loaded(served: Served) -> None:
    served.path.chmod(0o666)
    assert not await served.change(manifest("evil"))


async def test_a_changed_command_is_logged_without_values_of_variables(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await served.change(manifest("two").replace("'{text}']", "'{text}']\n    env: {KEY: hunter2}"))
    (message,) = [record.getMessage() for record in caplog.records if "say: what it runs or" in record.getMessage()]
    assert "(env, command)" in message
    assert message.endswith("was echo one {text}, is echo two {text}")
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("sandbox: {network: false}", "", "sandbox"),
        ("confirm: Sure?", "", "confirm"),
        ("limits: {memory: 1GiB}", "", "limits"),
        ("timeout: 10s", "timeout: 20s", "timeout"),
        ("", "keep_background: true", "keep_background"),
        ("progress: {rules: ['(\\d+)'], total: {command: [nproc]}}", "", "total"),
        ("arguments: {to: {format: path, within: [/a]}}", "arguments: {to: {format: path}}", "arguments.to.within"),
        ("arguments: {to: {type: string, enum: [a]}}", "arguments: {to: {type: string}}", "arguments.to.enum"),
    ],
)
async def test_a_barrier_that_is_gone_and_a_count_that_is_another_are_logged(
    served: Served, caplog: pytest.LogCaptureFixture, before: str, after: str, said: str
) -> None:
    for keys in (before, after):
        assert await served.change(f"tools:\n  say:\n    command: ['echo', '{{to}}']\n    {keys}\n")
    assert f"say: what it runs or may do has changed ({said})" in caplog.text
    assert "/a" not in caplog.text


async def test_nothing_is_logged_of_what_only_describes(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    described = "    title: Say\n    description: Says it.\n    arguments: {text: {description: What.}}\n"
    assert await served.change(manifest().replace("  wait:", f"{described}  wait:"))
    assert "has changed" not in caplog.text


async def test_an_argument_error_tells_of_the_change_until_tools_are_listed(served: Served) -> None:
    async with Client(served.server, mode="legacy") as client:
        await client.list_tools()
        assert "list tools again" not in text_of(await client.call_tool("say", {}))
        served.time += 1
        await served.change(manifest().replace("{text}", "{words}"))
        assert "this tool changed, list tools again" in text_of(await client.call_tool("say", {"text": "x"}))
        served.time += 1
        await client.list_tools()
        assert "list tools again" not in text_of(await client.call_tool("say", {}))


async def test_without_a_session_it_does_as_long_as_a_client_may_keep_its_list(served: Served) -> None:
    async with Client(served.server) as client:
        assert "list tools again" not in text_of(await client.call_tool("say", {}))
        await served.change(manifest().replace("{text}", "{words}"))
        served.time += LIST_TTL - 1
        assert "this tool changed, list tools again" in text_of(await client.call_tool("say", {}))
        assert "list tools again" not in text_of(await client.call_tool("wait", {"what": "x"}))
        served.time += 1
        assert "list tools again" not in text_of(await client.call_tool("say", {}))


@asynccontextmanager
async def watched(path: Path, era: Era, on_change: Callable[[], None]) -> AsyncIterator[Client]:
    """A real server of `path` that watches it."""
    plain = server_command(path)
    command = StdioServerParameters(command=plain.command, args=[*(plain.args or []), "--watch"])

    async def hear(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            on_change()

    async with Client(command, mode=era, message_handler=hear) as client:
        await client.list_tools()
        if era == "legacy":
            yield client
            return
        async with client.listen(tools_list_changed=True) as events, anyio.create_task_group() as tasks:

            async def listen() -> None:
                async for _ in events:
                    on_change()

            tasks.start_soon(listen)
            yield client
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("era", ERAS)
async def test_a_real_server_reloads_what_editors_do_and_tells_the_client(tmp_path: Path, era: Era) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(manifest())
    heard = 0

    def on_change() -> None:
        nonlocal heard
        heard += 1

    async def serves(client: Client, expected: str) -> None:
        with anyio.fail_after(30):
            while await say(client) != expected:  # noqa: ASYNC110
                await anyio.sleep(0.05)

    async with watched(path, era, on_change) as client:
        path.write_text(manifest("two"))  # in place
        await serves(client, "two x")
        path.write_text(BROKEN)
        other = tmp_path / "new"
        other.write_text(manifest("three"))
        other.rename(path)  # as most editors do
        await serves(client, "three x")
        assert heard == 0  # the list is the same
        path.unlink()
        path.write_text(manifest("four", more="  more: {command: echo}\n"))
        await serves(client, "four x")
        await until(lambda: heard > 0, 30)
        assert [tool.name for tool in (await client.list_tools()).tools] == ["say", "wait", "more"]


async def test_a_file_that_others_could_write_is_loaded_once_they_cannot(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(served.reloader.watch, served.catalogue)
        served.path.chmod(0o666)
        served.path.write_text(manifest("two"))
        await until(lambda: "chmod go-w" in caplog.text, 30)
        served.path.chmod(0o644)
        await until(lambda: "two" in str(served.catalogue.manifest.tools["say"].command), 30)
        tasks.cancel_scope.cancel()


async def test_a_mistake_of_our_own_keeps_the_old_manifest_too(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> Manifest:
        raise ZeroDivisionError

    reloader = Reloader([], read)
    assert not await reloader.reload(Catalogue(Manifest(server=ServerKeys(), concurrency=1, tools={})))
    assert "please report this" in caplog.text


@pytest.mark.parametrize("options", [[], ["--http", "0"]])
def test_a_failure_beside_the_server_is_told_by_log_and_exit_status(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "tools.yaml").write_text(manifest())
    program = (
        "import sys; from cmdtool.cli import main; from cmdtool.server.reload import Reloader\n"
        "async def fail(*_): raise ZeroDivisionError\n"
        f"Reloader.watch = fail; sys.argv = ['cmdtool', 'serve', '--watch', *{options}]; main()"
    )
    ours, theirs = socket.socketpair()  # a client that says nothing
    with ours, theirs:
        argv = [sys.executable, "-c", program]
        done = subprocess.run(argv, cwd=tmp_path, stdin=theirs.fileno(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the server failed" in done.stderr
