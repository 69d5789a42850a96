"""Turns on the event loop for those who compute much: floods of output must not starve the rest of the server."""

from typing import Final

import anyio
import anyio.lowlevel
from anyio.lowlevel import RunVar

TURN: Final = 0.005
"""Seconds of computing after which the rest of the server gets as long a turn."""


class Turns:
    """As a context: nobody else computes in it meanwhile. The block waits for nothing.

    The answer to a request takes many short turns of the event loop. With many who compute there would be a long one
    between two of these, so all of them together are held to half of the time.
    """

    def __init__(self) -> None:
        self._lock = anyio.Lock(fast_acquire=True)
        self._waiting = 0
        self._begun = 0.0
        self._taken = 0.0

    async def __aenter__(self) -> None:
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        self._begun = anyio.current_time()

    async def __aexit__(self, *_: object) -> None:
        try:
            self._taken += anyio.current_time() - self._begun
            if self._taken > TURN:
                await anyio.sleep(self._taken)
                self._taken = 0.0
                return
            await anyio.lowlevel.checkpoint()  # all who can compute now have come to wait
            if not self._waiting:
                self._taken = 0.0
        finally:
            self._lock.release()


_turns: RunVar[Turns] = RunVar("turns")


def turns() -> Turns:
    """Return those of the event loop that runs."""
    try:
        return _turns.get()
    except LookupError:
        _turns.set(Turns())
        return _turns.get()
