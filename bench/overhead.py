"""What cmdtool adds to a command, as ratios to the bare minimum in the same run: starting it, and reading its output.

    python bench/overhead.py [REPEATS]

The bare minimum is `subprocess` and a loop of `os.read`. Rounds alternate, and the best of each counts, so that a noisy
machine disturbs both alike.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import anyio
from rich.console import Console
from rich.table import Table

from cmdtool.host import LocalHost
from cmdtool.library import builtin_parsers
from cmdtool.manifest import resolve_progress
from cmdtool.model import Tool
from cmdtool.process import Supervisor
from cmdtool.progress import Update
from cmdtool.reporter import reporting
from cmdtool.run import prepare, run_call

STARTS = 100
LINES = 3_000_000
PRINT_LINES = ["sh", "-c", f"yes 'copied file 0123456789 of the long list: 42% done, 12.3 MB/s' | head -n {LINES}"]


class Nowhere:
    """A client that takes every update at once."""

    async def send(self, update: Update) -> None:
        await anyio.lowlevel.checkpoint()


def tool(command: list[str], progress: str) -> Tool:
    fixed = {"name": "bench", "folder": "/"}
    return Tool.model_validate({"command": command, "progress": resolve_progress(progress, builtin_parsers()), **fixed})


def bare_start() -> None:
    for _ in range(STARTS):
        subprocess.run(["true"], stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, check=True)


def bare_read() -> None:
    with subprocess.Popen(PRINT_LINES, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while os.read(process.stdout.fileno(), 65536):
            pass


def ours(command: list[str], progress: str, repeats: int = 1) -> Callable[[], None]:
    async def run() -> None:
        called, supervisor = tool(command, progress), Supervisor()
        async with supervisor.guarding():
            for _ in range(repeats):
                async with reporting(called.progress, Nowhere()) as reporter:
                    assert reporter is not None
                    result = await run_call(prepare(called, {}, LocalHost()), supervisor, reporter=reporter)
                    reporter.finish(success=result.success)
                assert result.success, result.outcome

    return partial(anyio.run, run)


def best_of(rounds: int, *candidates: Callable[[], None]) -> list[float]:
    best = [float("inf")] * len(candidates)
    for _ in range(rounds):
        for index, candidate in enumerate(candidates):
            start = time.perf_counter()
            candidate()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def main(rounds: int) -> None:
    size = LINES * len(PRINT_LINES[2].split("'")[1] + "\n") / 1e6
    start, our_start = best_of(rounds, bare_start, ours(["true"], "no match", STARTS))
    read, matching, silent, mined = best_of(
        rounds,
        bare_read,
        ours(PRINT_LINES, r"(\d+)%"),
        ours(PRINT_LINES, r"step (\d+) of (\d+)"),
        ours(PRINT_LINES, "auto"),
    )
    table = Table("what", "bare", "cmdtool", "ratio")
    table.add_row(
        "start and end a command",
        f"{start / STARTS * 1e3:.2f} ms",
        f"{our_start / STARTS * 1e3:.2f} ms",
        f"{our_start / start:.1f}",
    )
    rows = (
        ("read lines that all match", matching),
        ("read lines that never match", silent),
        ("read lines by `auto`", mined),
    )
    for name, seconds in rows:
        table.add_row(name, f"{size / read:,.0f} MB/s", f"{size / seconds:,.0f} MB/s", f"{seconds / read:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
