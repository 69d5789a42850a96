"""A line of JSON -> the numbers in it that might be progress, by the names of their keys."""

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from cmdtool.features import Feature, Kind

_DONE: Final = (
    "current completed done processed progress downloaded finished transferred count value bytes_done files_done"
    " downloaded_bytes position step index i n".split()
)
_TOTAL: Final = "total total_bytes total_files total_steps size max maximum length steps of".split()
_PERCENT: Final = re.compile(r"percent(?:age)?|pct", re.IGNORECASE)
_SHARE: Final = re.compile(
    r"(?:percent(?:age)?(?:_?(?:done|complete))?|pct|progress|fraction(?:_done)?)", re.IGNORECASE
)
_COUNT: Final = re.compile(
    r"(?:.*_)?(?:n?(?:files|items|rows|records|objects|lines|requests|tests|frames|chunks|pages)|n?bytes|count|frame"
    r"|size|done|processed|completed|finished|transferred|downloaded|uploaded|written|read|step|iteration|epoch)"
    r"(?:_(?:done|processed|transferred|completed))?",
    re.IGNORECASE,
)
_DEEPEST: Final = 3
_MOST: Final = 24
_MOST_NUMBERS: Final = 64


def json_features(record: bytes) -> list[Feature]:
    """Return the numbers of a record that is a JSON object; of other records nothing."""
    try:
        value = json.loads(record)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, Mapping):
        return []
    label = str(value.get("type") or value.get("message_type") or "")
    numbers = dict(islice(_flatten(value, (), _DEEPEST), _MOST_NUMBERS))
    found = [*_pairs(numbers, label), *_shares(numbers, label)] or _counts(numbers, label)
    return found[:_MOST]


def _pairs(numbers: Mapping[tuple[str, ...], float], label: str) -> Iterator[Feature]:
    folders: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}
    for path in numbers:
        folders.setdefault(path[:-1], {})[path[-1].lower()] = path
    for names in folders.values():
        done = next((names[name] for name in _DONE if name in names), None)
        total = next((names[name] for name in _TOTAL if name in names), None)
        if done and total and 0 < numbers[total] and numbers[done] <= numbers[total]:
            yield _feature("pair", numbers[done], numbers[total], (done, total, numbers[total]), label)


def _shares(numbers: Mapping[tuple[str, ...], float], label: str) -> Iterator[Feature]:
    for path, number in numbers.items():
        if number <= 100 and _PERCENT.fullmatch(path[-1]):
            yield _feature("percent", number, 100.0, path, label)
        elif number <= 100 and _SHARE.fullmatch(path[-1]):
            yield _feature("fraction", number, None, path, label)


def _counts(numbers: Mapping[tuple[str, ...], float], label: str) -> list[Feature]:
    keys = tuple(sorted(numbers))
    return [
        _feature("count", number, None, (keys, path), label)
        for path, number in numbers.items()
        if _COUNT.fullmatch(path[-1])
    ]


def _feature(kind: Kind, value: float, total: float | None, series: Hashable, label: str) -> Feature:
    return Feature(kind, value, total, ("json", kind, series, label), ("json", kind), label, True, False, (0, 0))


def _flatten(value: Mapping[str, Any], path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], float]]:
    for key, item in value.items():
        if not key.isascii():
            continue
        if isinstance(item, int | float) and not isinstance(item, bool) and 0 <= item < 1e18:
            yield (*path, key), float(item)
        elif isinstance(item, Mapping) and depth > 1:
            yield from _flatten(item, (*path, key), depth - 1)
