from contextlib import AsyncExitStack

import anyio
import pytest

from cmdtool.model import Tool
from cmdtool.server.slots import Slots

pytestmark = pytest.mark.anyio


def tool(name: str, concurrency: int | None = None) -> Tool:
    return Tool.model_validate({"name": name, "command": ["true"], "folder": "/", "concurrency": concurrency})


class Caller:
    """A call that waits for its turn, holds it until told to stop, and remembers the places it was told."""

    def __init__(self, slots: Slots, called: Tool) -> None:
        self.places: list[int] = []
        self.running = anyio.Event()
        self.stop = anyio.Event()
        self._slots, self._tool = slots, called

    async def run(self) -> None:
        async with self._slots.turn(self._tool, self.places.append):
            self.running.set()
            await self.stop.wait()


async def test_calls_beyond_the_limit_wait_in_line_and_hear_where_they_stand() -> None:
    slots = Slots(1)
    callers = [Caller(slots, tool("t")) for _ in range(3)]
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for caller in callers:
                tasks.start_soon(caller.run)
                await anyio.wait_all_tasks_blocked()
            assert [caller.places for caller in callers] == [[], [0], [1]]
            callers[0].stop.set()
            await callers[1].running.wait()
            assert callers[2].places == [1, 0]
            callers[1].stop.set()
            await callers[2].running.wait()
            callers[2].stop.set()


async def test_a_call_held_back_by_its_own_tool_lets_others_pass() -> None:
    slots = Slots(2)
    single = tool("single", 1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(slots.turn(single, lambda ahead: None))
        held = Caller(slots, single)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(held.run)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(5):
                async with slots.turn(tool("other"), lambda ahead: None):
                    assert not held.running.is_set()
            tasks.cancel_scope.cancel()


async def test_a_cancelled_wait_gives_up_its_place() -> None:
    slots = Slots(1)
    async with slots.turn(tool("t"), lambda ahead: None):
        with anyio.move_on_after(0):
            async with slots.turn(tool("t"), lambda ahead: None):
                raise AssertionError("there was no room")
    with anyio.fail_after(5):
        async with slots.turn(tool("t"), lambda ahead: None):
            pass
