"""Plays a case: a server for itself, its act, and what must hold whatever a program does."""

import math
import os
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import yaml
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from tests.hostile import proc
from tests.hostile.case import Case
from tests.hostile.stage import TOOL, Stage, Wire, compile_program, serve
from tests.serving import text_of

PROGRAMS = Path(__file__).parent / "programs"

NAMESPACE = os.readlink("/proc/self/ns/pid")

MOST_A_SECOND = 12
"""Notifications: ten are promised, and two may have been late."""

LARGEST_RESULT = 80_000
"""Characters: 64 KiB of output, and what is said about it."""

_SILENCE = 0.2
"""Seconds without a sign of life after which a command is dead."""

_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""What no text that leaves the server may hold."""


@dataclass(frozen=True)
class Figures:
    """What was measured: times in seconds, memory in MB."""

    took: float
    growth: float | None
    dead_after: float
    longest_answer: float
    notifications: int
    most_a_second: int
    descriptors_before: int | None
    descriptors_after: int | None


async def play(case: Case, folder: Path, binaries: Path) -> Figures:
    """Play a case in `folder`, whose path is its mark, and return the figures.

    Raises:
        AssertionError: something does not hold.
    """
    mark = str(folder)
    own = folder.parent / "server"
    own.mkdir()
    manifest = own / "tools.yaml"
    text = yaml.safe_dump(_manifest(case, mark, binaries), allow_unicode=True, width=math.inf)
    places = {"@folder": mark, "@own": own, "@programs": PROGRAMS, "@binaries": binaries, "@namespace": NAMESPACE}
    for name, place in places.items():
        text = text.replace(name, str(place))
    manifest.write_text(text)
    env = {"XDG_STATE_HOME": str(own), "XDG_CACHE_HOME": str(own), **case.env}
    try:
        async with serve(manifest, case.prefix, env, own / "log") as server:
            wire = Wire(server)
            async with Client(wire.transport(), cache=None) as client:
                return await _play(case, Stage(client, wire, server, folder, mark))
    except Exception as exc:
        failure = _first(exc)
        failure.add_note(f"log of the server:\n{(own / 'log').read_text('utf-8', 'replace')[-2000:]}")
        raise failure from None
    finally:
        for pid in proc.marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _manifest(case: Case, mark: str, binaries: Path) -> dict[str, Any]:
    source = PROGRAMS / case.program
    command = {
        ".c": lambda: [str(compile_program(source, binaries))],
        ".py": lambda: [sys.executable, "-S", str(source)],
        ".sh": lambda: ["bash", str(source)],
    }[source.suffix]()
    tool = {
        "command": [*command, *case.args],
        "cwd": mark,
        "grace": "500ms",
        "timeout": "100s",
        **case.keys,
        "env": {"HOSTILE_MARK": mark, **case.keys.get("env", {})},
    }
    return {**case.file, "tools": {TOOL: tool, "sane": {"command": ["echo", "sane"]}}}


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


async def _play(case: Case, stage: Stage) -> Figures:
    await _assert_sane(stage)  # so that what is loaded once is loaded
    pid = stage.server.pid
    size, _ = proc.memory(pid)
    descriptors = proc.descriptors(pid)
    answers = _Answers()
    begun = time.monotonic()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answers.ask, stage)
        with anyio.fail_after(110):
            result = await case.act(stage)
        took, told = time.monotonic() - begun, len(stage.seen.updates)
        dead_after = await _until_dead(stage, case.dead_in)
        tasks.cancel_scope.cancel()
    lives = stage.server.returncode is None
    growth = proc.memory(pid)[1] - size if lives else None
    if lives:
        await _assert_sane(stage)
        descriptors_after = await _settled(pid, descriptors)
        assert await _without_zombies(pid), f"zombies {proc.zombies(pid)}"
        assert not _are_more(descriptors_after, descriptors), "the server has kept descriptors"
    assert len(stage.seen.updates) == told, "progress after the result or the cancel"
    figures = Figures(
        took,
        growth,
        dead_after,
        max(answers.times, default=0),
        told,
        stage.seen.most_in_a_second(),
        descriptors,
        descriptors_after if lives else None,
    )
    assert growth is None or growth <= case.growth, figures
    assert figures.longest_answer <= case.answers_in, figures
    _assert_progress(stage)
    _assert_result(case, stage, result)
    if case.check:
        case.check(stage, result)
    return figures


class _Answers:
    """How long other requests take meanwhile."""

    def __init__(self) -> None:
        self.times: list[float] = []

    async def ask(self, stage: Stage) -> None:
        with suppress(MCPError):  # the server was ended
            while True:
                begun = time.monotonic()
                await stage.client.list_tools()
                if not stage.wire.has_stopped:
                    self.times.append(time.monotonic() - begun)
                await anyio.sleep(0.1)


async def _assert_sane(stage: Stage) -> None:
    with anyio.fail_after(10):
        result = await stage.client.call_tool("sane", {})
    assert text_of(result) == "sane"


async def _until_dead(stage: Stage, seconds: float) -> float:
    """Return when the last of the command was seen alive, counted from the end of the call."""
    last = time.monotonic() if stage.server.returncode is not None else stage.ended_at
    beat, quiet_until = stage.beat(), time.monotonic() + _SILENCE
    while time.monotonic() < quiet_until:
        before, beat = beat, stage.beat()
        if (living := stage.living()) or beat != before:
            last = time.monotonic()
            quiet_until = last + _SILENCE
            assert last < stage.ended_at + seconds, f"alive after {seconds} s: {sorted(living)}"
        await anyio.sleep(0.02)
    assert last < stage.ended_at + seconds, f"the server ended after {last - stage.ended_at:.1f} s"
    return last - stage.ended_at


def _are_more(now: int | None, before: int | None) -> bool:
    return now is not None and before is not None and now > before


async def _settled(pid: int, descriptors: int | None) -> int | None:
    """Return the number of descriptors once it is no more than `descriptors`, or two seconds later."""
    with anyio.move_on_after(2):
        while _are_more(proc.descriptors(pid), descriptors):  # noqa: ASYNC110 - another process closes them
            await anyio.sleep(0.02)
    return proc.descriptors(pid)


async def _without_zombies(pid: int) -> bool:
    with anyio.move_on_after(2):
        while proc.zombies(pid):  # noqa: ASYNC110 - another process reaps them
            await anyio.sleep(0.02)
    return not proc.zombies(pid)


def _assert_progress(stage: Stage) -> None:
    seen = stage.seen
    if stage.calls > 1:  # each call has its own
        return
    seen.assert_increasing()
    assert all(map(math.isfinite, seen.values))
    assert all(total is None or value <= total for value, total, _ in seen.updates), seen.updates
    assert stage.wire.has_stopped or seen.most_in_a_second() <= MOST_A_SECOND  # what has waited comes at once
    assert not any(_UNSHOWN.search(message) for message in seen.messages if message), seen.messages


def _assert_result(case: Case, stage: Stage, result: CallToolResult | None) -> None:
    if result is None:
        assert case.ended_by is None
        return
    text = text_of(result)
    facts = (result.meta or {})["cmdtool/run"]
    shown = text if len(text) < 2000 else f"{text[:1000]} ... {text[-1000:]}"
    assert facts["ended_by"] == case.ended_by, (facts, shown)
    assert result.is_error is case.fails, (facts, shown)
    assert case.status in (None, facts.get("exit_status", facts.get("signal"))), (facts, shown)
    assert len(text) <= LARGEST_RESULT
    assert not _UNSHOWN.search(text), shown
    for pattern in case.says:
        assert re.search(pattern, text), (pattern, shown)
    for pattern in case.hides:
        assert not any(re.search(pattern, words or "") for words in (text, *stage.seen.messages)), (pattern, shown)
    updates = stage.seen.updates
    if case.fails:
        assert not updates or updates[-1][0] != updates[-1][1], "complete, though it has failed"
