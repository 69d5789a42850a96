import io

import pytest
from rich.console import Console

from cmdtool.progress import Update
from cmdtool.sinks.terminal import TerminalSink, format_measure


@pytest.mark.parametrize(
    ("progress", "total", "shown"),
    [
        (45, 100, " 45%"),
        (9, 20, " 45% 9/20"),
        (1500, 3000, " 50% 1,500/3,000"),
        (99.9, 100, " 99%"),
        (8, 8, "100% 8/8"),
        (1234, None, "1,234"),
        (3e-6, None, ""),
    ],
)
def test_a_measure_is_short_and_never_rounds_up_to_done(progress: float, total: float | None, shown: str) -> None:
    assert format_measure(progress, total) == shown


@pytest.mark.anyio
async def test_without_a_terminal_lines_are_plain_and_the_last_one_is_complete() -> None:
    screen = io.StringIO()
    with TerminalSink(Console(file=screen, force_terminal=False, width=60), "copy") as sink:
        for percent in (0, 1, 2, 100):
            await sink.send(Update(percent, 100, "[bold]at work[/bold]"))
    assert screen.getvalue() == "copy:   0% [bold]at work[/bold]\ncopy: 100% [bold]at work[/bold]\n"


@pytest.mark.anyio
async def test_a_terminal_gets_a_bar_and_lines_above_it() -> None:
    screen = io.StringIO()
    with TerminalSink(Console(file=screen, force_terminal=True, width=100), "copy") as sink:
        await sink.send(Update(9, 20, "at work"))
        sink.print("a line of [output]")
    assert "a line of [output]" in screen.getvalue()
    assert " 45% 9/20" in screen.getvalue()


@pytest.mark.anyio
async def test_a_message_that_repeats_the_numbers_is_left_out() -> None:
    screen = io.StringIO()
    with TerminalSink(Console(file=screen, force_terminal=False, width=60), "count") as sink:
        await sink.send(Update(60, 100, "60%"))
        await sink.send(Update(8, 8, "8/8"))
    assert screen.getvalue() == "count:  60%\ncount: 100% 8/8\n"
