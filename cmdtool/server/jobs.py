"""The engine that runs tasks in this process; what has ended is kept in the spool, so that it outlives the server."""

import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias

import anyio
from anyio.abc import TaskGroup, TaskStatus

from cmdtool.engine import BusyError, Task
from cmdtool.model import JSONValue
from cmdtool.reporter import Reporter, reporting
from cmdtool.run import Call, RunResult
from cmdtool.server.drain import Tally
from cmdtool.sinks.status import StatusSink
from cmdtool.spool import Record, RunOutput, Spool, TaskTerms

logger = logging.getLogger(__name__)

MOST_TASKS: Final = 250
"""Tasks that may wait or run at once; each holds its folder in the spool open."""

MOST_HELD: Final = 100
"""Results held in memory because they may not, or cannot, be written; the oldest one goes first."""

_WHY_FAILED: Final = {
    "server": "the server ended while this ran",
    "error": "internal error; the server's log says more",
}
_NOT_KEPT: Final = "the command has ended, but its result was not kept"

Run: TypeAlias = Callable[[Call, str | None, Reporter | None, RunOutput], Awaitable[tuple[RunResult, JSONValue]]]
"""Runs a call for a caller, in its turn, to its end; returns also what is kept of the result: masked and cleaned."""


@dataclass(eq=False, slots=True)
class _Job:
    call: Call
    output: RunOutput
    task: Task
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_unwanted: bool = False
    changed: anyio.Event = field(default_factory=anyio.Event)

    def become(self, task: Task) -> None:
        self.task = task
        self.changed.set()
        self.changed = anyio.Event()


class LocalEngine:
    """Runs tasks beside the calls of this server, in the same slots.

    A task has its folder in the spool before anybody learns its id. What goes wrong with the disk fails no task: its
    result is then held in memory, as is that of a tool whose output must not be on the disk.
    """

    def __init__(self, run: Run, spool: Spool) -> None:
        self._run = run
        self._spool = spool
        self._jobs: dict[str, _Job] = {}
        self._held: dict[str, Task] = {}
        self._group: TaskGroup
        self._under_way = Tally()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Tasks can be submitted during the block; those under way at its end are ended with it, and failed."""
        async with anyio.create_task_group() as self._group:
            try:
                yield
            finally:
                self._group.cancel_scope.cancel()

    @property
    def under_way(self) -> int:
        """How many tasks wait or run."""
        return self._under_way.count

    async def settle(self) -> None:
        """Wait until none does."""
        await self._under_way.none()

    async def submit(self, call: Call, caller: str | None) -> Task:
        """Begin a task, as `Engine` says."""
        if len(self._jobs) >= MOST_TASKS:
            raise BusyError(f"{MOST_TASKS} tasks wait or run already; wait until some have ended")
        keys = call.tool.task
        terms = TaskTerms(ttl=keys.ttl, poll_interval=keys.poll_interval)
        output = self._spool.begin(secrets.token_hex(16), call.tool.name, caller, terms)
        output.open()
        job = _Job(call, output, _task(output.record))
        self._jobs[job.task.id] = job
        with anyio.CancelScope(shield=True):  # a client that hangs up now must not leave half a task
            await self._group.start(self._work, job)
        return job.task

    async def get(self, task_id: str, caller: str | None) -> Task | None:
        """Return a task, as `Engine` says; also one of an earlier server of the same manifest files."""
        job = self._jobs.get(task_id)
        task = job.task if job else self._held.get(task_id)
        if task is None:
            task = await anyio.to_thread.run_sync(self._read, task_id, caller)
        has_expired = task and task.is_over and self._spool.now() - task.updated > task.ttl
        return None if task is None or has_expired or task.caller != caller else task

    async def watch(self, task: Task) -> Task:
        """Wait for a change, as `Engine` says."""
        job = self._jobs.get(task.id)
        if job is None:  # it has ended meanwhile
            return await self.get(task.id, task.caller) or _failed(task, self._spool.now(), _NOT_KEPT)
        if job.task == task:
            await job.changed.wait()
        return job.task

    async def cancel(self, task: Task) -> None:
        """Ask for its end, as `Engine` says."""
        if job := self._jobs.get(task.id):
            job.is_unwanted = True
            job.scope.cancel()

    async def _work(self, job: _Job, *, task_status: TaskStatus[None]) -> None:
        with self._under_way.one(), job.scope:
            task_status.started()
            call = job.call
            try:
                async with reporting(call.tool.progress, StatusSink(partial(self._say, job))) as reporter:
                    result, answer = await self._run(call, job.task.caller, reporter, job.output)
                    if reporter:
                        reporter.finish(success=result.success)
                if job.output.record.ended is None:  # nothing was started, or its output is not to be kept
                    ends = (result.exit.status, result.exit.signal) if result.exit else (None, None)
                    job.output.finish(result.ended_by, *ends)
                self._end(job, _encode(answer) if call.tool.output.spool else None, answer)
            except anyio.get_cancelled_exc_class():
                job.output.finish("cancel" if job.is_unwanted else "server")
                self._end(job)
                raise
            except Exception:
                logger.exception("a task of %s failed; please report this", call.tool.name)
                job.output.finish("error")
                self._end(job)

    def _say(self, job: _Job, line: str) -> None:
        job.become(replace(job.task, message=line, updated=self._spool.now()))

    def _end(self, job: _Job, kept: bytes | None = None, result: JSONValue = None) -> None:
        """Let go of a job once its end is kept: at no moment is the task unknown, or not what it was."""
        task = _ended(job.output.record, result)
        if not job.output.close(kept) or (kept is None and result is not None):
            self._held[task.id] = task
            if len(self._held) > MOST_HELD:
                del self._held[next(iter(self._held))]
        del self._jobs[task.id]
        job.become(task)

    def _read(self, task_id: str, caller: str | None) -> Task | None:
        record = self._spool.find(task_id, caller)
        return _ended(record, _decode(self._spool.result(record))) if record and record.task and record.ended else None


def _task(record: Record) -> Task:
    """Return the task of a run as if that still went on."""
    assert record.task is not None
    times = (record.started, record.ended or record.started)
    return Task(record.id, record.tool, record.caller, "working", *times, record.task.ttl, record.task.poll_interval)


def _ended(record: Record, result: JSONValue) -> Task:
    """Return the task of a run that has ended, with its result, if there is one."""
    task = _task(record)
    if record.ended_by == "cancel":
        return replace(task, status="cancelled")
    if result is not None:
        return replace(task, status="completed", result=result)
    return _failed(task, task.updated, _WHY_FAILED.get(record.ended_by or "", _NOT_KEPT))


def _failed(task: Task, ended: float, why: str) -> Task:
    return replace(task, status="failed", updated=ended, message=why)


def _encode(result: JSONValue) -> bytes:
    return json.dumps(result).encode()


def _decode(data: bytes | None) -> JSONValue:
    """Return a result that was kept; None if there is none, or the machine went down while it was written."""
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None
