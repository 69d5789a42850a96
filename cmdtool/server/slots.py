"""How many calls run at once: those beyond the limits wait in line and are told where they stand."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from cmdtool.model import Tool


@dataclass(eq=False, slots=True)
class _Turn:
    tool: Tool
    on_wait: Callable[[int], None]
    position: int = -1
    admitted: anyio.Event = field(default_factory=anyio.Event)


class Slots:
    """First come, first served, but a call that only its own tool's limit holds back lets others pass."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[_Turn] = []
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, tool: Tool, on_wait: Callable[[int], None]) -> AsyncIterator[bool]:
        """Hold a slot of the server and one of the tool during the block, which is told whether it had to wait.

        Args:
            tool: the tool that is called.
            on_wait: told how many calls are ahead, at first and whenever that changes; not called if none need wait.
        """
        turn = _Turn(tool, on_wait)
        self._waiting.append(turn)
        self._admit()
        try:
            await turn.admitted.wait()
            yield turn.position >= 0
        finally:
            if turn.admitted.is_set():
                self._running[tool.name] -= 1
            else:
                self._waiting.remove(turn)
            self._admit()

    @property
    def running(self) -> int:
        """How many calls hold a slot."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return len(self._waiting)

    def change_limit(self, limit: int) -> None:
        """Let so many calls run at once from now on; those that run go on."""
        self._limit = limit
        self._admit()

    def _admit(self) -> None:
        still_waiting: list[_Turn] = []
        for turn in self._waiting:
            if self._has_room(turn.tool):
                self._running[turn.tool.name] += 1
                turn.admitted.set()
            else:
                still_waiting.append(turn)
        self._waiting = still_waiting
        for position, turn in enumerate(still_waiting):
            if position != turn.position:
                turn.position = position
                turn.on_wait(position)

    def _has_room(self, tool: Tool) -> bool:
        is_tool_full = tool.concurrency is not None and self._running[tool.name] >= tool.concurrency
        return not is_tool_full and self.running < self._limit
