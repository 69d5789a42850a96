"""What mining followed -> rules that read the same, for a manifest. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cmdtool.features import Feature
from cmdtool.text import clean_line

_NUMBER: Final = r"\d[\d,.]*"
_SIZE: Final = r"\d[\d,.]*(?: ?[kKMGT]i?B?)?"
_CLOCK: Final = r"[\d:.]+"
_BEFORE: Final = 8
_AFTER: Final = 4
"""Pieces of the text beside a number that a pattern keeps at most."""

_OF_NAMES: Final = (r"\.", "/")
_PIECE: Final = re.compile(r"[\d][\d,.:]*|\s+|[A-Za-z_]+|.", re.DOTALL)
_VERDICT: Final = r"^\s*(?:not )?(?:ok|PASS|FAIL)\w*\b|^\s*[✓✔✗✘] |\.\.\. (?:ok|OK|FAIL|FAILED|ERROR|skipped)\b"


@dataclass(frozen=True, slots=True)
class Sample:
    """A record in which a number was followed."""

    feature: Feature
    record: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule: its pattern, the total it sets if that is a fixed one, and a record that it was made from."""

    pattern: str
    total: float | None
    sample: bytes


def suggest(first: Sample, last: Sample, *, is_split: bool) -> list[Finding]:
    """Return the rules that read one number; none where patterns cannot say it, as for a bar without numbers.

    Args:
        first, last: two records that the number stands in; what they have in common beside it is kept.
        is_split: whether a pair of numbers is done and left.
    """
    feature = last.feature
    match feature.kind:
        case "dots":
            return [Finding(re.escape(last.record.strip()[:1].decode("utf-8", "replace")), None, last.record)]
        case "verdict":
            return [Finding(_VERDICT, None, last.record)]
        case "scale":
            mark = "%" if b"%" in last.record else r"\.{2,}"
            return [Finding(rf"(?P<percent>\d+) ?{mark}", None, last.record)]
        case "bar":
            return []
    if feature.span == (0, 0):
        return list(_json_rules(feature, last.record))
    number = _number_pattern(last, is_split=is_split)
    before, after = _common(first, last)
    total = 1.0 if feature.kind == "fraction" else None
    return [Finding(f"{before}{number}{after}", total, last.record)]


def write_progress(findings: Sequence[Finding]) -> str:
    """Return the `progress` of a tool in YAML, indented as it stands there, with a sample above each rule."""
    lines = ["    progress:"]
    for finding in findings:
        pattern = "'" + finding.pattern.replace("'", "''") + "'"
        lines.append(f"      # {clean_line(finding.sample.decode(errors='replace'), 100)}")
        lines.append(f"      - {pattern}" if finding.total is None else f"      - pattern: {pattern}")
        lines += [] if finding.total is None else [f"        total: {finding.total:g}"]
    return "\n".join(lines) + "\n"


def _number_pattern(sample: Sample, *, is_split: bool) -> str:
    start, end = sample.feature.span
    text = sample.record[start:end].decode("utf-8", "surrogateescape")
    match sample.feature.kind:
        case "percent":
            return rf"(?P<percent>{_NUMBER}) ?%" if "%" in text else rf"(?P<percent>{_NUMBER})"
        case "pair" | "split" | "left":
            separator = re.search(r"\s*/\s*|\s+(?:out of|of)\s+", text)
            assert separator is not None, "a pair has a separator"
            kind = (
                _CLOCK if ":" in text else _SIZE if re.search("[A-Za-z]", text.replace(separator[0], "")) else _NUMBER
            )
            names = ("remaining", "total") if sample.feature.kind == "left" else ("progress", "total")
            names = ("progress", "remaining") if is_split else names
            between = re.sub(r"\s+", lambda _: r"\s+" if "of" in separator[0] else r"\s*", separator[0])
            return rf"(?P<{names[0]}>{kind}){between}(?P<{names[1]}>{kind})"
    digits = re.match(_NUMBER, text)
    assert digits is not None, "a count begins with its number"
    unit = text[digits.end() :]
    if not unit or re.fullmatch(r" *[kKMGT]i?B?", unit):
        return rf"(?P<progress>{_SIZE if unit else _NUMBER})"
    return rf"(?P<progress>{_NUMBER}){re.escape(unit)}"


def _common(first: Sample, last: Sample) -> tuple[str, str]:
    """Return patterns for what stands before and after the number in both records."""
    before = [list(_pieces(sample.record[: sample.feature.span[0]])) for sample in (first, last)]
    after = [list(_pieces(sample.record[sample.feature.span[1] :])) for sample in (first, last)]
    prefix = _alike(before[0][::-1], before[1][::-1], _BEFORE)[::-1]
    suffix = _alike(after[0], after[1], _AFTER)
    is_whole = len(prefix) == len(before[0]) == len(before[1])
    if prefix[-1:] == [r"\s+"]:
        prefix[-1] = r"\s*"  # numbers are often put in columns
    named = _names(prefix)
    if named:  # the name of a file is another one in the next run
        rest = prefix[named[-1] + 1 :]
        prefix, is_whole = (rest[rest.index(r"\s+") :] if r"\s+" in rest else []), False
    suffix = suffix[: min(_names(suffix), default=len(suffix))]
    while prefix and prefix[0] in (r"\s+", r"\s*") and not is_whole:
        prefix = prefix[1:]
    while suffix and suffix[-1] == r"\s+":
        suffix = suffix[:-1]
    return ("^" if is_whole else "") + "".join(prefix), "".join(suffix)


def _names(pieces: Sequence[str]) -> list[int]:
    """Return the places of dots and slashes beside words: of names of files."""
    return [
        place
        for place, piece in enumerate(pieces)
        if piece in _OF_NAMES and any(other.isalpha() for other in pieces[max(0, place - 1) : place + 2])
    ]


def _pieces(text: bytes) -> Iterator[str]:
    for piece in _PIECE.findall(text.decode("utf-8", "replace")):
        if piece[0].isdigit():
            yield r"[\d,.:]+"
        else:
            yield r"\s+" if piece.isspace() else re.escape(piece).replace(r"\%", "%").replace(r"\-", "-")


def _alike(one: Sequence[str], other: Sequence[str], most: int) -> list[str]:
    alike: list[str] = []
    for left, right in zip(one[:most], other[:most], strict=False):
        if left != right:
            break
        alike.append(left)
    return alike


def _json_rules(feature: Feature, record: bytes) -> Iterator[Finding]:
    """Yield a rule for each key of a JSON line that was followed."""
    *_, keys, _ = feature.series if isinstance(feature.series, tuple) else ((), ())
    assert isinstance(keys, tuple)
    match feature.kind:
        case "pair":
            for name, path in zip(("progress", "total"), keys, strict=False):
                yield Finding(rf'"{re.escape(path[-1])}": *(?P<{name}>[\d.]+)', None, record)
        case "percent":
            yield Finding(rf'"{re.escape(keys[-1])}": *(?P<percent>[\d.]+)', None, record)
        case "fraction":
            total = 1.0 if feature.value <= 1 else 100.0
            yield Finding(rf'"{re.escape(keys[-1])}": *(?P<progress>[\d.]+)', total, record)
        case _:
            yield Finding(rf'"{re.escape(keys[-1][-1])}": *(?P<progress>\d+)', None, record)
