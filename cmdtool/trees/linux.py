"""The processes of a Linux machine: one pass over /proc (proc(5)), and the mark of a run that each of them bears.

A mark is a value of the soft RLIMIT_RTTIME that nobody reaches (above 2**62 microseconds). Children inherit it, across
execve too (setrlimit(2)), and losing it takes a purpose: a process that daemonizes, makes a session of its own and
clears its environment still bears it. The id in the environment stands beside it, where the limit may not be set.
"""

import ctypes
import os
import resource
import signal
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

from cmdtool.trees.entry import MARK, RUN_ID, Entry, mark_of_run

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_VARIABLE: Final = f"{RUN_ID}=".encode()
_BLOCK: Final = 1 << 16
_NEWEST: Final = 8
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36


def clock() -> int:
    """Return the time as start times are told: in clock ticks since boot."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def read_all() -> Iterator[Entry]:
    """Yield all processes, each as it is when its turn comes."""
    return filter(None, (read_entry(int(name)) for name in os.listdir("/proc") if name.isdigit()))


def read_entry(pid: int) -> Entry | None:
    """Return one process, None if there is none."""
    stat = _read(f"/proc/{pid}/stat")
    fields = stat[stat.rfind(b")") + 2 :].split()  # the name before them may hold anything
    if not fields:
        return None
    # A process whose first thread has ended looks like a zombie; its other threads go on.
    is_alive = fields[0] not in b"ZX" or int(fields[17]) > 1
    parent, group, session = map(int, fields[1:4])
    return Entry(
        pid,
        parent,
        group,
        session,
        started=int(fields[19]),
        is_alive=is_alive,
        cpu=sum(map(int, fields[11:13])) / _TICKS,
        waited_cpu=sum(map(int, fields[13:15])) / _TICKS,
        memory=int(fields[21]) * _PAGE,
    )


def proportional_memory(pid: int) -> int | None:
    """Return the bytes of resident memory of a process, what it shares divided by those who share it; None if hidden.

    The kernel looks at every page for it.
    """
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None


@contextmanager
def marking(mark: int) -> Iterator[None]:
    """Let what is started in the block bear the mark, unless a limit of the person's own would be lost by it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    if hard != resource.RLIM_INFINITY or 0 <= soft < MARK:
        yield
        return
    resource.setrlimit(resource.RLIMIT_RTTIME, (mark, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))


def mark_of(pid: int, *, look_into_environment: bool = True) -> int | None:
    """Return the mark that a process bears, None if it has none or is another user's."""
    with suppress(OSError):
        soft = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
        if soft >= MARK:
            return soft
    if look_into_environment:
        for variable in _read(f"/proc/{pid}/environ").split(b"\0"):
            if variable.startswith(_VARIABLE):
                with suppress(ValueError):
                    return mark_of_run(variable[len(_VARIABLE) :].decode())
    return None


def children_of_this_process() -> list[int]:
    """Return the pids of its children, zombies too.

    Nobody leaves this list but by being waited for here, so none is overlooked (proc(5), /proc/pid/task/tid/children).
    """
    threads = os.listdir("/proc/self/task")
    if not os.path.exists(f"/proc/self/task/{threads[0]}/children"):  # the kernel was built without it
        return [entry.pid for entry in read_all() if entry.parent == os.getpid()]
    children = []
    for thread in threads:
        with suppress(OSError), open(f"/proc/self/task/{thread}/children", "rb") as file:
            children += file.read().split()
    return [*map(int, children)]


def send(entry: Entry, *numbers: signal.Signals) -> None:
    """Send signals to this process and to none that has come to its pid since."""
    with suppress(OSError):  # it has ended, or is another user's
        process = os.pidfd_open(entry.pid)
        try:
            now = read_entry(entry.pid)
            if now and now.started == entry.started:
                for number in numbers:
                    signal.pidfd_send_signal(process, number)
        finally:
            os.close(process)


def newest_pids() -> range:
    """Return the pids that were given last, the newest first, whether or not they are still anybody's (proc(5))."""
    newest = int(_read("/proc/loadavg").split()[-1])
    return range(newest, max(newest - _NEWEST, 0), -1)


def send_to_marked(pid: int, marks: Set[int], number: int) -> bool:
    """Send a signal to a process if it runs and bears one of the marks; return whether that was so."""
    with suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            is_marked = mark_of(pid, look_into_environment=False) in marks
            if is_marked and (entry := read_entry(pid)) and entry.is_alive:
                signal.pidfd_send_signal(process, number)
                return True
        finally:
            os.close(process)
    return False


def memory_file() -> BinaryIO:
    """Return a file that has no name and lies on no disk (memfd_create(2))."""
    return open(os.memfd_create("cmdtool"), "r+b")


def adopt_orphans(enabled: bool) -> None:
    """Let this process become the parent of whatever loses its own among its descendants, or no longer."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(enabled))


def forbid_tracing() -> None:
    """Close this process to others of the same user: its memory, and its descriptors in /proc.

    A command can then neither trace the server nor write to its client through /proc/PID/fd (ptrace(2), prctl(2)). Root
    still can, and signals are not held back. What is started from here is not affected.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _read(path: str) -> bytes:
    """Return what a file of /proc holds, nothing if the process has gone or is another user's."""
    blocks: list[bytes] = []
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while len(blocks) == 0 or len(blocks[-1]) == _BLOCK:  # short of it is the end, here
                blocks.append(os.read(file, _BLOCK))
        finally:
            os.close(file)
    except OSError:
        pass
    return b"".join(blocks)
