"""Everything a run started ends with it, wherever it went and whatever it did to hide; and nothing else does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from cmdtool.argv import Invocation
from cmdtool.process import Exit, Process, Supervisor
from cmdtool.trees import linux, machine, portable
from cmdtool.trees.tree import Tree
from tests.test_process import is_running
from tests.waiting import until

pytestmark = pytest.mark.anyio

DAEMON = """
import os, sys, time

def daemon(survive):
    "The classic: fork, a session of its own, fork again."
    if os.fork():
        return os.wait()
    os.setsid()
    if os.fork():
        os._exit(0)
    with open("/dev/null", "r+") as null:
        for number in range(3):
            os.dup2(null.fileno(), number)
    survive()
"""
IGNORE = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]\n"
FORGET = "import resource; resource.setrlimit(resource.RLIMIT_RTTIME, (-1, -1))\n"
BARE = "os.execve('/bin/sleep', ['sleep', '300'], {})"

# Each of them starts processes that try to stay, writes their pids to the file, and goes on or ends.
WAYS = {
    "a daemon": DAEMON + "daemon(lambda: (note(), time.sleep(300)))",
    "a daemon that ignores signals": DAEMON + IGNORE + "daemon(lambda: (note(), time.sleep(300)))",
    "a daemon without an environment": DAEMON + f"daemon(lambda: (note(), {BARE}))",
    "a daemon without environment and mark": DAEMON + FORGET + f"daemon(lambda: (note(), {BARE}))",
    "a daemon that has lost its mark": DAEMON + FORGET + "daemon(lambda: (note(), time.sleep(300)))",
    "a child in a session of its own": "if not os.fork(): os.setsid(); note(); time.sleep(300)",
    "a child in a group of its own": "if not os.fork(): os.setpgid(0, 0); note(); time.sleep(300)",
    "env -i setsid": "import subprocess; note(subprocess.Popen(['env', '-i', 'setsid', 'sleep', '300']).pid)",
    "a stopped child": "if not os.fork(): note(); os.kill(os.getpid(), 19)",
    "a stopped daemon": DAEMON + IGNORE + "daemon(lambda: (note(), os.kill(os.getpid(), 19)))",
    "a family in many sessions": DAEMON
    + IGNORE
    + "\ndef spread(depth):\n note()\n for _ in range(2):\n"
    + "  if depth and not os.fork(): os.setsid(); spread(depth - 1); os._exit(0)\n time.sleep(300)\n"
    + "daemon(lambda: spread(4))",
}
NOTE = """
import os, sys, time
def note(pid=None):
    with open(sys.argv[1], "a") as file:
        file.write(f"{pid or os.getpid()}\\n")
"""


def python(code: str, *words: str) -> Invocation:
    return Invocation(sys.executable, (sys.executable, "-S", "-c", code, *words), {"PATH": os.defpath}, "/", b"")


def pids_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor()
    async with supervisor.guarding():
        yield supervisor


async def start(supervisor: Supervisor, code: str, file: Path, least: int = 1) -> Process:
    process = supervisor.start(python(NOTE + code, str(file)))
    await until(lambda: len(pids_in(file)) >= least)
    return process


async def nobody_of(file: Path) -> None:
    assert pids_in(file)
    assert [pid for pid in pids_in(file) if is_running(pid)] == []


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_survives_a_cancel(supervisor: Supervisor, way: str, tmp_path: Path) -> None:
    process = await start(supervisor, WAYS[way] + "\ntime.sleep(300)", tmp_path / "pids")
    with anyio.fail_after(0.2 + 3):
        await supervisor.end(process, 0.2)
    await nobody_of(tmp_path / "pids")
    process.close()


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_survives_a_success(supervisor: Supervisor, way: str, tmp_path: Path) -> None:
    process = await start(supervisor, WAYS[way], tmp_path / "pids")
    await process.exited()
    assert await supervisor.end(process, 0.2, thorough=False) == Exit(0, None)
    await nobody_of(tmp_path / "pids")
    process.close()


HIDDEN = {"a daemon without environment and mark"}


@pytest.mark.parametrize("way", [way for way in WAYS if way not in HIDDEN])
async def test_where_no_orphans_are_adopted_all_are_found_by_mark_and_id(way: str, tmp_path: Path) -> None:
    supervisor = Supervisor()
    process = await start(supervisor, WAYS[way], tmp_path / "pids")
    await process.exited()
    await supervisor.end(process, 0.2)
    await nobody_of(tmp_path / "pids")
    process.close()


async def test_a_storm_of_256_that_fork_and_move_on_ends(supervisor: Supervisor, tmp_path: Path) -> None:
    move = (
        IGNORE
        + "import os\nfor _ in range(8): os.fork()\nnote()\n"
        + "while True:\n if os.fork(): os._exit(0)\n time.sleep(0.1)"
    )
    process = await start(supervisor, move, tmp_path / "pids", 256)
    await until(lambda: len(process.tree.look(thorough=False)) >= 100)  # the others move while we look
    begun = time.monotonic()
    with anyio.fail_after(0.2 + 3):
        await supervisor.end(process, 0.2)
    assert process.tree.look(thorough=False) == []
    print(f"256 movers ended in {time.monotonic() - begun:.2f} s")  # noqa: T201
    process.close()


async def test_what_is_born_while_the_others_die_dies_too(supervisor: Supervisor, tmp_path: Path) -> None:
    heir = DAEMON + (
        "import signal\ndef heir(*_):\n"
        " if not os.fork(): os.setsid(); signal.signal(15, heir); note(); time.sleep(300)\n"
        " os._exit(0)\nsignal.signal(15, heir); note(); time.sleep(300)"
    )
    process = await start(supervisor, heir, tmp_path / "pids")
    await supervisor.end(process, 0.3)
    assert len(pids_in(tmp_path / "pids")) >= 2
    await nobody_of(tmp_path / "pids")
    process.close()


async def test_a_polite_daemon_gets_its_grace(supervisor: Supervisor, tmp_path: Path) -> None:
    goodbye = tmp_path / "goodbye"
    polite = DAEMON + (
        f"import signal\ndef bye(*_): time.sleep(1); open({str(goodbye)!r}, 'w').close(); os._exit(0)\n"
        "daemon(lambda: (signal.signal(15, bye), note(), time.sleep(300)))"
    )
    process = await start(supervisor, polite, tmp_path / "pids")
    await process.exited()
    await supervisor.end(process, 10)
    assert goodbye.exists()
    await nobody_of(tmp_path / "pids")
    process.close()


@pytest.mark.parametrize("way", WAYS)
async def test_another_run_keeps_what_it_started(supervisor: Supervisor, way: str, tmp_path: Path) -> None:
    theirs = await start(supervisor, WAYS[way], tmp_path / "theirs", 31 if "family" in way else 1)
    ours = await start(supervisor, WAYS[way], tmp_path / "ours")
    await supervisor.end(ours, 0.1)
    assert all(is_running(pid) for pid in pids_in(tmp_path / "theirs"))
    await supervisor.end(theirs, 0.1)
    await nobody_of(tmp_path / "theirs")
    await nobody_of(tmp_path / "ours")
    for process in (ours, theirs):
        process.close()


async def test_who_nobody_can_tell_of_ends_with_the_last_that_may_have_started_it(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    older = supervisor.start(python("import time; time.sleep(300)"))
    run = await start(supervisor, WAYS["a daemon without environment and mark"], tmp_path / "pids")
    tick = machine.clock()
    await until(lambda: machine.clock() > tick)  # start times are told in ticks
    younger_than_the_daemon = supervisor.start(python("import time; time.sleep(300)"))
    [daemon] = pids_in(tmp_path / "pids")
    await supervisor.end(run, 0.1)
    assert is_running(daemon)
    await supervisor.end(older, 0.1)
    assert not is_running(daemon)
    await supervisor.end(younger_than_the_daemon, 0.1)
    for process in (older, run, younger_than_the_daemon):
        process.close()


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_released_lives_on_when_others_and_the_supervisor_end(way: str, tmp_path: Path) -> None:
    supervisor = Supervisor()
    async with supervisor.guarding():
        process = await start(supervisor, WAYS[way], tmp_path / "pids", 31 if "family" in way else 1)
        await process.exited()
        assert supervisor.release(process) == Exit(0, None)
        process.close()
        async with supervisor.running(python("import time; time.sleep(300)"), 0.1):
            pass
    kept = pids_in(tmp_path / "pids")
    assert all(is_running(pid) for pid in kept)
    for pid in kept:
        os.kill(pid, 9)
        os.kill(pid, 18)
    await until(lambda: not any(is_running(pid) for pid in kept))
    reap_all()


def reap_all() -> None:
    for child in psutil.Process().children():
        child.wait(10)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "300"]) as process:
        yield process
        process.kill()


async def test_a_process_that_this_one_started_otherwise_is_left_alone(tmp_path: Path) -> None:
    supervisor = Supervisor()
    process = await start(supervisor, "note(); time.sleep(300)", tmp_path / "pids")
    bystander = await anyio.open_process(["sleep", "300"])
    await supervisor.end(process, 0.1)
    assert bystander.returncode is None
    bystander.kill()
    await bystander.aclose()
    process.close()


async def test_adopted_processes_that_end_are_waited_for(supervisor: Supervisor, tmp_path: Path) -> None:
    orphan = DAEMON + "\nfor _ in range(5): daemon(note)\ntime.sleep(300)"
    process = await start(
        supervisor, orphan.replace("daemon(note)", "daemon(lambda: (note(), os._exit(0)))"), tmp_path / "pids", 5
    )
    await until(lambda: not any(psutil.pid_exists(pid) for pid in pids_in(tmp_path / "pids")))
    await supervisor.end(process, 0.1)
    process.close()


async def test_a_thousand_short_runs_leave_no_descriptor_and_no_process(supervisor: Supervisor) -> None:
    me = psutil.Process()

    async def once() -> None:
        async with supervisor.running(Invocation("/bin/true", ("true",), {}, "/", b""), grace=1) as process:
            await process.exited()
            await supervisor.end(process, 1, thorough=False)

    await once()
    descriptors, children = me.num_fds(), len(me.children())
    for _ in range(1000):
        await once()
    assert (me.num_fds(), len(me.children())) == (descriptors, children)


async def test_the_members_of_a_run_have_their_cpu_time_and_memory(tmp_path: Path) -> None:
    supervisor = Supervisor()
    busy = "block = b'x' * 50_000_000; os.fork(); note()\nwhile True: pass"
    process = await start(supervisor, busy, tmp_path / "pids", 2)
    await until(lambda: all(member.cpu > 0.1 for member in process.tree.look(thorough=False)))
    members = process.tree.look(thorough=False)
    assert {member.pid for member in members} == set(pids_in(tmp_path / "pids"))
    assert all(member.memory > 40_000_000 for member in members if member.pid == process.session)
    await supervisor.end(process, 0.1)
    process.close()


async def test_a_pid_that_is_another_processs_now_gets_no_signal(bystander: subprocess.Popen[bytes]) -> None:
    for kind in (linux, portable):
        entry = kind.read_entry(bystander.pid)
        assert entry
        kind.send(entry._replace(started=entry.started - 1), signal.SIGKILL)
    entry = linux.read_entry(bystander.pid)
    assert entry
    tree = Tree([])
    tree.claim([entry._replace(started=entry.started - 1)])
    assert not tree.is_alive()
    assert tree.look() == []
    assert bystander.poll() is None
    linux.send(entry, signal.SIGKILL)
    assert bystander.wait(10) == -signal.SIGKILL


def test_both_ways_of_reading_the_machine_tell_the_same() -> None:
    mine, theirs = (
        next(entry for entry in machine.read_all() if entry.pid == os.getpid()) for machine in (linux, portable)
    )
    assert mine[:4] == theirs[:4]
    assert mine.is_alive
    assert theirs.is_alive
    assert theirs.memory == pytest.approx(mine.memory, rel=0.1)
    assert theirs.cpu == pytest.approx(mine.cpu, abs=1)
    assert theirs.waited_cpu == pytest.approx(mine.waited_cpu, abs=1)


def test_a_limit_of_the_persons_own_is_kept_and_no_mark_set() -> None:
    code = (
        "import resource, subprocess; from cmdtool.trees import linux\n"
        "resource.setrlimit(resource.RLIMIT_RTTIME, (1000, 2000))\n"
        "with linux.marking(linux.mark_of_run('f' * 32)): print(resource.getrlimit(resource.RLIMIT_RTTIME))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "(1000, 2000)\n"
