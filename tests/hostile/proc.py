"""What /proc says of processes: read here anew, so that the suite shares no code with what it tests."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError)


def pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def marked(mark: str) -> set[int]:
    """Return the living processes that have `mark` in their environment, argv, or working directory."""
    return {pid for pid in pids() if is_alive(pid) and _has(pid, mark.encode())}


def _has(pid: int, mark: bytes) -> bool:
    for name in ("environ", "cmdline"):
        with suppress(*GONE):
            if mark in Path(f"/proc/{pid}/{name}").read_bytes():
                return True
    with suppress(*GONE):
        return mark in os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
    return False


def stat(pid: int) -> list[str]:
    """Return the fields of stat(5) from the third, `state`, on; empty for a process that is gone."""
    with suppress(*GONE):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return []


def is_alive(pid: int) -> bool:
    return (stat(pid) or "X")[0] not in "XZ"


def program(pid: int) -> str:
    """Return the name of the file that a process runs; empty where it cannot be known."""
    with suppress(*GONE):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    return ""


def zombies(parent: int) -> list[int]:
    return [pid for pid in pids() if (fields := stat(pid)) and fields[0] == "Z" and fields[1] == str(parent)]


def memory(pid: int) -> tuple[float, float]:
    """Return what a process has in memory now, and had at most, in MB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(lines[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return now, most


def cpu(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICK


def descriptors(pid: int) -> int | None:
    """Return how many a process has open; None where the kernel does not tell (PR_SET_DUMPABLE, unless root asks)."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return None
