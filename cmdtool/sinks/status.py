"""Updates -> the one line that says how far a task is."""

from collections.abc import Callable

from cmdtool.progress import Update


class StatusSink:
    """Hands each update on as text."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    async def send(self, update: Update) -> None:
        """Say how far the task is; never waits."""
        if status := format_status(update):
            self._say(status)


def format_status(update: Update) -> str:
    """Return `42 % · 12.3 MB/s, 0:31 left`: how much, if that is known, and a message that says more than that."""
    measure = ""
    if update.total is not None:
        measure = f"{int(100 * update.progress / update.total + 1e-9)} %"
    elif update.progress >= 1:
        measure = f"{update.progress:,.0f}"
    message = (update.message or "").strip()
    if message.replace(" ", "") == measure.replace(" ", ""):
        message = ""
    return " · ".join(filter(None, (measure, message)))
