"""The engine for tasks by itself: how many it takes, what it holds, and what a bug of ours looks like."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cmdtool.engine import BusyError, Engine, Task
from cmdtool.errors import StartError
from cmdtool.host import LocalHost
from cmdtool.model import JSONValue, Tool
from cmdtool.run import Call, RunResult, prepare
from cmdtool.server import jobs
from cmdtool.server.jobs import LocalEngine
from cmdtool.spool import Spool

pytestmark = pytest.mark.anyio


def call(**keys: Any) -> Call:
    tool = Tool.model_validate({"name": "a", "command": ["true"], "folder": "/", "task": "always", **keys})
    return prepare(tool, {}, LocalHost())


UNSPOOLED: dict[str, Any] = {"output": {"spool": False}}


class Work:
    """What the engine runs: nothing, but it takes until `go` is set."""

    def __init__(self) -> None:
        self.go = anyio.Event()
        self.bug: Exception | None = None

    async def run(self, *_: object) -> tuple[RunResult, JSONValue]:
        await self.go.wait()
        if self.bug:
            raise self.bug
        result = RunResult.not_started(StartError("no such program"))
        return result, {"outcome": result.outcome}


@asynccontextmanager
async def working(work: Work, folder: Path) -> AsyncIterator[Engine]:
    engine = LocalEngine(work.run, Spool(folder, "served"))
    with anyio.fail_after(20):
        async with engine.working():
            yield engine


async def over(engine: Engine, task: Task) -> Task:
    while not task.is_over:
        task = await engine.watch(task)
    return task


async def test_a_task_is_the_same_for_whoever_watches_or_asks(tmp_path: Path) -> None:
    work = Work()
    async with working(work, tmp_path) as engine:
        task = await engine.submit(call(), "ann")
        assert await engine.get(task.id, "ann") == task
        assert await engine.get(task.id, "bob") is None
        work.go.set()
        done = await over(engine, task)
        assert (done.status, done.result) == ("completed", {"outcome": "no such program"})
        assert await engine.get(task.id, "ann") == done
        assert await engine.get(task.id, "bob") is None
        assert await engine.watch(task) == done


async def test_too_many_tasks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_TASKS", 2)
    work = Work()
    async with working(work, tmp_path) as engine:
        first, _ = await engine.submit(call(), None), await engine.submit(call(), None)
        with pytest.raises(BusyError, match="2 tasks wait or run already"):
            await engine.submit(call(), None)
        await engine.cancel(first)
        assert (await over(engine, first)).status == "cancelled"
        await engine.submit(call(), None)


async def test_of_results_in_memory_the_newest_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_HELD", 2)
    work = Work()
    work.go.set()
    async with working(work, tmp_path) as engine:
        tasks = [await over(engine, await engine.submit(call(**UNSPOOLED), None)) for _ in range(3)]
        assert [task.status for task in tasks] == ["completed"] * 3
        found = [await engine.get(task.id, None) for task in tasks]
        assert [task and task.status for task in found] == ["failed", "completed", "completed"]


async def test_a_bug_is_told_without_its_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    work.bug = RuntimeError("secret")
    work.go.set()
    async with working(work, tmp_path) as engine:
        failed = await over(engine, await engine.submit(call(), None))
        assert (failed.status, failed.message) == ("failed", "internal error; the server's log says more")
        assert await engine.get(failed.id, None) == failed
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_what_runs_when_the_engine_ends_has_failed(tmp_path: Path) -> None:
    async with working(Work(), tmp_path) as engine:
        task = await engine.submit(call(), None)
    async with working(Work(), tmp_path) as engine:
        failed = await engine.get(task.id, None)
    assert failed
    assert (failed.status, failed.message) == ("failed", "the server ended while this ran")
