"""A control group for each run with limits, where one is delegated to this process: the kernel holds a run as a whole.

The interface is version 2 of cgroups(7), as the kernel's Documentation/admin-guide/cgroup-v2.rst describes it.
Delegated is what systemd marks so for a unit with `Delegate=yes` (systemd's CGROUP_DELEGATION); all else has another
owner.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cmdtool.model import Limits
from cmdtool.process.exceeded import Exceeded

logger = logging.getLogger(__name__)

_CONTROLLERS: Final = {"memory", "pids"}
_MARKS: Final = ("user.delegate", "trusted.delegate")
_OWN_LEAF: Final = "cmdtool"


class ControlGroup:
    """The group of one run; all that the run starts is born in it."""

    def __init__(self, path: Path, limits: Limits, *, spare: int = 0) -> None:
        """Make it.

        Args:
            path: where; it does not exist.
            limits: its `memory` and `processes` are set, so that the kernel refuses what goes beyond.
            spare: processes that do not count, as those of a sandbox.

        Raises:
            OSError: the kernel refused.
        """
        self._path = path
        self._limits = limits
        path.mkdir()
        try:
            if limits.memory is not None:
                (path / "memory.max").write_text(str(limits.memory))
                (path / "memory.oom.group").write_text("1")
                with suppress(FileNotFoundError):  # a kernel without swap
                    (path / "memory.swap.max").write_text("0")
            if limits.processes is not None:
                (path / "pids.max").write_text(str(limits.processes + spare))
        except OSError:
            self.remove()
            raise

    @property
    def entrance(self) -> str:
        """The file by which a process joins, with all that it starts from then on: it writes its pid, or 0."""
        return str(self._path / "cgroup.procs")

    def refused(self) -> Exceeded | None:
        """Return the limit beyond which the kernel has refused something: killed all for it, or let a fork fail."""
        if self._limits.memory is not None and _number(self._path / "memory.events", "oom"):
            return Exceeded("memory", self._limits.memory, None)
        if self._limits.processes is not None and _number(self._path / "pids.events", "max"):
            return Exceeded("processes", self._limits.processes, None)
        return None

    def exceeded(self) -> Exceeded | None:
        """Return the limit that was refused to be exceeded, or processor time of which all in it has used too much."""
        if self._limits.cpu is not None:
            seconds = _number(self._path / "cpu.stat", "usage_usec") / 1e6
            if seconds > self._limits.cpu:
                return Exceeded("cpu", self._limits.cpu, seconds)
        return self.refused()

    def remove(self) -> bool:
        """Remove it and return True, unless something lives on in it."""
        try:
            self._path.rmdir()
        except OSError:
            return False
        return True


def take_delegated() -> Path | None:
    """Return the group that is delegated to this process, ready for groups of runs in it; None if there is none.

    A group has either processes or groups with limits, so this process moves to one beside those of its runs.
    """
    base = _own()
    if base is None or not _is_marked(base):
        return None
    leaf = base / _OWN_LEAF
    try:
        if not set((base / "cgroup.controllers").read_text().split()) >= _CONTROLLERS:
            return None
        if (base / "cgroup.procs").read_text().split() != [str(os.getpid())]:
            logger.info("limits are only sampled: other processes are in %s too", base)
            return None
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        (base / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(_CONTROLLERS)))
    except OSError as exc:
        logger.warning("limits are only sampled: %s is delegated, but cannot be used: %s", base, exc.strerror)
        return None
    logger.info("limits are held by control groups in %s", base)
    return base


def _is_marked(group: Path) -> bool:
    for mark in _MARKS:
        with suppress(OSError):
            if os.getxattr(group, mark) == b"1":
                return True
    return False


def _own() -> Path | None:
    """Return the group of this process in the hierarchy of version 2, None where there is none."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return None
    name = next((line.removeprefix("0::") for line in groups if line.startswith("0::")), None)
    mount = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    return Path(mount + name) if mount and name else None


def _number(file: Path, key: str) -> int:
    """Return a value of a flat keyed file of the kernel."""
    return int(dict(line.split() for line in file.read_text().splitlines())[key])
