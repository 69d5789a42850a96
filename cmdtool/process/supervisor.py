"""Answers for the end of every command that was started."""

import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import anyio

from cmdtool.argv import Invocation
from cmdtool.process.child import Exit, Process
from cmdtool.process.control_group import ControlGroup, take_delegated
from cmdtool.process.start import start_process
from cmdtool.trees import machine
from cmdtool.trees.entry import Entry
from cmdtool.trees.keeper import Keeper
from cmdtool.trees.tree import Tree

logger = logging.getLogger(__name__)

LAST_GRACE: Final = 1.0
"""Seconds a command gets once the server itself must end; a client waits two before it kills the server."""

_UNKILLABLE: Final = 5.0
"""Seconds after SIGKILL until a process that the kernel does not let go of is given up."""

_AT_ONCE: Final = 0.25
"""Seconds that `kill_all` takes at most."""

_NO_SIGNAL: Final = 0
"""What kill(2) only looks with."""

_TRY_AGAIN: Final = 0.25
"""Seconds until a command that could not be ended is ended again."""

_REAPING: Final = 1.0
"""Seconds between two looks for adopted processes that have ended; less while there are many."""

_MANY: Final = 100


def reset_signals() -> None:
    """Unblock all signals and ignore none: a command inherits what this process blocks or ignores (signal(7)).

    SIGPIPE and SIGXFSZ, which Python ignores, are reset for each command by `subprocess`.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class Supervisor:
    """Starts processes and answers for their end; one per server.

    Starting and registering are one step without an await between them, so no cancellation can lose a process.
    """

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._ending: set[Process] = set()
        self._keeper: Keeper | None = None
        self._told: set[tuple[int, int]] = set()
        self._delegated: Path | None = None
        self._groups: list[ControlGroup] = []
        self._kept = Tree([])
        self._endings: set[anyio.CancelScope] = set()
        self._longest_grace = float("inf")

    @asynccontextmanager
    async def guarding(self) -> AsyncIterator[None]:
        """Answer in the block also for what loses its parents, and for the time after this process is killed.

        From then on this process adopts all that its commands orphan (Linux only), and takes every child in a session
        other than its own for such an orphan: nothing else may start sessions here. A keeper ends what is left if this
        process is killed.
        """
        machine.adopt_orphans(True)
        self._delegated = take_delegated()
        self._keeper = Keeper()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._reap_orphans)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self.kill_all()
            self._keeper.close()
            self._keeper = None
            machine.adopt_orphans(False)

    def start(self, invocation: Invocation) -> Process:
        """Start a command, and answer for its end from then on.

        All that it starts inherits the id of the run in its environment.

        Raises:
            StartError: the kernel refused; the message says why.
        """
        run_id = secrets.token_hex(16)
        if self._keeper:
            self._keeper.add(run_id)
        try:
            process = start_process(invocation, run_id, self._delegated)
        except BaseException:
            if self._keeper:
                self._keeper.remove(run_id)
            raise
        self._running.add(process)
        return process

    @asynccontextmanager
    async def running(self, invocation: Invocation, grace: float) -> AsyncIterator[Process]:
        """Start a command that has ended, with all that it started, when the block is left, however it is left.

        Raises:
            StartError: as `start`.
        """
        process = self.start(invocation)
        try:
            yield process
        finally:
            await self.end(process, grace)
            process.close()

    async def end(self, process: Process, grace: float, *, thorough: bool = True) -> Exit:
        """End the process and all it started: SIGTERM and SIGCONT, after `grace` seconds SIGKILL until nobody is left.

        Under a terminal it gets SIGHUP too, as when that goes away. Once begun it goes on to its end, whatever is
        cancelled. Its output can still be read afterwards.

        Args:
            process: a process of this supervisor; one that has ended already is left alone.
            grace: seconds; with none it is killed and not asked first.
            thorough: search the environments of all processes for the run, too. Not needed after a plain success.
        """
        if process in self._running:
            self._ending.add(process)
            with anyio.CancelScope(shield=True):
                await self._end_surely(process, grace, thorough=thorough)
            self._forget(process)
        return process.reap()

    def release(self, process: Process) -> Exit:
        """Let what the process has left in the background live on, also when this process ends; it has exited."""
        if self._claim_orphans(process):
            process.tree.look()
            self._kept.add(process.tree)
            self._tell_keeper(self._orphans() or [])
        self._forget(process)
        return process.reap()

    def hurry(self) -> None:
        """Shorten every grace period, running or to come, to `LAST_GRACE`: the server itself must end."""
        self._longest_grace = LAST_GRACE
        for scope in self._endings:
            scope.deadline = min(scope.deadline, anyio.current_time() + LAST_GRACE)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to all that the commands are now."""
        for process in self._running:
            process.tree.send(process.tree.look(), number)

    def kill_all(self) -> None:
        """Kill all that is not released, within a quarter of a second; it may be called from another thread."""
        everything = Tree([])
        for process in list(self._running):
            everything.add(process.tree)
        everything.claim(self._not_kept([orphan for orphan in self._orphans() or [] if orphan.is_alive]))
        if everything:
            everything.kill(_AT_ONCE)

    def _forget(self, process: Process) -> None:
        if self._keeper and process in self._running:
            self._keeper.remove(process.run_id)
        if process.group:
            self._groups.append(process.group)
            self._remove_groups()
        self._running.discard(process)
        self._ending.discard(process)

    async def _end_surely(self, process: Process, grace: float, *, thorough: bool) -> None:
        """End what is left of a run, as soon as that is possible: to see processes takes a descriptor."""
        while True:
            try:
                if self._is_left(process, thorough=thorough):
                    await self._end_tree(process, grace)
            except OSError as exc:
                logger.warning("a command cannot be ended yet: %s", exc.strerror)
                await anyio.sleep(_TRY_AGAIN)
            else:
                return

    async def _end_tree(self, process: Process, grace: float) -> None:
        tree = process.tree
        if grace > 0:
            process.ask_to_end()
            with self._grace_period(grace):
                pause = 0.001
                while tree.is_alive() or self._is_left(process, thorough=True):
                    await anyio.sleep(pause)
                    pause = min(pause * 2, 0.05)
        quiet = 0
        with anyio.move_on_after(_UNKILLABLE) as patience:
            while quiet < 2:
                self._claim_orphans(process)
                quiet = 0 if tree.strike() else quiet + 1
                await anyio.sleep(0 if quiet else 0.01)
        if patience.cancelled_caught:
            pids = [entry.pid for entry in tree.look()]
            logger.error("processes %s cannot be killed and are given up", pids)

    def _is_left(self, process: Process, *, thorough: bool) -> bool:
        """Return whether anything of the run still runs."""
        claimed = self._claim_orphans(process)
        if claimed == 0 and not thorough and process.has_exited():
            return False  # whatever survives its leader has an ancestor that was adopted here
        return bool(process.tree.look(thorough=thorough or bool(claimed))) or process.tree.catch(_NO_SIGNAL)

    def _claim_orphans(self, process: Process) -> int | None:
        """Let the adopted processes that end with this run belong to it; return how many, None where none are adopted.

        Those that have just ended count too: what has moved on from one of them may be in no list.
        Most bear the mark of their run. One that has lost it may be of any run that went on when it was born; it ends
        with the last of them. So no other run loses a process, and none is left for good.
        """
        orphans = self._orphans()
        if orphans is None:
            return None
        others = self._running - {process}
        spared = self._kept.marks | {other.mark for other in others}
        claimed, lost = [], []
        for orphan in orphans:
            mark = machine.mark_of(orphan.pid)
            if mark == process.mark:
                claimed.append(orphan)
            elif (
                orphan.is_alive
                and mark not in spared
                and all(other.since > orphan.started for other in others - self._ending)
            ):
                lost.append(orphan)
        claimed += self._not_kept(lost)
        process.tree.claim(claimed)
        _wait_for(orphans)
        return len(claimed)

    def _not_kept(self, orphans: list[Entry]) -> list[Entry]:
        """Return those that `release` did not let live on."""
        kept = {entry.pid for entry in self._kept.look()} if orphans and self._kept.marks else set()
        return [orphan for orphan in orphans if orphan.pid not in kept]

    def _orphans(self) -> list[Entry] | None:
        """Return the adopted processes, also those that have ended; None where none are adopted."""
        children = machine.children_of_this_process() if self._keeper else None
        if self._keeper is None or children is None:
            return None
        started = {self._keeper.pid, *(process.session for process in list(self._running))}
        entries = (machine.read_entry(pid) for pid in set(children) - started)
        # What is in this session is no orphan: what a command starts never is.
        orphans = [entry for entry in entries if entry and entry.session != os.getsid(0)]
        if not any(orphan.is_alive for orphan in orphans):
            self._kept = Tree([])
        return orphans

    def _tell_keeper(self, orphans: list[Entry]) -> None:
        """Tell the keeper of the adopted processes, which show it nothing of their run."""
        if self._keeper:
            self._keeper.adopt(self._not_kept([orphan for orphan in orphans if orphan.is_alive]))
        self._told = _alive(orphans)

    def _remove_groups(self) -> None:
        """Remove the groups of runs that have ended, as soon as nothing lives on in them."""
        self._groups = [group for group in self._groups if not group.remove()]

    async def _reap_orphans(self) -> None:
        while True:
            orphans: list[Entry] = []
            with suppress(OSError):  # no descriptor is left to look with: others will be given back
                orphans = self._orphans() or []
                if _alive(orphans) != self._told:
                    self._tell_keeper(orphans)
            _wait_for(orphans)
            self._remove_groups()
            await anyio.sleep(_REAPING if len(orphans) < _MANY else _REAPING / 20)

    @contextmanager
    def _grace_period(self, grace: float) -> Iterator[None]:
        with anyio.move_on_after(min(grace, self._longest_grace)) as scope:
            self._endings.add(scope)
            try:
                yield
            finally:
                self._endings.discard(scope)


def _alive(orphans: list[Entry]) -> set[tuple[int, int]]:
    """Return the pid and the start of those that still run."""
    return {(orphan.pid, orphan.started) for orphan in orphans if orphan.is_alive}


def _wait_for(orphans: list[Entry]) -> None:
    """Wait for those that have ended, each by its pid, so that `subprocess` learns the status of what it started."""
    for orphan in orphans:
        if not orphan.is_alive:
            with suppress(ChildProcessError):
                os.waitpid(orphan.pid, os.WNOHANG)
