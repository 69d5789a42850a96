"""What a run may use, held by real processes: alone, together, through daemons, and inside a sandbox."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from cmdtool.host import LocalHost
from cmdtool.model import Limits, Tool
from cmdtool.process import Exceeded, Exit, Supervisor
from cmdtool.process.limits import Meter, rlimits
from cmdtool.run import RunResult, prepare, run_call
from cmdtool.trees.entry import Entry
from tests.serving import serving, text_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only file_size, open_files and cpu are held exactly"),
]

MIB = 1 << 20
SANDBOXES = pytest.mark.parametrize("sandbox", [False, True], ids=["plain", "sandboxed"])


def tool(shell: str, folder: Path | str = "/", **keys: object) -> Tool:
    return Tool.model_validate({"name": "t", "folder": str(folder), "shell": shell, **keys})


async def run(called: Tool) -> RunResult:
    with anyio.fail_after(60):
        return await run_call(prepare(called, {}, LocalHost()), Supervisor())


def compiled(folder: Path, code: str) -> str:
    """Return a program made of C; what it does ends by itself within seconds, should nothing end it."""
    (folder / "program.c").write_text(
        f"#include <signal.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n{code}"
    )
    subprocess.run(["cc", "-o", folder / "program", folder / "program.c"], check=True)
    return str(folder / "program")


def takes(mebibytes: int) -> str:
    """C that fills memory and holds it."""
    return f"char *p = malloc({mebibytes}L << 20); memset(p, 1, {mebibytes}L << 20); sleep(20);"


# --- totals ----------------------------------------------------------------------------------------------------------


@SANDBOXES
async def test_a_fork_bomb_is_dead_within_seconds(tmp_path: Path, sandbox: bool) -> None:
    bomb = compiled(tmp_path, "int main() { signal(SIGTERM, SIG_IGN); for (int i = 0; i < 9; i++) fork(); sleep(15); }")
    result = await run(tool(f"exec {bomb}", tmp_path, limits={"processes": 100}, sandbox=sandbox, grace="30s"))
    assert result.ended_by == "limit"
    assert result.outcome is not None
    assert result.outcome.startswith("processes limit of 100 exceeded (")
    assert result.outcome.endswith("): `limits.processes` of tool `t`")
    assert result.duration < 10  # its grace is 30 s, and it ignores SIGTERM
    assert subprocess.run(["pgrep", "-f", f"^{bomb}"], check=False).returncode == 1  # noqa: ASYNC221 - it takes no time


async def test_processes_that_nobody_waits_for_count_too(tmp_path: Path) -> None:
    program = compiled(tmp_path, "int main() { for (int i = 0; i < 40; i++) if (!fork()) return 0; sleep(20); }")
    result = await run(tool(f"exec {program}", limits={"processes": 30}))
    assert result.ended_by == "limit"


@SANDBOXES
async def test_as_many_processes_as_allowed_are_no_problem(sandbox: bool) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait; echo done"
    result = await run(tool(script, limits={"processes": 9}, sandbox=sandbox))
    assert (result.outcome, result.stdout.text) == (None, "done\n")
    assert (await run(tool(script, limits={"processes": 8}, sandbox=sandbox))).ended_by == "limit"


@SANDBOXES
async def test_processes_that_each_stay_below_and_together_exceed_memory_are_ended(
    tmp_path: Path, sandbox: bool
) -> None:
    program = compiled(tmp_path, f"int main() {{ {takes(60)} }}")
    limits = {"memory": "100MiB"}
    result = await run(tool(f"{program} & {program} & wait", tmp_path, limits=limits, sandbox=sandbox))
    assert result.ended_by == "limit"
    assert result.outcome is not None
    assert result.outcome.startswith("memory limit of 100 MiB exceeded (1")
    assert "`limits.memory` of tool `t`" in result.outcome
    assert (await run(tool(f"{program} & sleep 1; kill %1", tmp_path, limits=limits, sandbox=sandbox))).success


async def test_memory_that_children_share_counts_once(tmp_path: Path) -> None:
    program = compiled(
        tmp_path,
        "int main() { char *p = malloc(60L << 20); memset(p, 1, 60L << 20);"
        " for (int i = 0; i < 4; i++) if (!fork()) break; sleep(2); }",
    )
    assert (await run(tool(f"exec {program}", limits={"memory": "100MiB"}))).success


async def test_one_process_cannot_take_much_more_than_its_memory_between_two_looks(tmp_path: Path) -> None:
    program = compiled(tmp_path, "int main() { return malloc(300L << 20) ? 0 : 3; }")
    assert (await run(tool(program, limits={"memory": "100MiB"}))).exit == Exit(3, None)


@SANDBOXES
async def test_processor_time_is_that_of_all_together_and_ends_with_grace(sandbox: bool) -> None:
    spin = "(while :; do :; done) &"
    script = f"trap 'echo bye; exit 0' TERM; {spin} {spin} {spin} wait"
    result = await run(tool(script, limits={"cpu": "1s"}, sandbox=sandbox))
    assert result.ended_by == "limit"
    assert not result.success
    assert result.stdout.text == "bye\n"
    assert result.outcome is not None
    assert result.outcome.startswith("processor time limit of 1s exceeded (1.")
    assert "`limits.cpu` of tool `t`" in result.outcome


async def test_the_time_of_processes_that_have_gone_is_counted() -> None:
    spin = "import time; t = time.process_time; [None for _ in iter(lambda: t() < .3, False)]"
    script = f'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do {sys.executable} -S -c "{spin}"; done'
    result = await run(tool(script, limits={"cpu": "2s"}))
    assert result.ended_by == "limit"
    assert result.outcome is not None
    assert "processor time limit of 2s exceeded (2." in result.outcome


async def test_a_daemon_counts_too(tmp_path: Path) -> None:
    program = compiled(
        tmp_path,
        f"int main() {{ if (fork()) return 0; setsid(); if (fork()) return 0; close(1); close(2); {takes(80)} }}",
    )
    result = await run(tool(f"{program}; sleep 20", limits={"memory": "50MiB"}))
    assert result.ended_by == "limit"
    assert result.duration < 15


# --- each process ----------------------------------------------------------------------------------------------------


@SANDBOXES
@pytest.mark.parametrize("pty", [False, True], ids=["pipes", "terminals"])
async def test_limits_hold_from_the_first_instruction_and_for_children(sandbox: bool, pty: bool) -> None:
    limits = {"cpu": "90s", "memory": "1GiB", "file_size": "5MiB", "open_files": 64}
    script = "ulimit -S -t; ulimit -S -d; ulimit -S -f; ulimit -S -n; bash -c 'ulimit -H -n'"
    result = await run(tool(script, limits=limits, sandbox=sandbox, pty=pty))
    assert result.stdout.text.split() == ["91", "2097152", "5120", "64", "64"]


@SANDBOXES
async def test_a_file_that_grows_too_large_is_named(tmp_path: Path, sandbox: bool) -> None:
    keys = {"limits": {"file_size": "64KiB"}, "sandbox": sandbox and {"write": [str(tmp_path)]}}
    result = await run(tool("exec head -c 100000 /dev/zero > large", tmp_path, **keys))
    assert result.ended_by == "limit"
    assert result.outcome == "file size limit of 64 KiB exceeded: `limits.file_size` of tool `t`"
    assert (tmp_path / "large").stat().st_size == 65536
    piped = await run(tool("head -c 100000 /dev/zero > large; echo never", tmp_path, **keys))
    assert (piped.ended_by, piped.outcome) == ("limit", result.outcome)


REFUSED = [
    ({"memory": "100MiB"}, "bytearray(500_000_000)", "MemoryError", "`limits.memory` of tool `t` is 100 MiB"),
    (
        {"open_files": 64},
        "[open('/dev/null') for _ in range(99)]",
        "Too many open files",
        "`limits.open_files` of tool `t` is 64",
    ),
    (
        {"file_size": "1MiB"},
        "open('f', 'wb', 0).write(bytes(1 << 20)); open('f', 'ab', 0).write(b'1')",
        "File too large",
        "`limits.file_size` of tool `t` is 1 MiB",
    ),
]


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
@pytest.mark.parametrize(("limits", "code", "words", "says"), REFUSED, ids=[words for *_, words, _ in REFUSED])
async def test_a_limit_that_the_program_itself_reports_is_named(
    tmp_path: Path, limits: dict[str, object], code: str, words: str, says: str, stream: str
) -> None:
    script = f'exec {sys.executable} -S -c "{code}"' + " 2>&1" * (stream == "stdout")
    result = await run(tool(script, tmp_path, limits=limits))
    assert (result.ended_by, result.outcome) == ("exit", f"exit status 1; it reported `{words}`: {says}")


async def test_what_a_program_reports_names_no_limit_that_is_not_set_or_was_not_the_reason() -> None:
    async def outcome(script: str, success: tuple[int, ...] = (0,)) -> str | None:
        return (await run(tool(script, limits={"open_files": 64}, success=success))).outcome

    assert await outcome("echo MemoryError, File too large >&2; exit 1") == "exit status 1"
    assert await outcome("echo Too many open files in system >&2; exit 1") == "exit status 1"
    assert await outcome("echo Too many open files; head -c 5000 /dev/zero; exit 1") == "exit status 1"
    assert await outcome("echo Too many open files; exit 1", success=(0, 1)) == "exit status 1"
    assert await outcome("echo Too many open files") is None
    assert await outcome("echo too many open files >&2; kill -ABRT $$") == (
        "killed by SIGABRT; it reported `too many open files`: `limits.open_files` of tool `t` is 64"
    )


async def test_one_process_that_takes_too_much_processor_time_unseen_is_named() -> None:
    called = tool("kill -XCPU $$", limits={"cpu": "10s"})
    result = await run(called)
    assert (result.ended_by, result.outcome) == (
        "limit",
        "processor time limit of 10s exceeded: `limits.cpu` of tool `t`",
    )
    assert (await run(tool("kill -XCPU $$"))).outcome == "killed by SIGXCPU"


async def test_a_program_that_cannot_start_is_still_told_why(tmp_path: Path) -> None:
    script = tmp_path / "job"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    called = Tool.model_validate(
        {"name": "t", "folder": str(tmp_path), "command": ["./job"], "limits": {"open_files": 99}}
    )
    result = await run(called)
    assert result.ended_by == "start"
    assert result.outcome is not None
    assert "the interpreter its first line names" in result.outcome


async def test_the_smallest_and_the_largest_limits_start_nothing_odd() -> None:
    assert (await run(tool("exit 3", limits={"memory": "9999999PiB", "cpu": 1e30, "file_size": "9999999P"}))).exit == (
        Exit(3, None)
    )
    tiny = await run(tool("exit 3", limits={"memory": 1}))
    assert not tiny.success


def test_a_tool_without_limits_is_started_as_it_is() -> None:
    assert prepare(tool("true"), {}, LocalHost()).invocation.limits is None
    assert list(rlimits(Limits())) == []


def test_what_each_process_is_held_to() -> None:
    limits = Limits.model_validate({"cpu": "1500ms", "memory": "10MiB", "processes": 5, "open_files": 32})
    assert list(rlimits(limits)) == [
        (resource.RLIMIT_CPU, 3, 8),
        (resource.RLIMIT_DATA, 20 * MIB, 20 * MIB),
        (resource.RLIMIT_NOFILE, 32, 32),
    ]


# --- the meter -------------------------------------------------------------------------------------------------------


def entry(pid: int, cpu: float, waited: float = 0.0) -> Entry:
    return Entry(pid, 1, pid, pid, pid, True, cpu, waited, 0)


def test_time_is_counted_once_whether_a_parent_waits_or_not() -> None:
    meter = Meter(Limits(cpu=100))
    assert meter.exceeded([entry(1, 1), entry(2, 30), entry(3, 40)]) is None
    assert meter.exceeded([entry(1, 1, waited=30), entry(3, 40)]) is None  # 2 was waited for
    assert meter.exceeded([entry(1, 1, waited=30)]) is None  # 3 was not: 71 in all, as was seen
    assert meter.exceeded([entry(1, 28, waited=30)]) is None
    assert meter.exceeded([entry(1, 31, waited=30)]) == Exceeded("cpu", 100, 101)


def test_time_of_children_that_no_look_saw_is_counted_with_their_parent() -> None:
    assert Meter(Limits(cpu=100)).exceeded([entry(1, 1, waited=100)]) == Exceeded("cpu", 100, 101)


def test_what_has_ended_since_it_was_looked_at_takes_no_memory() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    seen = entry(ended.pid, 0)._replace(memory=200 * MIB)
    assert Meter(Limits(memory=100 * MIB)).exceeded([seen]) is None
    alive = seen._replace(pid=os.getpid())
    assert Meter(Limits(memory=MIB)).exceeded([alive]) is not None


# --- what users see --------------------------------------------------------------------------------------------------


async def test_a_client_is_told_which_limit_and_where_it_is_set(tmp_path: Path) -> None:
    manifest = """
defaults: {limits: {processes: 5, memory: 1GiB}}
tools:
  many: {shell: 'for i in 1 2 3 4 5 6 7 8; do sleep 20 & done; wait'}
  free: {shell: 'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait; ulimit -d', limits: {processes: none}}
"""
    async with serving(tmp_path, manifest) as client:
        many = await client.call_tool("many", {})
        free = await client.call_tool("free", {})
    assert many.is_error
    assert "processes limit of 5 exceeded (9): `limits.processes` of tool `many`" in text_of(many)
    assert many.meta is not None
    assert many.meta["cmdtool/run"]["ended_by"] == "limit"
    assert (free.is_error, text_of(free)) == (False, str(2 << 20))


def cmdtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cmdtool", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_run_holds_limits_and_shows_them_with_the_sandbox(tmp_path: Path) -> None:
    manifest = "tools: {t: {shell: 'sleep 9 & sleep 9 & wait', limits: {processes: 2, cpu: 90m}, sandbox: true}}\n"
    (tmp_path / "tools.yaml").write_text(manifest)
    done = cmdtool(tmp_path, "run", "t")
    assert (done.returncode, done.stdout) == (124, "")
    assert "processes limit of 2 exceeded (3)" in done.stderr
    shown = cmdtool(tmp_path, "run", "--dry-run", "t").stdout
    assert "limits:  cpu 1h30m, processes 2\n" in shown
    assert "program: /usr/bin/bwrap\n" in shown
    assert "--unshare-pid" in shown
    assert '"limits": {"cpu": 5400.0, "processes": 2}' in cmdtool(tmp_path, "run", "--dry-run", "--json", "t").stdout
