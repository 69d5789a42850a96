"""Programs that show progress only on a terminal, under `pty: true`, served to a real client.

Each program waits until the client has been told how far it is: what the client sees is live, on any machine.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from mcp_types import CallToolResult

from tests.package_index import serving_wheel
from tests.serving import Seen, serving, text_of

pytestmark = pytest.mark.anyio

STEPS = tuple(step / 10 for step in range(1, 10))

# Programs import this from the folder of the manifest, where they run.
GATE = """
import time

def is_told(fraction):
    return float(open("told").read()) > fraction - 0.05

def wait_until_told(fraction):
    while not is_told(fraction):
        time.sleep(0.01)
"""

# Progress is read by default, with one exception: alive-progress draws on a thread of its own, so that the first that
# is seen of it may be the first step, and a program that stands still there until its client has been told of it waits
# for ever: without a parser nothing is told of a number before it has risen.
MANIFEST = rf"""
defaults: {{pty: true, timeout: 2m}}
tools:
  pv: {{shell: '{sys.executable} feed.py | pv -s 1000000 -i 0.1 > copy'}}
  scp: {{command: scp -O -S ./ssh source host:copy}}
  pip:
    command: >-
      {sys.executable} -m pip --isolated --disable-pip-version-check --no-cache-dir download --no-deps --no-index
      --dest downloads --find-links {{index}} big
  rich: {{command: {sys.executable} draw.py}}
  click: {{command: {sys.executable} draw.py}}
  alive-progress: {{command: {sys.executable} draw.py, progress: percent}}
"""


class Telling(Seen):
    """Tells the programs what the client has been told."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.fraction = 0.0
        self._write()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        await super().__call__(progress, total, message)
        self.fraction = progress / total if total else 0.0
        self._write()

    def _write(self) -> None:
        (self.folder / "next").write_text(str(self.fraction))
        os.replace(self.folder / "next", self.folder / "told")


async def call(folder: Path, tool: str, steps: tuple[float, ...] = STEPS, **arguments: str) -> CallToolResult:
    """Call a tool that must succeed and tell of each step while it runs."""
    (folder / "gate.py").write_text(GATE)
    seen = Telling(folder)
    with anyio.fail_after(120):
        async with serving(folder, MANIFEST) as client:
            result = await client.call_tool(tool, arguments, progress_callback=seen)
    assert not result.is_error, text_of(result)
    seen.assert_increasing()
    fractions = [progress / total for progress, total, _ in seen.updates if total]
    for step in steps:
        assert any(abs(fraction - step) < 0.06 for fraction in fractions), (step, seen.updates)
    assert fractions[-1] == 1
    return result


async def test_pv(tmp_path: Path, require: Callable[[str], None]) -> None:
    require("pv")
    (tmp_path / "feed.py").write_text(
        "import gate, os, sys\n"
        "for step in range(10):\n"
        "    sys.stdout.buffer.write(os.urandom(100_000))\n"
        "    sys.stdout.flush()\n"
        "    gate.wait_until_told((step + 1) / 10)\n"
    )
    result = await call(tmp_path, "pv")
    assert "100%" in text_of(result)
    assert (tmp_path / "copy").stat().st_size == 1_000_000


async def test_scp(tmp_path: Path, require: Callable[[str], None]) -> None:
    require("scp")
    (tmp_path / "source").write_bytes(os.urandom(10_000_000))
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f"#!{sys.executable}\n"
        "import gate, subprocess, sys, time\n"
        "remote = subprocess.Popen(sys.argv[-1], shell=True, stdin=subprocess.PIPE, bufsize=0)\n"
        "passed, steps, waits = 0, [0.25, 0.5, 0.75], False\n"
        "while block := sys.stdin.buffer.raw.read(1_000 if waits else 50_000):\n"
        "    remote.stdin.write(block)\n"
        "    passed += len(block)\n"
        "    waits = bool(steps) and passed >= steps[0] * 10_000_000\n"
        "    if waits and gate.is_told(steps[0]):\n"
        "        steps.pop(0)\n"
        "    elif waits:\n"
        "        time.sleep(0.01)\n"
        "remote.stdin.close()\n"
        "sys.exit(remote.wait())\n"
    )
    ssh.chmod(0o755)
    # It draws once a second, and only while it writes: where the others stand still, it is slowed down.
    result = await call(tmp_path, "scp", steps=(0.25, 0.5, 0.75))
    assert "100%" in text_of(result)
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "source").read_bytes()


async def test_pip(tmp_path: Path) -> None:
    def is_told(fraction: float) -> bool:
        return float((tmp_path / "told").read_text()) >= fraction - 0.05

    with serving_wheel(tmp_path, is_told) as index:
        result = await call(tmp_path, "pip", index=index)
    assert "Successfully downloaded big" in text_of(result)


DRAWN = {
    "rich": """
from rich.progress import Progress
with Progress() as progress:
    task = progress.add_task("drawing", total=10)
    for step in range(1, 11):
        progress.advance(task)
        gate.wait_until_told(step / 10)
""",
    "click": """
import click
with click.progressbar(length=10, label="drawing") as bar:
    for step in range(1, 11):
        bar.update(1)
        gate.wait_until_told(step / 10)
""",
    "alive-progress": """
from alive_progress import alive_bar
with alive_bar(10, title="drawing") as bar:
    for step in range(1, 11):
        bar()
        gate.wait_until_told(step / 10)
""",
}


@pytest.mark.parametrize("library", DRAWN)
async def test_what_a_library_draws(tmp_path: Path, library: str) -> None:
    (tmp_path / "draw.py").write_text(f"import gate\n{DRAWN[library]}")
    [line] = text_of(await call(tmp_path, library)).splitlines()
    assert line.startswith("drawing")
    assert "100%" in line


async def test_a_bar_on_standard_error_stays_out_of_standard_output(tmp_path: Path) -> None:
    script = DRAWN["rich"].replace("Progress()", "Progress(console=Console(stderr=True))")
    (tmp_path / "draw.py").write_text(f"import gate\nfrom rich.console import Console\n{script}print('done')\n")
    output, _, errors = text_of(await call(tmp_path, "rich")).partition("\n")
    assert output == "done"
    assert "drawing" in errors
