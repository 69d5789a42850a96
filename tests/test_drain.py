import anyio
import pytest

from cmdtool.server.drain import Tally

pytestmark = pytest.mark.anyio


async def test_all_who_wait_until_nothing_is_under_way_go_on() -> None:
    tally = Tally()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as waiting:
            with tally.one():
                for _ in range(2):
                    waiting.start_soon(tally.none)
                await anyio.wait_all_tasks_blocked()
