"""The same as `linux`, as far as psutil can tell it on another Unix.

Nobody there can be made the parent of orphans, and there is no limit to mark a run with. Its processes are known by
session, group and descent, and by the id in their environment.
"""

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from typing import BinaryIO

import psutil

from cmdtool.trees.entry import RUN_ID, Entry, mark_of_run

_MICROSECONDS = 1e6


def clock() -> int:
    return int(time.time() * _MICROSECONDS)


def read_all() -> Iterator[Entry]:
    return filter(None, map(read_entry, psutil.pids()))


def read_entry(pid: int) -> Entry | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            parent, status, started = process.ppid(), process.status(), process.create_time()
            group, session = os.getpgid(pid), os.getsid(pid)
            cpu, waited_cpu, memory = 0.0, 0.0, 0
            with suppress(psutil.AccessDenied, psutil.ZombieProcess):
                times = process.cpu_times()
                cpu, waited_cpu, memory = sum(times[:2]), sum(times[2:4]), process.memory_info().rss
    except (psutil.Error, OSError):
        return None
    is_alive = status != psutil.STATUS_ZOMBIE
    return Entry(pid, parent, group, session, int(started * _MICROSECONDS), is_alive, cpu, waited_cpu, memory)


def proportional_memory(pid: int) -> int | None:
    return None


@contextmanager
def marking(mark: int) -> Iterator[None]:
    yield


def mark_of(pid: int, *, look_into_environment: bool = True) -> int | None:
    if look_into_environment:
        with suppress(psutil.Error, OSError, ValueError):
            run_id = psutil.Process(pid).environ().get(RUN_ID)
            return mark_of_run(run_id) if run_id else None
    return None


def children_of_this_process() -> list[int] | None:
    return None


def send(entry: Entry, *numbers: signal.Signals) -> None:
    now = read_entry(entry.pid)
    if now and now.started == entry.started:
        for number in numbers:
            with suppress(OSError):
                os.kill(entry.pid, number)


def newest_pids() -> range:
    return range(0)


def send_to_marked(pid: int, marks: Set[int], number: int) -> bool:
    return False


def memory_file() -> BinaryIO:
    return tempfile.TemporaryFile()


def adopt_orphans(enabled: bool) -> None:
    pass


def forbid_tracing() -> None:
    pass
