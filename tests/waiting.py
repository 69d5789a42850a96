"""Waiting on a condition, never on a time."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await anyio.sleep(0.02)


async def eventually(ask: Callable[[], Awaitable[T]], condition: Callable[[T], bool], seconds: float = 20) -> T:
    """Ask again and again until the answer is right, and return it; fail after `seconds`."""
    with anyio.fail_after(seconds):
        while not condition(answer := await ask()):  # noqa: ASYNC110 - as above
            await anyio.sleep(0.05)
    return answer
