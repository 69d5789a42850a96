"""Those who compute much share the event loop with those who have to do little."""

import time

import anyio
import pytest

from cmdtool.turns import turns

pytestmark = pytest.mark.anyio


def spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_many_who_compute_hold_up_who_needs_many_short_turns_no_more_than_one_does() -> None:
    computed = 0

    async def compute() -> None:
        nonlocal computed
        while True:
            await anyio.lowlevel.checkpoint()
            async with turns():
                spin(0.001)
                computed += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(compute)
        while computed < 100:
            await anyio.lowlevel.checkpoint()
        before = computed
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert computed - before <= 50
        tasks.cancel_scope.cancel()


async def test_a_turn_that_is_cancelled_while_it_is_awaited_or_paid_for_is_given_up() -> None:
    async def compute() -> None:
        async with turns():
            spin(0.02)

    for _ in range(3):
        with anyio.move_on_after(0.01):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(compute)
                tasks.start_soon(compute)
    with anyio.fail_after(5):
        await compute()
