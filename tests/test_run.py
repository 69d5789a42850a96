import os
from collections.abc import Mapping
from pathlib import Path

import anyio
import psutil
import pytest

from cmdtool.errors import ArgumentError
from cmdtool.host import LocalHost
from cmdtool.model import Stream, Tool
from cmdtool.process import Exit, Supervisor
from cmdtool.progress import Update
from cmdtool.reporter import reporting
from cmdtool.run import DRAIN, RunResult, prepare, run_call
from cmdtool.turns import turns
from tests.waiting import until

pytestmark = pytest.mark.anyio


def tool(shell: str, **keys: object) -> Tool:
    fixed = {"name": "t", "folder": "/"}
    return Tool.model_validate({"shell": shell, **fixed, **keys})


async def run(called: Tool, arguments: Mapping[str, object] | None = None) -> RunResult:
    with anyio.fail_after(20):
        return await run_call(prepare(called, arguments or {}, LocalHost()), Supervisor())


class Kept:
    def __init__(self) -> None:
        self.updates: list[Update] = []

    async def send(self, update: Update) -> None:
        self.updates.append(update)


class Stuck:
    """A client that has stopped reading."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.resumed = anyio.Event()
        self.updates: list[Update] = []

    async def send(self, update: Update) -> None:
        self.asked.set()
        await self.resumed.wait()
        self.updates.append(update)


async def watch(called: Tool, arguments: Mapping[str, object] | None = None) -> list[Update]:
    sink = Kept()
    call = prepare(called, arguments or {}, LocalHost())
    with anyio.fail_after(20):
        async with reporting(called.progress, sink) as reporter:
            assert reporter is not None
            result = await run_call(call, Supervisor(), reporter=reporter)
            reporter.finish(success=result.success)
    return sink.updates


async def test_a_plain_success_has_output_and_no_outcome() -> None:
    result = await run(tool("echo out; echo err >&2"))
    assert (result.success, result.outcome, result.exit) == (True, None, Exit(0, None))
    assert (result.stdout.text, result.stderr.text) == ("out\n", "err\n")


async def test_only_the_chosen_stream_is_kept_but_a_failure_shows_both() -> None:
    quiet = {"output": {"stream": "stdout"}}
    assert (await run(tool("echo out; echo err >&2", **quiet))).stderr.text == ""
    assert (await run(tool("echo out; echo err >&2; exit 1", **quiet))).stderr.text == "err\n"


async def test_a_time_limit_keeps_the_output_so_far_and_names_the_key() -> None:
    result = await run(tool("echo begun; sleep 300", timeout="300ms"))
    assert result.ended_by == "timeout"
    assert result.stdout.text == "begun\n"
    assert result.outcome is not None
    assert "`timeout`" in result.outcome


async def test_output_puts_off_the_idle_limit() -> None:
    result = await run(tool("for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done; sleep 300", idle_timeout="2s"))
    assert result.ended_by == "idle_timeout"
    assert result.duration > 4
    assert result.stdout.text == "1\n2\n3\n4\n5\n6\n"


async def test_what_a_success_leaves_in_the_background_is_ended_and_holds_nothing_up() -> None:
    result = await run(tool("setsid sleep 300 & sleep 0.2; echo done"))
    assert (result.success, result.stdout.text, result.outcome) == (True, "done\n", None)


async def test_what_is_kept_in_the_background_and_holds_the_pipe_does_not_hold_the_call() -> None:
    result = await run(tool("setsid sleep 4 & sleep 0.2; echo done", keep_background=True))
    assert result.success
    assert result.stdout.text == "done\n"
    assert result.outcome is not None
    assert "still open" in result.outcome


async def test_output_that_waits_for_its_turn_is_awaited_and_is_no_silence() -> None:
    async def compute() -> None:
        async with turns():
            await anyio.sleep(DRAIN + 0.5)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(compute)
        result = await run(tool("seq 5000; echo err >&2", idle_timeout="1s"))
    assert (result.success, result.outcome, result.stderr.text) == (True, None, "err\n")
    assert result.stdout.text.splitlines()[-1] == "5000"


async def test_a_program_that_does_not_exist_is_refused_before_anything_starts() -> None:
    missing = tool("true", shell_program=["no-such-shell", "-c"])
    with pytest.raises(Exception, match="no-such-shell"):
        await run(missing)


async def test_bad_arguments_are_refused_before_anything_starts() -> None:
    with pytest.raises(ArgumentError, match="`nope`"):
        prepare(tool("true"), {"nope": 1}, LocalHost())


async def test_every_block_is_echoed_as_it_comes() -> None:
    echoed: list[tuple[Stream, bytes]] = []

    async def echo(stream: Stream, block: bytes) -> None:
        echoed.append((stream, block))

    call = prepare(tool("printf 'a\\r\\033[1mb'; printf c >&2"), {}, LocalHost())
    await run_call(call, Supervisor(), echo=echo)
    assert sorted(echoed) == [("stderr", b"c"), ("stdout", b"a\r\x1b[1mb")]


async def test_a_row_of_dots_that_never_pauses_is_counted_as_it_grows() -> None:
    dots = tool("for i in $(seq 1 100); do printf .; sleep 0.01; done", progress={"rules": [r"\."], "total": 100})
    updates = await watch(dots)
    assert len(updates) >= 5
    assert updates[-1].progress == updates[-1].total == 100


async def test_a_total_from_an_argument_is_reached_from_no_reading() -> None:
    counted = tool("true", arguments={"n": {"type": "integer"}}, progress={"rules": [r"x(\d+)%"], "total": "{n}"})
    assert [(update.progress, update.total) for update in await watch(counted, {"n": 7})] == [(7, 7)]


async def test_a_failing_count_means_no_total() -> None:
    rules = {"rules": [r"^(?P<progress>\d+)$"], "total": {"shell": "echo 5; exit 1"}}
    updates = await watch(tool("echo 1; sleep 0.2; echo 2", progress=rules))
    assert [(update.progress, update.total) for update in updates] == [(1, None), (2, None)]


async def test_a_count_that_complains_at_length_still_counts() -> None:
    rules = {"rules": [r"^(?P<progress>\d+)$"], "total": {"shell": "head -c 300000 /dev/zero >&2; echo 3"}}
    updates = await watch(tool("sleep 1; echo 1; sleep 0.5; echo 2", progress=rules))
    assert (updates[-1].progress, updates[-1].total) == (3, 3)


async def test_a_count_is_read_whatever_the_result_holds() -> None:
    rules = {"rules": [r"^(?P<progress>\d+)$"], "total": {"command": ["echo", "3"]}}
    updates = await watch(tool("sleep 1; echo 1 >&2; sleep 0.5", progress=rules, output={"stream": "stderr"}))
    assert (updates[-1].progress, updates[-1].total) == (3, 3)


async def test_what_a_count_leaves_in_the_background_is_not_kept(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    rules = {"rules": [r"^(\d+)%$"], "total": {"shell": f"sleep 300 >/dev/null & echo $! > {mark}; echo 5"}}
    await watch(tool(f"until [ -s {mark} ]; do sleep 0.01; done; sleep 0.5", progress=rules, keep_background=True))
    left = int(mark.read_text())  # perhaps a zombie, which is for init to wait for
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


async def test_counting_ends_with_the_call(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    rules = {"rules": [r"^(\d+)%$"], "total": {"shell": f"echo $$ > {mark}; sleep 300"}}
    await watch(tool(f"until [ -s {mark} ]; do sleep 0.01; done", progress=rules))
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_a_stopped_client_slows_nothing_and_gets_the_newest_when_it_resumes(tmp_path: Path) -> None:
    sink, done = Stuck(), tmp_path / "done"
    called = tool(
        f"for i in $(seq 1 99); do echo $i%; done; sleep 0.3; echo 99.5%; touch {done}", progress=r"([\d.]+)%"
    )
    call = prepare(called, {}, LocalHost())
    with anyio.fail_after(20):
        async with reporting(called.progress, sink) as reporter:
            assert reporter is not None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(until, done.exists)
                result = await run_call(call, Supervisor(), reporter=reporter)
            reporter.finish(success=result.success)
            sink.resumed.set()
    assert result.success
    assert [update.progress for update in sink.updates][1:] == [100]


async def test_a_flood_leaves_memory_bounded() -> None:
    size = 200_000_000
    before = psutil.Process().memory_info().rss
    result = await run(tool(f"head -c {size} /dev/zero; head -c {size} /dev/zero | tr '\\0' x >&2"))
    assert result.left_out == 2 * size - 64 * 1024
    assert psutil.Process().memory_info().rss - before < 50_000_000


async def test_under_a_terminal_lines_are_plain_and_the_streams_stay_apart() -> None:
    script = "test -t 1 && test -t 2; printf 'one\\r\\ntwo\\n'; printf '1%%\\r2%%\\n' >&2; exit 3"
    result = await run(tool(script, pty=True))
    assert (result.stdout.text, result.stderr.text) == ("one\ntwo\n", "2%\n")
    assert (result.success, result.outcome) == (False, "exit status 3")


async def test_a_time_limit_ends_a_command_under_a_terminal() -> None:
    result = await run(tool("echo started; sleep 300", pty=True, timeout="300ms"))
    assert result.ended_by == "timeout"
    assert result.exit is not None
    assert result.exit.signal in ("SIGTERM", "SIGHUP")
