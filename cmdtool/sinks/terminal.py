"""Updates -> a bar on a terminal, plain lines elsewhere; on standard error only."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from cmdtool.progress import Update

_SMALL: Final = 100
"""Total below which tenths are shown."""

_LINE_EVERY: Final = 1.0
"""Seconds between two lines where no bar can be drawn."""


class TerminalSink:
    """Shows one call; use it as a context manager, so that the bar is drawn to its end."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._line_at = 0.0
        self._held = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            _Measure(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console,
        )
        self._task = self._bar.add_task(escape(name), total=None, message="")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()
        elif self._held:
            self._print_line(self._held)

    async def send(self, update: Update) -> None:
        """Show `update`; a message that only repeats its numbers is left out."""
        measure, message = format_measure(update.progress, update.total), update.message or ""
        if message.strip() in measure:
            message = ""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=update.progress, total=update.total, message=message, refresh=True)
            return
        self._held = " ".join(filter(None, (measure, message)))
        if update.progress == update.total or time.monotonic() >= self._line_at:
            self._print_line(self._held)

    def _print_line(self, line: str) -> None:
        self._line_at = time.monotonic() + _LINE_EVERY
        self._held = ""
        self._console.print(f"{self._name}: {line}", markup=False, highlight=False, soft_wrap=True)

    def print(self, line: str) -> None:
        """Print a line of the command's output above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def format_measure(progress: float, total: float | None) -> str:
    """Return `45% 9/20`, `45%` where the total is 100, or the bare count where there is no total."""
    if total is None:
        return f"{progress:,.0f}" if progress >= 1 else ""
    percent = f"{int(100 * progress / total + 1e-9):3d}%"
    if total == 100:
        return percent
    has_decimals = total < _SMALL and (progress % 1 or total % 1)
    return f"{percent} {progress:,.1f}/{total:,.1f}" if has_decimals else f"{percent} {int(progress):,}/{total:,.0f}"


class _Measure(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(format_measure(task.completed, task.total))
