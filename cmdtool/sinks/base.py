"""The seam between a run and whoever watches it."""

from typing import Protocol

from cmdtool.progress import Update


class Sink(Protocol):
    """Takes one update at a time; while `send` waits, newer readings replace each other and the command goes on."""

    async def send(self, update: Update) -> None:
        """Deliver `update`."""
