"""Waiting on a condition, never on a time."""

from collections.abc import Callable

import anyio


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await anyio.sleep(0.02)
