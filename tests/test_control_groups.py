"""Limits that the kernel holds a run to as a whole, by a real server in a control group that is delegated to it."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from cmdtool.model import Limits
from cmdtool.process import Exceeded
from cmdtool.process.control_group import ControlGroup
from tests.test_keeper import wait_until
from tests.test_limits import MIB, compiled, takes
from tests.test_stdio import Server

ROOT = Path("/sys/fs/cgroup")

ENTER = ["sh", "-c", 'echo 0 > "$0"/cgroup.procs && exec "$@"']


def controllers() -> set[str]:
    file = ROOT / "cgroup.controllers"
    return set(file.read_text().split()) if file.exists() else set()


DELEGATED = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not controllers() >= {"memory", "pids"},
    reason="there is no control group of version 2 with memory and pids to delegate, or no right to",
)


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A group that is marked as systemd marks it."""
    group = ROOT / f"cmdtool-test-{secrets.token_hex(4)}"
    try:
        (ROOT / "cgroup.subtree_control").write_text("+memory +pids")
        group.mkdir()
        os.setxattr(group, "user.delegate", b"1")
    except OSError as exc:
        pytest.skip(f"a container may not have groups of its own: {exc}")
    yield group
    wait_until(lambda: "populated 0" in (group / "cgroup.events").read_text())
    for child in groups_in(group):
        (group / child).rmdir()
    group.rmdir()


class Calls:
    """A server in the group, and the answers to its calls."""

    def __init__(self, folder: Path, group: Path, tools: dict[str, Any]) -> None:
        self.server = Server(folder, manifest=json.dumps({"tools": tools}), prefix=[*ENTER, str(group)])
        self._number = 1

    def __call__(self, tool: str) -> tuple[bool, str]:
        self._number += 1
        self.server.send("tools/call", {"name": tool, "arguments": {}}, self._number)
        result = self.server.receive()["result"]
        return result["isError"], "\n".join(block.get("text", "") for block in result["content"])


Serve: TypeAlias = Callable[..., Calls]
"""Starts a server of the tools that are named."""


@pytest.fixture
def serve(tmp_path: Path, delegated: Path) -> Iterator[Serve]:
    started: list[Calls] = []

    def serve(**tools: dict[str, Any]) -> Calls:
        started.append(Calls(tmp_path, delegated, tools))
        return started[-1]

    yield serve
    for calls in started:
        calls.server.end()


@DELEGATED
@pytest.mark.parametrize("sandbox", [False, True], ids=["plain", "sandboxed"])
def test_a_fork_bomb_never_has_more_processes_than_it_may(
    tmp_path: Path, delegated: Path, serve: Serve, sandbox: bool
) -> None:
    bomb = compiled(tmp_path, "int main() { signal(SIGTERM, SIG_IGN); for (;;) fork(); }")
    call = serve(bomb={"command": [bomb], "limits": {"processes": 50}, "sandbox": sandbox, "grace": "30s"})
    before = time.monotonic()
    is_error, text = call("bomb")
    assert is_error
    assert "processes limit of 50 exceeded: `limits.processes` of tool `bomb`" in text
    assert time.monotonic() - before < 20  # its grace is 30 s
    assert groups_in(delegated) == ["cmdtool"]
    assert subprocess.run(["pgrep", "-f", f"^{bomb}"], check=False).returncode == 1


@DELEGATED
def test_memory_that_two_take_between_two_looks_ends_both(tmp_path: Path, delegated: Path, serve: Serve) -> None:
    program = compiled(tmp_path, f"int main() {{ {takes(90)} }}")
    shell = f"{program} & {program} & wait"
    call = serve(much={"shell": shell, "limits": {"memory": "100MiB"}}, little={"command": ["echo", "well"]})
    is_error, text = call("much")
    assert is_error
    assert "memory limit of 100 MiB exceeded" in text  # by the kernel, or by a look that came just before
    assert groups_in(delegated) == ["cmdtool"]
    assert call("little") == (False, "well")


@DELEGATED
def test_processor_time_that_no_look_could_see_is_counted(serve: Serve) -> None:
    forgotten = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"  # nobody learns the time of the children, wait4(2)
        "while True:\n"
        "    if os.fork() == 0: [None for _ in range(10**5)]; os._exit(0)\n"
        "    try: os.wait()\n"
        "    except ChildProcessError: pass\n"
    )
    command = [sys.executable, "-S", "-c", forgotten]
    call = serve(spin={"command": command, "limits": {"cpu": "2s"}, "timeout": "12s"})
    is_error, text = call("spin")
    assert is_error
    assert "processor time limit of 2s exceeded (" in text


@DELEGATED
def test_a_tool_without_limits_has_no_group_and_one_that_keeps_to_them_leaves_none(
    delegated: Path, serve: Serve
) -> None:
    where = ["cat", "/proc/self/cgroup"]
    limits = {"cpu": "1m", "memory": "1GiB", "processes": 10, "open_files": 50}
    call = serve(free={"command": where}, held={"command": where, "limits": limits})
    name = delegated.name
    assert call("free") == (False, f"0::/{name}/cmdtool")
    is_error, text = call("held")
    assert not is_error
    parent, _, run_id = text.rpartition("/")
    assert (parent, len(run_id)) == (f"0::/{name}", 32)
    assert groups_in(delegated) == ["cmdtool"]


@DELEGATED
def test_a_group_that_others_are_in_too_is_left_alone(tmp_path: Path, delegated: Path, serve: Serve) -> None:
    with subprocess.Popen([*ENTER, str(delegated), "sleep", "300"]) as other:
        wait_until(lambda: str(other.pid) in (delegated / "cgroup.procs").read_text().split())
        call = serve(many={"shell": "for i in 1 2 3 4 5 6; do sleep 60 & done; wait", "limits": {"processes": 3}})
        try:
            is_error, text = call("many")
            assert groups_in(delegated) == []
        finally:
            other.kill()
    assert is_error
    assert "processes limit of 3 exceeded (7)" in text


def test_what_the_kernel_has_refused_is_told(tmp_path: Path) -> None:
    group = ControlGroup(tmp_path / "group", Limits(cpu=1, memory=MIB, processes=5), spare=2)
    assert (tmp_path / "group" / "memory.max").read_text() == str(MIB)
    assert (tmp_path / "group" / "pids.max").read_text() == "7"
    events = {"memory.events": "low 0\noom 0\n", "pids.events": "max 0\n", "cpu.stat": "usage_usec 900000\n"}
    for name, text in events.items():
        (tmp_path / "group" / name).write_text(text)
    assert group.exceeded() is None
    (tmp_path / "group" / "cpu.stat").write_text("usage_usec 1200000\nuser_usec 1\n")
    assert (group.exceeded(), group.refused()) == (Exceeded("cpu", 1, 1.2), None)
    (tmp_path / "group" / "pids.events").write_text("max 3\n")
    assert group.refused() == Exceeded("processes", 5, None)
    (tmp_path / "group" / "memory.events").write_text("low 0\noom 1\n")
    assert group.refused() == Exceeded("memory", MIB, None)


def groups_in(group: Path) -> list[str]:
    return [child.name for child in group.iterdir() if child.is_dir()]
