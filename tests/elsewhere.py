"""`cmdtool serve --http` with another engine: a second process runs the tasks, and would do so on another machine."""

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from cmdtool.commands.serve import serve
from cmdtool.engine import Task
from cmdtool.run import Call
from cmdtool.server.site import HttpOptions


class Elsewhere:
    """Knows how its tasks stand from the lines that the worker writes."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.changed = anyio.Event()
        self.worker: anyio.abc.Process

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with (
            await anyio.open_process([sys.executable, __file__, "worker"], stderr=None) as self.worker,
            anyio.create_task_group() as group,
        ):
            group.start_soon(self.read)
            yield
            group.cancel_scope.cancel()

    @property
    def under_way(self) -> int:
        return sum(not task.is_over for task in self.tasks.values())

    async def settle(self) -> None:
        while self.under_way:
            await self.changed.wait()

    async def submit(self, call: Call, caller: str | None) -> Task:
        now = time.time()
        task = Task(secrets.token_hex(16), call.tool.name, caller, "working", now, now, ttl=60, poll_interval=0.1)
        self.tasks[task.id] = task
        start = call.invocation
        await self.send(run=task.id, program=start.program, argv=start.argv, env=dict(start.env), cwd=start.cwd)
        return task

    async def get(self, task_id: str, caller: str | None) -> Task | None:
        task = self.tasks.get(task_id)
        return task if task and task.caller == caller else None

    async def watch(self, task: Task) -> Task:
        while self.tasks[task.id] == task and not task.is_over:
            await self.changed.wait()
        return self.tasks[task.id]

    async def cancel(self, task: Task) -> None:
        await self.send(cancel=task.id)

    async def send(self, **request: Any) -> None:
        assert self.worker.stdin
        await self.worker.stdin.send(json.dumps(request).encode() + b"\n")

    async def read(self) -> None:
        assert self.worker.stdout
        lines = BufferedByteReceiveStream(self.worker.stdout)
        with suppress(anyio.IncompleteRead):  # the server ends
            while True:
                self.take(json.loads(await lines.receive_until(b"\n", 1 << 20)))

    def take(self, told: dict[str, Any]) -> None:
        task = replace(self.tasks[told["id"]], message=told.get("line"), updated=time.time())
        if told.get("status", 0) < 0:
            task = replace(task, status="cancelled")
        elif "output" in told:
            result = {"content": [{"type": "text", "text": told["output"]}], "isError": told["status"] > 0}
            task = replace(task, status="completed", result=result)
        self.tasks[task.id] = task
        self.changed.set()
        self.changed = anyio.Event()


def work() -> None:
    """Run and end what standard input asks for; write a line for each that a command prints, and for its end."""
    processes: dict[str, subprocess.Popen[str]] = {}
    writing = threading.Lock()

    def tell(**facts: Any) -> None:
        with writing:
            sys.stdout.write(json.dumps(facts) + "\n")
            sys.stdout.flush()

    def follow(task_id: str, process: subprocess.Popen[str], lines: TextIO) -> None:
        output = ""
        for line in lines:
            output += line
            tell(id=task_id, line=line.strip())
        tell(id=task_id, status=process.wait(), output=output)

    for line in sys.stdin:
        request = json.loads(line)
        if task_id := request.get("cancel"):
            processes[task_id].terminate()
            continue
        process = processes[request["run"]] = subprocess.Popen(
            request["argv"],
            executable=request["program"],
            env=request["env"],
            cwd=request["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        threading.Thread(target=follow, args=(request["run"], process, process.stdout)).start()


if __name__ == "__main__":
    if "worker" in sys.argv:
        work()
    else:
        serve([Path("tools.yaml")], None, HttpOptions("0"), engine=Elsewhere())
