"""Carries one call's readings to its sink; the command never waits for it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio

from cmdtool.model import ProgressSpec
from cmdtool.progress import ProgressTracker
from cmdtool.readings import Reading
from cmdtool.sinks.base import Sink


class Reporter:
    """A `ProgressTracker` with a clock and a sink."""

    def __init__(self, spec: ProgressSpec, sink: Sink) -> None:
        self._tracker = ProgressTracker(spec, anyio.current_time())
        self._sink = sink
        self._wake = anyio.Event()
        self._success: bool | None = None

    def offer(self, reading: Reading) -> None:
        """Offer a reading; it goes out soon, or is replaced by a newer one."""
        self._tracker.offer(reading)
        self._wake.set()

    def say(self, message: str) -> None:
        """Offer a message without a number."""
        self._tracker.say(message)
        self._wake.set()

    def hear(self, line: bytes) -> None:
        """Remember a line of output for the next sign of life."""
        self._tracker.hear(line)

    def weigh(self, stages: Mapping[str, float]) -> None:
        """Set the weights of the stages."""
        self._tracker.weigh(stages)

    def expect(self, total: float) -> None:
        """Set the total that a success ends on."""
        self._tracker.expect(total)

    def finish(self, *, success: bool) -> None:
        """Let the newest reading, or the completed total, be the last update."""
        self._success = success
        self._wake.set()

    async def deliver(self) -> None:
        """Send updates until `finish`; the last one is delivered when this returns."""
        while self._success is None:
            if update := self._tracker.take(anyio.current_time()):
                await self._sink.send(update)
                continue
            self._wake = anyio.Event()
            with anyio.move_on_after(self._tracker.wait(anyio.current_time())):
                await self._wake.wait()
        if update := self._tracker.finish(success=self._success, now=anyio.current_time()):
            await self._sink.send(update)


@asynccontextmanager
async def reporting(spec: ProgressSpec, sink: Sink | None) -> AsyncIterator[Reporter | None]:
    """Report to `sink` while the block runs; without a sink there is nothing to report to.

    What the block raises comes out as it is: a task group would put it into an `ExceptionGroup`.
    """
    if sink is None:
        yield None
        return
    reporter, failure = Reporter(spec, sink), None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reporter.deliver)
        try:
            yield reporter
        except Exception as exc:
            failure = exc
            tasks.cancel_scope.cancel()
    if failure:
        raise failure
