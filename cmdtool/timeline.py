"""What a client was sent -> a picture of it: progress over time, in lines of text."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

from cmdtool.replay import Sent
from cmdtool.text import clean_line

_BARS: Final = " ▁▂▃▄▅▆▇█"
_HEIGHT: Final = 6
_FULL: Final = _HEIGHT * 8
_NO_TOTAL: Final = "·"
_HELD: Final = "▾"
_LEAST_WIDTH: Final = 10

Clock = Callable[[float], str]


def draw(sent: Sequence[Sent], end: float, width: int, clock: Clock, held: Sequence[float] = ()) -> list[str]:
    """Return the lines of the picture, at most `width` wide; none if no number was sent.

    The scale is the share of the total, or where no total was ever known the count. Updates without a total, among
    others that have one, are dots.

    Args:
        sent: what went out, in order.
        end: when the run ended.
        width: of the screen.
        clock: writes a time.
        held: when something was read that was not sent because it went back.
    """
    top = _top(sent)
    if top is None:
        return []
    labels = ["100%", "50%", "0%"] if _has_total(sent) else [f"{top:,.0f}", f"{top / 2:,.0f}", "0"]
    margin = max(5, *map(len, labels))
    columns = max(width - margin - 2, _LEAST_WIDTH)
    end = max(end, sent[-1].t) or 1.0
    is_share = _has_total(sent)
    levels = [_level(sent, end * (column + 1) / columns, top, is_share=is_share) for column in range(columns)]
    gutter = {_HEIGHT - 1: labels[0], _HEIGHT // 2 - 1: labels[1]}
    lines = []
    for row in reversed(range(_HEIGHT)):
        cells = "".join(_cell(level, row) for level in levels)
        lines.append(f"{gutter.get(row, ''):>{margin}} {'┤' if row in gutter else '│'}{cells}")
    lines.append(f"{labels[2]:>{margin}} └{'─' * columns}")
    lines.append(" " * (margin + 2) + _spread([clock(0), clock(end / 2), clock(end)], columns))
    if stages := _stages(sent, end, columns):
        lines.append(f"{'stage':>{margin}}  {stages}")
    if -1 in levels:
        lines.append(f"{_NO_TOTAL:>{margin}}  no total was known")
    if held:
        places = {_column(t, end, columns) for t in held}
        marks = "".join(_HELD if column in places else " " for column in range(columns))
        lines.append(f"{'held':>{margin}}  {marks}")
    return [line.rstrip() for line in lines]


def _has_total(sent: Sequence[Sent]) -> bool:
    return any(each.update.total is not None for each in sent)


def _top(sent: Sequence[Sent]) -> float | None:
    """Return what the picture is high: 1 for shares, the highest count, or None where only signs of life went out."""
    if _has_total(sent):
        return 1.0
    highest = max((each.update.progress for each in sent), default=0.0)
    return highest if highest >= 1 else None


def _level(sent: Sequence[Sent], t: float, top: float, *, is_share: bool) -> int | None:
    """Return how high the progress at `t` is in eighths of a row, -1 if it had no total yet, None before the first."""
    place = bisect_right(sent, t + 1e-9, key=lambda each: each.t)
    if place == 0:
        return None
    update = sent[place - 1].update
    if update.total is None and is_share:
        return -1
    share = update.progress / (update.total or top)
    level = round(share * _FULL)
    return max(1, level if share >= 1 else min(level, _FULL - 1))


def _cell(level: int | None, row: int) -> str:
    if level is None or level < 0:
        return _NO_TOTAL if level is not None and row == 0 else " "
    return _BARS[min(max(level - row * 8, 0), 8)]


def _column(t: float, end: float, columns: int) -> int:
    return min(int(t / end * columns), columns - 1)


def _spread(labels: Sequence[str], width: int) -> str:
    left, middle, right = labels
    line = f"{left}{middle:^{width - 2 * len(left)}}"
    return f"{line[: width - len(right) - 1]:<{width - len(right)}}{right}"


def _stages(sent: Sequence[Sent], end: float, columns: int) -> str:
    """Return the names of the stages below their first columns; one that has no room is cut or left out."""
    starts = [(name, next(group).t) for name, group in groupby(sent, key=lambda each: each.stage) if name]
    line = ""
    for place, (name, t) in enumerate(starts):
        column = _column(t, end, columns)
        following = _column(starts[place + 1][1], end, columns) if place + 1 < len(starts) else columns
        if column < len(line) or following - column < 3:
            continue
        line = f"{line:<{column}}└{clean_line(name, following - column - 2)}"
    return line
