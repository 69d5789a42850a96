"""All processes of one or more runs: found wherever they went, and killed."""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from cmdtool.trees import machine
from cmdtool.trees.entry import Entry, mark_of_run

_PASSES: Final = 10
"""How often new processes are looked for and stopped before all that were found are killed."""

_TRIES: Final = 50
"""How often the newest processes are looked at: a millisecond or two in all."""

_OUTSIDE: Final = 0
"""The session and group of those whose leader is in another pid namespace, and of the kernel's own."""


class Tree:
    """The processes of runs: their sessions and groups, all descendants, and whatever bears the mark of a run.

    One that was seen to belong stays known, with its session and group, so that it is still found when its parent has
    ended. Never part of a tree are this process, its session and its group.
    """

    def __init__(self, run_ids: Iterable[str], leader: int | None = None, since: int = 0) -> None:
        """A tree of runs that began at `since`; `leader` leads the session of one, and has not been waited for."""
        self.marks = set(map(mark_of_run, run_ids))
        self._since = since
        self._leader = leader
        self._known: dict[int, int] = {}
        self._sessions = {leader} if leader else set()
        self._groups = set(self._sessions)

    def __bool__(self) -> bool:
        return bool(self.marks or self._known)

    def add(self, other: "Tree") -> None:
        """Take in all that another tree knows."""
        self.marks |= other.marks
        self._known |= other._known
        self._sessions |= other._sessions
        self._groups |= other._groups

    def claim(self, entries: Iterable[Entry]) -> None:
        """Take in processes that nothing in themselves shows to belong."""
        self._known |= {entry.pid: entry.started for entry in entries}

    def look(
        self, *, thorough: bool = True, zombies: bool = False, on_sight: signal.Signals | None = None
    ) -> list[Entry]:
        """Return the processes that run now, and `zombies`, which nobody has waited for yet, if asked.

        Unless the look is `thorough`, the environments of processes are not read, which is what takes most of the time.
        The signal `on_sight` is sent to each as soon as it is seen to belong: one that forks and exits all the time has
        moved on when the look is over. Looks from several threads do not disturb each other.
        """
        own = os.getpid()
        table: dict[int, Entry] = {}
        todo = []
        for entry in machine.read_all():
            table[entry.pid] = entry
            if entry.pid != own and self._shows(entry, thorough):
                todo.append(entry)
                if on_sight and entry.is_alive:
                    machine.send(entry, on_sight)
        others_sessions, others_groups = {_OUTSIDE, os.getsid(0)}, {_OUTSIDE, os.getpgrp()}
        children, sessions, groups = defaultdict(list), defaultdict(list), defaultdict(list)
        for entry in table.values():
            children[entry.parent].append(entry)
            sessions[entry.session].append(entry)
            groups[entry.group].append(entry)
        found: dict[int, Entry] = {}
        seen_sessions, seen_groups = set(others_sessions), set(others_groups)
        while todo:
            entry = todo.pop()
            if entry.pid in found or entry.pid == own:
                continue
            found[entry.pid] = entry
            todo += children[entry.pid]
            # Whoever came from elsewhere and only bears the mark may be in the session of others: its leader decides.
            if entry.session not in seen_sessions and _is_led_by(entry.session, table, found):
                seen_sessions.add(entry.session)
                todo += sessions[entry.session]
            if entry.group not in seen_groups and _is_led_by(entry.group, table, found):
                seen_groups.add(entry.group)
                todo += groups[entry.group]
        self._known = {entry.pid: entry.started for entry in found.values()}
        self._sessions = seen_sessions - others_sessions
        self._groups = seen_groups - others_groups
        return [entry for entry in found.values() if zombies or entry.is_alive]

    def is_alive(self) -> bool:
        """Return whether any of those known still runs; a look tells whether there are others."""
        entries = ((machine.read_entry(pid), started) for pid, started in self._known.items())
        return any(entry and entry.is_alive and entry.started == started for entry, started in entries)

    def send(self, entries: Iterable[Entry], *numbers: signal.Signals) -> None:
        """Send signals to processes that a look found: to whole groups at once, so that no fork escapes, and singly."""
        entries = list(entries)
        groups = {entry.group for entry in entries} & self._groups
        for number in numbers:
            for group in groups:
                with suppress(OSError):
                    os.killpg(group, number)
        for entry in entries:
            if entry.group not in groups:
                machine.send(entry, *numbers)

    def catch(self, number: int) -> bool:
        """Send a signal to those of the newest processes that bear a mark of the runs; return whether there were any.

        What forks and exits all the time has moved on when a look at all processes is over. But whatever it has become
        is among the newest, and a look at these takes microseconds.
        """
        tries = (machine.newest_pids() for _ in range(_TRIES))
        return any(machine.send_to_marked(pid, self.marks, number) for pids in tries for pid in pids)

    def strike(self) -> bool:
        """Stop all, so that nobody starts others meanwhile, then kill all; return whether there was anybody."""
        if self._leader:
            with suppress(OSError):
                os.killpg(self._leader, signal.SIGSTOP)  # at one stroke, however fast they fork
        stopped: dict[tuple[int, int], Entry] = {}
        for _ in range(_PASSES):
            others = [
                entry for entry in self.look(on_sight=signal.SIGSTOP) if (entry.pid, entry.started) not in stopped
            ]
            if not others:
                break
            self.send(others, signal.SIGSTOP)
            stopped |= {(entry.pid, entry.started): entry for entry in others}
        self.send(stopped.values(), signal.SIGKILL)
        return self.catch(signal.SIGKILL) or bool(stopped)

    def kill(self, seconds: float) -> bool:
        """Strike until two looks in a row find nobody; return whether that came to pass within `seconds`."""
        deadline = time.monotonic() + seconds
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            quiet = 0 if self.strike() else quiet + 1
            time.sleep(0 if quiet else 0.005)
        return quiet == 2

    def _shows(self, entry: Entry, thorough: bool) -> bool:
        return (
            self._known.get(entry.pid) == entry.started
            or entry.session in self._sessions
            or entry.group in self._groups
            or (
                entry.started >= self._since
                and machine.mark_of(entry.pid, look_into_environment=thorough) in self.marks
            )
        )


def _is_led_by(leader: int, table: dict[int, Entry], found: dict[int, Entry]) -> bool:
    return leader in found or leader not in table
