"""Three ways to read the recordings, and how well each does: `make score`.

named   by the parser of the program, or of the library that draws the bar
auto    as a tool without `progress` does: the program is known by the command line
mined   by mining alone, as if no program were known
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from cmdtool.detect import NOTHING_KNOWN, Known
from cmdtool.library import builtin_parser, builtin_parsers, known_programs
from cmdtool.model import Progress
from cmdtool.recording import Recording, parse_recording
from cmdtool.replay import Player, replay
from tests.recordings.score import FOLDER, Score, Truth, load_truths, score

Prediction: TypeAlias = list[tuple[float, float, float | None]]
"""[t, value, total or None]: all readings, one a record."""

_AUTO: Final = Progress(detects=True)


def load(path: Path) -> Recording:
    """Return one recording."""
    return parse_recording(path.name, path.read_text("utf-8"))


def parser_name(recording: Recording) -> str | None:
    """Return the name of the parser for what was recorded: that of the library or program, or what the command is."""
    if recording.program in builtin_parsers():
        return recording.program
    command = Path(recording.argv[0]).name
    return next((name for name in builtin_parsers() if command in builtin_parser(name).matches), None)


def named(recording: Recording) -> Prediction:
    """Read by the parser of the program; what has none shows no progress."""
    name = parser_name(recording)
    return read_by(name, recording) if name else []


def read_by(name: str, recording: Recording) -> Prediction:
    """Read by a built-in parser."""
    return _read(recording, Progress.model_validate(dict(builtin_parsers()[name])))


def auto(recording: Recording) -> Prediction:
    """Read as a tool without `progress` does."""
    return _read(recording, _AUTO, known_programs(recording.argv))


def mined(recording: Recording) -> Prediction:
    """Read without knowing any program."""
    return _read(recording, _AUTO)


READERS: Final[dict[str, Callable[[Recording], Prediction]]] = {"named": named, "auto": auto, "mined": mined}


def _read(recording: Recording, progress: Progress, known: Known = NOTHING_KNOWN) -> Prediction:
    return [
        (step.t, reading.value, reading.total)
        for step in replay(recording, Player(progress, known))
        for reading in step.readings
        if reading.value is not None
    ]


def main() -> int:
    """Print a table of all cases, and the shares that each reader has right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="recordings and their truths")
    folder = parser.parse_args().folder
    rows: list[tuple[Truth, dict[str, Score]]] = []
    for truth in load_truths(folder):
        recording = load(folder / f"{truth['id']}.jsonl")
        rows.append((truth, {name: score(truth, read(recording)) for name, read in READERS.items()}))
    sys.stdout.write(_table(rows))
    return 0


def _table(rows: Sequence[tuple[Truth, dict[str, Score]]]) -> str:
    lines = [f"{'case':30} {'kind':13} " + " ".join(f"{name:>17}" for name in READERS)]
    for truth, scores in rows:
        cells = " ".join(f"{_cell(scores[name]):>17}" for name in READERS)
        lines.append(f"{truth['id']:30} {truth['kind']:13} {cells}")
    lines += ["", f"{'right':44} " + " ".join(f"{name:>17}" for name in READERS)]
    groups = [("kind", "determinate"), ("kind", "indeterminate"), ("kind", "none"), ("mode", "pipe"), ("mode", "pty")]
    for key, value in groups:
        lines.append(_share(value, [scores for truth, scores in rows if truth[key] == value]))
    lines += [_share("all", [scores for _, scores in rows]), ""]
    for name in READERS:
        misses = ", ".join(truth["id"] for truth, scores in rows if not scores[name].ok)
        lines.append(f"missed by {name}: {misses or 'none'}")
    return "\n".join(lines) + "\n"


def _cell(result: Score) -> str:
    return "ok" if result.ok else f"{result.recall:.2f} {result.precision:.2f} {'-' if result.final else 'not final'}"


def _share(title: str, scores: Sequence[dict[str, Score]]) -> str:
    cells = []
    for name in READERS:
        right = sum(one[name].ok for one in scores)
        cells.append(f"{right}/{len(scores)} = {right / len(scores):6.1%}" if scores else "0/0")
    return f"{title:44} " + " ".join(f"{cell:>17}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
