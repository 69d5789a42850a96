"""Score extracted progress against the truth of the recordings.

    python -m tests.recordings.score --pred FOLDER     score FOLDER/<case id>.json
    python -m tests.recordings.score --self-test       the truth as its own prediction, an empty and a wrong one

A prediction file is a JSON list of [t, value, total] (total may be null) in the order of sending; t is in seconds from
the start, on the clock of the recording: that of the chunk after whose replay the value came out. A missing file
counts as an empty list.

recall     share of the distinct observable truth updates that a prediction reports: one within the tolerance is in
           force at, or arrives after, the update and before the next one (+ SLACK). Updates in one chunk are
           observable only as the last of them.
precision  share of predictions within the tolerance of a truth update that is in force then (up to LAG seconds late,
           up to SLACK early). `optional` truth values count neither way.
mono       no prediction falls on the scale (number of the phase + fraction done in the phase); for information, not
           in the verdict. A program that itself goes back shows `-`.
final      the last prediction is within the tolerance of the last truth value.
ok         recall >= 0.9 and precision >= 0.98 and final.

Tolerance: determinate, 1 % of the total, by fractions (12 of 48 equals 25 of 100), and the prediction must carry a
total; indeterminate, 1 % of the largest value, and the prediction's total must be null. Kind `none`: any prediction is
spurious. A closing 100 % at the end of a run that exits 0 is not counted where the program itself stops short of it.
A case with `alternates` (other counters on the same output, such as frames besides seconds) gets the best of its
readings; the whole prediction is held against one reading at a time.
"""

import argparse
import bisect
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

TOLERANCE: Final = 0.01
SLACK: Final = 0.05
LAG: Final = 1.0
EPSILON: Final = 1e-6

FOLDER: Final = Path(__file__).parent

Update: TypeAlias = Sequence[Any]
"""[t, value, total or None]"""

Truth: TypeAlias = dict[str, Any]
"""A `*.truth.json`, or one of its alternates."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well one prediction tells one truth."""

    updates: int
    recall: float
    precision: float
    mono: bool | None
    final: bool
    ok: bool
    reading: str

    @property
    def rank(self) -> tuple[bool, float, float, bool]:
        return self.ok, min(self.recall, self.precision), self.recall + self.precision, self.final


def load_truths(folder: Path = FOLDER) -> list[Truth]:
    """Return the truths of all cases, by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.truth.json"))]


def score(truth: Truth, prediction: Sequence[Update], interval: float = 0.0) -> Score:
    """Return the score of `prediction`; updates replaced within `interval` seconds need not be in it."""
    sent = sorted(
        ([float(t), float(value), None if total is None else float(total)] for t, value, total in prediction),
        key=lambda update: update[0] or 0.0,
    )
    optional = truth.get("optional", [])
    if _closes_beyond_the_truth(truth, sent):
        sent.pop()
    if truth["kind"] == "none":
        ok = all(any(_is_allowed(update, other) for other in optional) for update in sent)
        return Score(0, 1.0, 1.0 if ok else 0.0, None, ok, ok, "none")
    readings = [("main", truth), *((f"alt:{other['unit']}", other) for other in truth.get("alternates", []))]
    scores = [
        _score_reading(name, reading, sent, optional, interval) for name, reading in readings if reading["updates"]
    ]
    return max(scores, key=lambda result: result.rank)


def _score_reading(
    name: str, reading: Truth, sent: Sequence[Update], optional: Sequence[Update], interval: float
) -> Score:
    updates = reading["updates"]
    scale = largest_count(updates)
    phases = _phases(reading)
    wanted = _observable(updates, phases, interval)
    recall = _hits(updates, wanted, sent, scale) / len(wanted) if wanted else 1.0
    precision, places = _precision(updates, phases, sent, optional, scale)

    truth_places = [_place(update, phase) for update, phase in zip(updates, phases, strict=True)]
    mono = None
    if all(after >= before - EPSILON for before, after in pairwise(truth_places)):
        step = TOLERANCE * (1 if updates and updates[-1][2] else scale)
        mono = all(after >= before - step for before, after in pairwise(places))

    # An optional value may follow the final one.
    last = next((one for one in reversed(sent) if not any(_is_allowed(one, other) for other in optional)), None)
    final = bool(updates) and any(one is not None and _is_near(one, updates[-1], scale) for one in (*sent[-1:], last))
    ok = recall >= 0.9 and precision >= 0.98 and final
    return Score(len(wanted), recall, precision, mono, final, ok, name)


def _observable(updates: Sequence[Update], phases: Sequence[int], interval: float) -> list[int]:
    """Return the updates that can be seen: the last of each instant, unless it repeats the one before."""
    last = len(updates) - 1
    seen = [i for i in range(len(updates)) if i == last or updates[i + 1][0] - updates[i][0] > interval]
    return [
        i
        for k, i in enumerate(seen)
        if not k or updates[i][1:] != updates[seen[k - 1]][1:] or phases[i] != phases[seen[k - 1]]
    ]


def _hits(updates: Sequence[Update], wanted: Sequence[int], sent: Sequence[Update], scale: float) -> int:
    times = [update[0] for update in sent]
    hits = 0
    for i in wanted:
        end = updates[i + 1][0] if i + 1 < len(updates) else math.inf
        first = bisect.bisect_left(times, updates[i][0] - SLACK)
        candidates = sent[max(0, first - 1) : bisect.bisect_right(times, end + SLACK)]  # from the one in force
        hits += any(_is_near(update, updates[i], scale) for update in candidates)
    return hits


def _precision(
    updates: Sequence[Update],
    phases: Sequence[int],
    sent: Sequence[Update],
    optional: Sequence[Update],
    scale: float,
) -> tuple[float, list[float]]:
    """Return the share of `sent` that was true when it was sent, and the places of that share on the whole scale."""
    times = [update[0] for update in updates]
    good = bad = last = 0
    places = []
    for update in sent:
        first = max(0, bisect.bisect_left(times, update[0] - LAG) - 1)
        in_force = range(first, bisect.bisect_right(times, update[0] + SLACK))
        matches = [i for i in in_force if _is_near(update, updates[i], scale)]
        if matches:
            good += 1
            last = min((i for i in matches if i >= last), default=matches[-1])
            places.append(_place(update, phases[last]) if updates[last][2] else update[1])
        elif not any(update[0] >= other[0] - SLACK and _is_allowed(update, other) for other in optional):
            bad += 1
    if good + bad:
        return good / (good + bad), places
    return (0.0 if updates else 1.0), places


def _closes_beyond_the_truth(truth: Truth, sent: Sequence[Update]) -> bool:
    """Whether the last update is a closing 100 % of a success that the program itself does not print."""
    final = truth.get("final")
    if len(sent) < 2 or not final or not final[1] or truth.get("exit_code") != 0:
        return False
    t, value, total = sent[-1]
    is_complete = bool(total) and value >= total and t >= truth["duration_s"] - SLACK
    return is_complete and final[0] < final[1] * (1 - TOLERANCE)


def _is_near(sent: Update, update: Update, scale: float) -> bool:
    if update[2] is None:
        return sent[2] is None and abs(sent[1] - update[1]) <= TOLERANCE * scale + EPSILON
    return bool(sent[2]) and abs(sent[1] / sent[2] - update[1] / update[2]) <= TOLERANCE + EPSILON


def _is_allowed(sent: Update, optional: Update) -> bool:
    if sent[2] and optional[2]:
        return bool(abs(sent[1] / sent[2] - optional[1] / optional[2]) <= TOLERANCE + EPSILON)
    return not sent[2] and bool(abs(sent[1] - optional[1]) <= TOLERANCE * abs(optional[1]) + EPSILON)


def _phases(reading: Truth) -> list[int]:
    starts = [phase["start"] for phase in reading.get("phases") or []]
    return [max(0, bisect.bisect_right(starts, i) - 1) for i in range(len(reading["updates"]))]


def _place(update: Update, phase: int) -> float:
    return phase + update[1] / update[2] if update[2] else float(update[1])


def largest_count(updates: Sequence[Update]) -> float:
    """Return the largest value without a total, or 1: what the tolerance of a count is a share of."""
    return max((abs(update[1]) for update in updates if update[2] is None), default=0) or 1.0


def main() -> int:
    """Score a folder of predictions, or the scorer itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pred", type=Path)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument(
        "--interval", type=float, default=0.0, help="the period of a rate limit that predictions passed"
    )
    options = parser.parse_args()
    if not options.self_test and options.pred is None:
        parser.error("--pred or --self-test")

    def show(title: str, predict: Callable[[Truth], Sequence[Update]]) -> bool:
        rows = [(truth, score(truth, predict(truth), options.interval)) for truth in load_truths()]
        sys.stdout.write(f"== {title}\n" + _table(rows, quiet=options.quiet))
        return all(result.ok for _, result in rows)

    def predicted(truth: Truth) -> Sequence[Update]:
        path = options.pred / f"{truth['id']}.json"
        found: list[Update] = json.loads(path.read_text()) if path.exists() else []
        return found

    if not options.self_test:
        show(str(options.pred), predicted)
        return 0
    ok = show("the truth as its own prediction", lambda truth: truth["updates"])
    show("an empty prediction", lambda truth: ())
    show("every value 5 % of the scale too high", too_high)
    return 0 if ok else 1


def too_high(truth: Truth) -> list[Update]:
    """Return the truth with every value 5 % of the scale too high."""
    scale = largest_count(truth["updates"])
    return [[t, value + 0.05 * (total or scale), total] for t, value, total in truth["updates"]]


def _table(rows: Sequence[tuple[Truth, Score]], *, quiet: bool) -> str:
    lines = []
    if not quiet:
        lines.append(
            f"{'case':30} {'kind':13} {'n':>5} {'recall':>7} {'prec':>6} {'mono':>5} {'final':>6} {'ok':>3}  reading"
        )
        for truth, row in rows:
            mono = "-" if row.mono is None else "yes" if row.mono else "NO"
            lines.append(
                f"{truth['id']:30} {truth['kind']:13} {row.updates:5} {row.recall:7.3f} {row.precision:6.3f} {mono:>5} "
                f"{'yes' if row.final else 'NO':>6} {'ok' if row.ok else '--':>3}  {row.reading}"
            )
    groups = (("kind", "determinate"), ("kind", "indeterminate"), ("kind", "none"), ("mode", "pipe"), ("mode", "pty"))
    lines += [f"  {name:14} {_share([row.ok for truth, row in rows if truth[key] == name])}" for key, name in groups]
    programs = {
        truth["program"]: [row.ok for other, row in rows if other["program"] == truth["program"]] for truth, _ in rows
    }
    mean = sum(sum(oks) / len(oks) for oks in programs.values()) / len(programs)
    lines.append(f"  by program     mean over {len(programs)} programs = {mean:.3f}")
    lines.append(f"overall score  {_share([row.ok for _, row in rows])}")
    return "\n".join(lines) + "\n"


def _share(oks: Sequence[bool]) -> str:
    return f"{sum(oks)}/{len(oks)} = {sum(oks) / len(oks):.3f}" if oks else "0/0"


if __name__ == "__main__":
    sys.exit(main())
