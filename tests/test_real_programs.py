"""rsync and ffmpeg on real data, served to a real client: what it is told is what the program printed."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.serving import ERAS, Era, Seen, serving

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]

# `tee` keeps what the program printed, byte by byte, for the comparison.
MANIFEST = r"""
tools:
  copy:
    arguments: {source: {type: string}, destination: {type: string}, log: {type: string}}
    shell: rsync -a --info=progress2 --no-inc-recursive --bwlimit=2000 -- "$source" "$destination" | tee "$log"
    progress: rsync
  encode:
    arguments: {input: {type: string}, output: {type: string}, log: {type: string}}
    shell: ffmpeg -nostdin -y -stats_period 0.1 -readrate 4 -i "$input" "$output" 2> >(tee "$log" >&2)
    progress: ffmpeg
"""

ALMOST = 0.999


def assert_told(seen: Seen, printed: set[float], total: float) -> None:
    """The client saw rising values, all of them printed, but for the last: complete, after the exit.

    A new message for the same value comes with a creep of a billionth of the total.
    """
    seen.assert_increasing()
    assert len(seen.updates) >= 10
    assert seen.totals == {total}
    assert seen.values[-1] == total
    told = [value for value in seen.values[:-1] if value < total * ALMOST]
    assert all(any(0 <= value - number < total * 1e-7 for number in printed) for value in told), (told, printed)


async def test_rsync(tmp_path: Path, era: Era, require: Callable[[str], None]) -> None:
    require("rsync")
    source, destination, log = tmp_path / "source", tmp_path / "destination", tmp_path / "log"
    source.mkdir()
    for number in range(50):
        (source / f"file{number}").write_bytes(os.urandom(100_000))
    seen = Seen()
    async with serving(tmp_path, MANIFEST, era) as client:
        arguments = {"source": f"{source}/", "destination": str(destination), "log": str(log)}
        result = await client.call_tool("copy", arguments, progress_callback=seen)
    assert not result.is_error
    assert_told(seen, {float(percent) for percent in re.findall(rb"(\d+)%", log.read_bytes())}, 100)
    assert sorted(path.name for path in destination.iterdir()) == sorted(path.name for path in source.iterdir())


async def test_ffmpeg(tmp_path: Path, era: Era, require: Callable[[str], None]) -> None:
    require("ffmpeg")
    film, output, log = tmp_path / "film.avi", tmp_path / "film.mp4", tmp_path / "log"
    pattern = "testsrc=duration=8:size=160x120:rate=25"
    await anyio.run_process(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", pattern, "-c:v", "mpeg4", str(film)])
    seen = Seen()
    async with serving(tmp_path, MANIFEST, era) as client:
        arguments = {"input": str(film), "output": str(output), "log": str(log)}
        result = await client.call_tool("encode", arguments, progress_callback=seen)
    assert not result.is_error
    clocks = re.findall(rb"time=(\d+):(\d+):([\d.]+)", log.read_bytes())
    assert_told(seen, {int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in clocks}, 8)
    assert output.stat().st_size > 0
