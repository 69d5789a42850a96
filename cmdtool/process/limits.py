"""What a run may use: limits that the kernel holds each process to, and a watch on what all of them use together.

Where a control group holds the run, the watch only tells what the kernel has refused, and what else it could not hold.
"""

import math
import resource
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import anyio

from cmdtool.model import Limits
from cmdtool.process.child import Process
from cmdtool.process.exceeded import Exceeded
from cmdtool.trees import machine
from cmdtool.trees.entry import Entry

Rlimit: TypeAlias = tuple[int, int, int]
"""The number of a resource, its soft limit and its hard limit, setrlimit(2)."""

SAMPLE: Final = 0.25
"""Seconds between two looks at what a run uses."""

_LAST_SECONDS: Final = 5
"""Seconds of processor time between SIGXCPU, which a process may ignore, and SIGKILL."""

_LARGEST: Final = (1 << 63) - 1


def rlimits(limits: Limits) -> Iterator[Rlimit]:
    """Yield the limits of each process. Those of `cpu` and `memory` only hold what a sample would see too late.

    RLIMIT_DATA counts what is private and writable, used or not; RLIMIT_AS would also count what many programs only
    reserve, such as Go, Java and all that use sanitizers. Threads' stacks are in it in full, so it is twice `memory`.
    There is none for `processes`: RLIMIT_NPROC counts all that the user runs, and does not hold root.
    """
    if limits.cpu is not None:
        seconds = min(math.ceil(limits.cpu) + 1, _LARGEST - _LAST_SECONDS)
        yield resource.RLIMIT_CPU, seconds, seconds + _LAST_SECONDS
    for kind, most in (
        (resource.RLIMIT_DATA, limits.memory and 2 * limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
    ):
        if most is not None:
            yield kind, min(most, _LARGEST), min(most, _LARGEST)


async def watch(process: Process, limits: Limits) -> Exceeded | None:
    """Wait until a process has exited or its run uses more than it may; return the limit, None after the exit."""
    if not limits.hold_a_run:
        await process.exited()
        return None
    meter = Meter(limits)
    group = process.group
    exceeded = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_after, process, tasks.cancel_scope)
        while exceeded is None:
            await anyio.sleep(SAMPLE)
            with suppress(OSError):  # no descriptor is left to look with: others will be given back
                exceeded = (group and group.exceeded()) or meter.exceeded(process.processes())
        tasks.cancel_scope.cancel()
    if exceeded is None and group:
        with suppress(OSError):
            return group.refused()
    return exceeded


async def _cancel_after(process: Process, scope: anyio.CancelScope) -> None:
    """Wait for the exit once, not anew after each look: without pidfds each wait takes a thread to its end."""
    await process.exited()
    scope.cancel()


class Meter:
    """Adds up what the processes of a run use, from one sample to the next.

    Processor time is never counted twice, but what a process used after the last sample that saw it is lost when its
    parent does not wait for it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._own: dict[tuple[int, int], float] = {}
        self._gone = 0.0

    def exceeded(self, entries: Sequence[Entry]) -> Exceeded | None:
        """Return the limit that is exceeded by these processes, all that the run has now."""
        limits = self._limits
        if limits.processes is not None and len(entries) > limits.processes:
            return Exceeded("processes", limits.processes, len(entries))
        if limits.memory is not None and (used := _memory(entries, limits.memory)) > limits.memory:
            return Exceeded("memory", limits.memory, used)
        if limits.cpu is not None and (seconds := self._cpu(entries)) > limits.cpu:
            return Exceeded("cpu", limits.cpu, seconds)
        return None

    def _cpu(self, entries: Sequence[Entry]) -> float:
        """Return the larger of two sums, neither of which holds all: of those that ended, one has the time of those
        that were waited for by one that lives, the other of those that were seen."""
        own = {(entry.pid, entry.started): entry.cpu for entry in entries}
        self._gone += sum(seconds for key, seconds in self._own.items() if key not in own)
        self._own = own
        seen = sum(own.values())
        return max(seen + sum(entry.waited_cpu for entry in entries), seen + self._gone)


def _memory(entries: Sequence[Entry], limit: int) -> int:
    """Return the bytes of resident memory, those that several processes share counted once where that matters.

    It takes long to tell what is shared, so nobody asks while the plain sum is within the limit. A part of those that
    end meanwhile is counted again with each that goes on, so what is too much must be so twice.
    """
    total = sum(entry.memory for entry in entries)
    for _ in range(2):
        if total > limit:
            total = min(total, sum(map(_proportional_memory, entries)))
    return total


def _proportional_memory(entry: Entry) -> int:
    proportional = machine.proportional_memory(entry.pid)
    if proportional is None:  # it is another user's, or has ended
        now = machine.read_entry(entry.pid)
        return now.memory if now else 0
    return proportional
