"""A server that is killed, or ends in any other way: all that its calls started is dead, daemons too."""

import glob
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from cmdtool.trees.keeper import Keeper
from tests.test_process import is_running
from tests.test_stdio import GONE, SLACK, Server
from tests.test_tree import NOTE, WAYS, pids_in

LEFT: float = 5
"""Seconds after which nothing of a killed server's is left."""

WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
"""What makes a root of a plain user: its capabilities are what makes root one."""

EVERY_WAY = "for way in {}:\n if not os.fork(): exec(way); time.sleep(300)"
"""Stays in all the ways that are given, at once."""

HIDDEN = "a daemon without environment and mark"
FOUND_WITHOUT_THEIR_PARENT = [code for way, code in WAYS.items() if way != HIDDEN]

ONCE_NOTED = "\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"


def manifest(code: str, **keys: object) -> str:
    """A tool `stay` that does what `code` says and goes on, and one that is quick."""
    command = [sys.executable, "-S", "-c", NOTE + code, "pids"]
    return json.dumps(
        {
            "tools": {
                "stay": {"command": command, "grace": "30s", "success": [0], **keys},
                "quick": {"command": ["true"]},
            }
        }
    )


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(folder: Path) -> list[int]:
    assert pids_in(folder / "pids")
    return [pid for pid in pids_in(folder / "pids") if is_running(pid)]


def keepers_of(server: Server) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "cmdtool.trees.keeper" in " ".join(child.cmdline())]


def knows(keeper: psutil.Process, pid: int) -> bool:
    """Return whether a keeper was told of a process."""
    links = map(Path, glob.glob(f"/proc/{keeper.pid}/fd/*"))
    files = [link for link in links if "memfd" in str(link.readlink())]
    return any(pid.to_bytes(8, sys.byteorder) in file.read_bytes() for file in files)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "pids").exists():
        for pid in alive(tmp_path):
            os.kill(pid, signal.SIGKILL)


class Serve(Protocol):
    """Starts a server, calls its tool `stay`, and waits until that has started something."""

    def __call__(self, code: str, *, prefix: Sequence[str] = (), **keys: object) -> Server: ...


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    servers: list[Server] = []

    def start(code: str, *, prefix: Sequence[str] = (), **keys: object) -> Server:
        server = Server(folder, manifest=manifest(code, **keys), prefix=prefix)
        servers.append(server)
        server.send("tools/call", {"name": "stay", "arguments": {}}, 2)
        wait_until(lambda: bool(pids_in(folder / "pids")))
        return server

    yield start
    for server in servers:
        server.end()


def test_what_a_killed_server_started_is_dead_soon(folder: Path, serve: Serve) -> None:
    server = serve(EVERY_WAY.format(FOUND_WITHOUT_THEIR_PARENT) + "\ntime.sleep(300)")
    wait_until(lambda: len(pids_in(folder / "pids")) == len(FOUND_WITHOUT_THEIR_PARENT) - 1 + 31)
    [keeper] = keepers_of(server)
    server.process.kill()
    wait_until(lambda: not alive(folder) and not keeper.is_running(), LEFT + SLACK)


def test_a_daemon_that_hides_is_dead_too_once_the_server_has_adopted_it(folder: Path, serve: Serve) -> None:
    server = serve(WAYS[HIDDEN] + "\ntime.sleep(300)")
    [keeper] = keepers_of(server)
    [daemon] = pids_in(folder / "pids")
    wait_until(lambda: knows(keeper, daemon))
    server.process.kill()
    wait_until(lambda: not alive(folder), LEFT + SLACK)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, None])
def test_daemons_are_dead_and_the_server_is_gone_within_two_seconds(
    folder: Path, serve: Serve, number: signal.Signals | None
) -> None:
    server = serve(EVERY_WAY.format([*WAYS.values()]) + "\ntime.sleep(300)")
    wait_until(lambda: len(pids_in(folder / "pids")) == len(WAYS) - 1 + 31)
    [keeper] = keepers_of(server)
    if number:
        server.process.send_signal(number)
    else:
        assert server.process.stdin
        server.process.stdin.close()
    assert server.process.wait(GONE + SLACK) == (128 + number if number else 0)
    assert alive(folder) == []
    wait_until(lambda: not keeper.is_running())


def test_a_second_signal_leaves_no_daemon_either(folder: Path, serve: Serve) -> None:
    server = serve(WAYS["a daemon that ignores signals"] + "\ntime.sleep(300)")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(GONE) == 143
    wait_until(lambda: not alive(folder))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_tool_keeps_in_the_background_outlives_the_server(
    folder: Path, serve: Serve, end: signal.Signals
) -> None:
    server = serve(WAYS["a daemon"] + "\nwhile not os.path.exists('go'): time.sleep(0.01)", keep_background=True)
    [keeper] = keepers_of(server)
    [daemon] = pids_in(folder / "pids")
    wait_until(lambda: knows(keeper, daemon))
    (folder / "go").touch()
    assert server.receive()["result"]["isError"] is False
    assert not knows(keeper, daemon)
    server.send("tools/call", {"name": "quick", "arguments": {}}, 3)
    assert server.receive()["id"] == 3
    server.process.send_signal(end)
    server.process.wait(GONE + SLACK)
    wait_until(lambda: not keeper.is_running())
    assert alive(folder) == pids_in(folder / "pids")


def test_what_a_failed_tool_left_in_the_background_is_ended_all_the_same(folder: Path, serve: Serve) -> None:
    server = serve(WAYS["a daemon"] + ONCE_NOTED + "sys.exit(3)", keep_background=True)
    assert server.receive()["result"]["isError"] is True
    assert alive(folder) == []


def test_the_keeper_has_a_session_of_its_own_and_holds_nothing_of_the_servers(folder: Path, serve: Serve) -> None:
    server = serve("note(); time.sleep(300)")
    [keeper] = keepers_of(server)
    assert os.getsid(keeper.pid) == keeper.pid
    held = {os.readlink(f"/proc/{keeper.pid}/fd/{name}") for name in os.listdir(f"/proc/{keeper.pid}/fd")}
    assert {name.partition(":")[0] for name in held} == {"pipe", "/dev/null", "/memfd"}
    servers = {os.readlink(f"/proc/{server.process.pid}/fd/{number}") for number in (0, 1, 2)}
    assert not held & servers - {"/dev/null"}
    assert (keeper.cwd(), keeper.environ()) == ("/", {})
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        keeper.send_signal(number)
    server.process.kill()
    wait_until(lambda: not alive(folder) and not keeper.is_running(), LEFT + SLACK)


def test_a_keeper_heeds_no_signal_from_its_first_moment_on(folder: Path) -> None:
    server = (
        "import os, signal, subprocess, sys; from cmdtool.trees.keeper import Keeper\n"
        "keeper = Keeper(); keeper.add('5' * 32)\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): os.kill(keeper.pid, number)\n"
        "environment = {'CMDTOOL_RUN_ID': '5' * 32}\n"
        "subprocess.Popen(sys.argv[1:], env=environment, start_new_session=True).wait()"
    )
    command = [sys.executable, "-S", "-c", NOTE + "note(); time.sleep(300)", str(folder / "pids")]
    with subprocess.Popen([sys.executable, "-c", server, *command]) as process:
        wait_until(lambda: bool(pids_in(folder / "pids")))
        assert alive(folder)
        process.kill()
    wait_until(lambda: not alive(folder), LEFT + SLACK)


def test_a_keeper_that_somebody_killed_is_replaced_at_the_next_call(folder: Path, serve: Serve) -> None:
    server = serve(WAYS["a daemon that ignores signals"] + "\ntime.sleep(300)")
    [keeper] = keepers_of(server)
    keeper.kill()
    wait_until(lambda: keeper.status() == psutil.STATUS_ZOMBIE)
    server.send("tools/call", {"name": "quick", "arguments": {}}, 3)
    assert server.receive()["id"] == 3
    assert len(keepers_of(server)) == 1
    server.process.kill()
    wait_until(lambda: not alive(folder), LEFT + SLACK)


def test_a_killed_run_leaves_nothing_either(folder: Path) -> None:
    command = [sys.executable, "-S", "-c", NOTE + WAYS["a daemon"] + "\ntime.sleep(300)", str(folder / "pids")]
    with subprocess.Popen([sys.executable, "-m", "cmdtool", "run", "--", *command]) as run:
        wait_until(lambda: bool(pids_in(folder / "pids")))
        run.kill()
    wait_until(lambda: not alive(folder), LEFT + SLACK)


def test_places_of_runs_that_have_ended_are_used_again() -> None:
    keeper = Keeper()
    runs = [f"{number:032x}" for number in range(1, 1001)]
    for run in runs:
        keeper.add(run)
    for run in runs:
        keeper.remove(run)
        keeper.add(run[::-1])
    for run in runs:
        keeper.remove(run[::-1])
    files = [
        Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if "memfd" in _target(f"/proc/self/fd/{fd}")
    ]
    assert sorted(file.read_bytes() for file in files) == [b"", bytes(16 * 1000)]
    keeper.close()


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def test_a_command_of_the_same_user_can_neither_read_the_server_nor_write_to_its_client(serve: Serve) -> None:
    probe = (
        "\ndef attempt(name, mode):\n"
        "    try: open('/proc/%d/%s' % (os.getppid(), name), mode).close(); return 'open'\n"
        "    except PermissionError: return 'refused'\n"
        "note(); print(attempt('fd/1', 'wb'), attempt('environ', 'rb'), attempt('mem', 'rb'), attempt('stat', 'rb'))"
    )
    server = serve(probe, prefix=WITHOUT_PRIVILEGES)
    assert server.receive()["result"]["content"][0]["text"] == "refused refused refused open"


def test_a_server_without_privileges_ends_its_daemons_too(folder: Path, serve: Serve) -> None:
    server = serve(WAYS["a daemon without environment and mark"] + ONCE_NOTED, prefix=WITHOUT_PRIVILEGES)
    assert server.receive()["result"]["isError"] is False
    assert alive(folder) == []
    (folder / "pids").unlink()


def test_a_keeper_without_privileges_ends_daemons_too(folder: Path, serve: Serve) -> None:
    server = serve(WAYS["a daemon without an environment"] + "\ntime.sleep(300)", prefix=WITHOUT_PRIVILEGES)
    server.process.kill()
    wait_until(lambda: not alive(folder), LEFT + SLACK)
