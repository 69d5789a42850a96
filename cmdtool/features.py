"""A record -> the numbers in it that might be progress, each with what makes it the same number in the next record.

Looks at one record by itself and decides nothing: `mining.py` watches which of these numbers move. Ratios, loads,
rates, times, dates, versions and numbers inside names are left out here, by their form or by the words beside them.
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, Literal, TypeAlias

from cmdtool.values import parse_number
from cmdtool.vocabulary import (
    DONE,
    FRACTIONS,
    METRICS,
    NOT_COUNT,
    NOT_PAIR,
    NOT_PROGRESS,
    PROGRESS,
    RATES,
    STEPS,
    THINGS,
    WHOLE,
)

Kind: TypeAlias = Literal["percent", "pair", "split", "left", "fraction", "bar", "scale", "count", "verdict", "dots"]
"""What a number can be. `split`: two numbers that are done and left, or of which the second grows too."""

LONGEST: Final = 1024
"""Bytes of a record that are looked at; of JSON the whole record is."""

MOST: Final = 24
"""Numbers of one record that are looked at."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of a record.

    `series` is what it shares with the same number in other records, `layout` what it also shares with other things
    that the same program measures. `label` stands before it: the name of what it measures. `span` is its place in the
    record, in bytes.
    """

    kind: Kind
    value: float
    total: float | None
    series: Hashable
    layout: Hashable
    label: str
    is_sure: bool
    """Whether something beside it says that it is progress: a word, a bar, brackets, a unit of size."""
    names_step: bool
    """Whether a word beside it says what it counts: `file 3 of 10`, `280,000 reads`."""
    span: tuple[int, int]


_NUMBER: Final = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,16})(?:\.[0-9]{1,16})?"
_UNIT: Final = r"(?:[kKMGTPE](?:i?(?:B|Bytes?|bytes?)|i|b)?|[Bb]ytes?|B)(?![A-Za-z0-9])"
_CLOCK: Final = r"[0-9]{1,4}:[0-9]{2}(?::[0-9]{2})?(?:\.[0-9]{1,9})?"
_TIME_UNIT: Final = r"(?:[mun\u00b5]?s|secs?|seconds?|sec\.|mins?|minutes?|m|hrs?|hours?|h|days?|d)"
_PER: Final = r"/(?:s|sec|second|m|min|minute|h|hour|it|read)s?"
_FILLED: Final = r"#=\u2588\u2593\u25a0\u2501"
_GLYPHS: Final = _FILLED + r"*+>.~o@\u00b7\u2022\u2500-\u25ff\u2800-\u28ff\-"
_APART: Final = r"(?<![\w.,/+-])(?<![0-9]:)"
"""Before a number: it is no part of a name, a path, a version or a range."""

_TOKENS: Final = {
    "bar": rf"\[ [{_GLYPHS}\ ]{{0,200}} [0-9<>|]{{0,2}} [{_GLYPHS}\ ]{{3,200}} \] | \| [{_GLYPHS}\ ]{{4,200}} \|"
    rf" | < [{_GLYPHS}\ ]{{4,200}} > (?!\S)"
    rf" | (?<!\S) (?: [{_GLYPHS}]{{5,200}} | [{_FILLED}]{{1,200}} ) (?!\S)",
    "scale": r"(?<![\w.]) 0 (?: \.{2,4} [0-9]{1,3} ){1,20} \.{0,4} (?![\w.])",
    "date": rf"{_APART} (?: [0-9]{{4}} (?P<big>[-/]) [0-9]{{2}} (?P=big) [0-9]{{2}}"
    r" | [0-9]{1,2} (?P<dot>[-/.]) [0-9]{1,2} (?P=dot) (?:[0-9]{4}|[0-9]{2}) )"
    r" (?: [T\ ] [0-9]{2}:[0-9]{2} (?: :[0-9]{2} (?:[.,][0-9]{1,9})? )? )? Z? (?![\w/-])",
    "chain": rf"{_APART} {_NUMBER} (?: \ {{0,6}}/\ {{0,6}} {_NUMBER} ){{2,9}} (?! [0-9/] )",
    "clocks": rf"{_APART} (?P<at>{_CLOCK}) \ ?/\ ? (?P<end>{_CLOCK}) (?![\w:/])",
    "clock": rf"{_APART} {_CLOCK} (?![\w:]) | (?<!\S) [-?]{{1,4}} : [-?]{{1,4}} (?: : [-?]{{1,4}} )?",
    "pair": rf"{_APART} (?P<done>{_NUMBER}) (?:\ {{0,3}}(?P<unit>{_UNIT}))?+"
    r" (?P<sep> \ {0,6}/\ {0,6} | \ {1,6}(?:(?:out\ )?of|von|sur|di|de|van)\ {1,6} )"
    rf" (?P<all>{_NUMBER}) (?:\ {{0,3}}(?P<units>{_UNIT}))?+"
    r" (?![\w/] | :[0-9] | \ {1,6}/ | \ ?=\ ?[0-9] | [.,][0-9] | \ ?[A-Za-z]{0,5}/s )",
    "percent": rf"{_APART} (?P<share>[0-9]{{1,3}},[0-9]{{1,2}}(?=\ ?%)|{_NUMBER}) \ ?% (?![\w])",
    "range": rf"{_APART} [0-9.]{{1,20}} [-:] [0-9.]{{1,20}} (?![\w])",
    "rate": rf"{_APART} {_NUMBER} \ {{0,3}}"
    rf" (?: [A-Za-z\u00b5]{{0,12}} {_PER} | fps | [kMG]?bps | rpm | Hz | x ) (?![\w=])",
    "time": rf"{_APART} (?: [0-9]{{1,6}} (?:\.[0-9]{{1,9}})? \ ? {_TIME_UNIT} \ ? ){{1,4}} (?![\w])",
    "count": rf"{_APART} (?P<amount>{_NUMBER})"
    rf" (?: \ {{0,3}} (?P<size>{_UNIT}) | (?P<things>[A-Za-z]{{1,10}}) )? (?![\w])",
    "word": r"[A-Za-z_]+ (?![\w./~@\\])",
    "name": r"[\w/~.@\\] [\w./~@+\\-]*",
}
"""What a record is made of, the first that fits at each place. No repetition can be split in two ways, so that `re`
takes linear time."""

_TOKEN: Final = re.compile("|".join(f"(?P<{kind}>{text})" for kind, text in _TOKENS.items()), re.VERBOSE)

_EDGES: Final = " \t:;,|/\\[](){}<>=#*.-\u2502\u2501"
"""What is cut off the ends of a label."""

_VERDICT: Final = re.compile(
    r"\s*(?:(?:not )?ok \d|(?:PASS|FAIL|PASSED|FAILED)\b|[\u2713\u2714\u2717\u2718]\s)"
    r"|.{1,400}\.\.\. (?:ok|OK|PASS|FAIL|FAILED|ERROR|skipped\b.{0,80})\s*$"
)

_LEFT: Final = re.compile(r"(?:left|remaining|to-chk|ir-chk|todo|to go|pending|queued)\W{0,3}\Z", re.IGNORECASE)
"""Before `a/b`: so many of them are left."""

_FRAME: Final = re.compile(
    rf"[\[|(] (?P<done> (?P<full>[{_GLYPHS}]) (?P=full)* )? [>{_GLYPHS}]?"
    r" (?P<rest> (?P<empty>[ .\u00b7_\u2591-]) (?P=empty)* )? [\]|)]",
    re.VERBOSE,
)
"""A bar in a frame: filled, at most one head, empty."""

_NARROWEST: Final = 5

_MONTH: Final = re.compile(r"[0-9]{1,2}/(?:19|20)[0-9]{2}")
_DEGREES: Final = frozenset("cfkvaw")
_NUMERIC: Final = frozenset({"count", "time", "clock", "percent", "pair", "rate", "range", "date", "chain"})
_MOST_NUMBERS: Final = 3
"""Numbers in a record; where there are more, it is a row of a table or a list of measures."""


def heads_percentages(record: bytes) -> bool:
    """Whether a record is the head of a table whose first column holds percentages: `  % Total    % Received`."""
    return record.lstrip()[:2] == b"% " and not any(byte in b"0123456789" for byte in record)


def is_verdict(record: bytes) -> bool:
    """Whether a record says how one test ended, as TAP, jest and unittest do."""
    return _VERDICT.match(record[:LONGEST].decode("utf-8", "replace")) is not None


def find_features(record: bytes, *, is_percentage_first: bool = False) -> list[Feature]:
    """Return the numbers of a record that might be progress, from left to right.

    Args:
        record: a record, as `RecordSplitter` gives it.
        is_percentage_first: whether the head of a table said that its rows begin with one.
    """
    text = record[:LONGEST].decode("utf-8", "surrogateescape")
    found = _Line(text).features(is_percentage_first) if any(char.isdigit() for char in text) else _drawn(text)
    if is_verdict(record):
        found.append(Feature("verdict", 0.0, None, "verdict", "verdict", "", True, True, (0, 0)))
    return found


class _Line:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_TOKEN.finditer(text))
        first = next((token.start() for token in self._tokens if token.lastgroup not in ("word", "name")), len(text))
        self._label = text[:first].strip(_EDGES)
        self._has_bar = any(token.lastgroup == "bar" for token in self._tokens)
        self._words = {token[0].casefold() for token in self._tokens if token.lastgroup == "word"}
        self._label_words = set(re.findall(r"[a-z]+", self._label.casefold()))

    def features(self, is_percentage_first: bool) -> list[Feature]:
        found = list(islice(self._determinate(), MOST))
        first = self._tokens[0]
        if is_percentage_first and len(self._tokens) > 3 and first.lastgroup == "count" and not found:
            value = float(first["amount"].replace(",", ""))
            return [self._feature("percent", value, 100.0, first, "table", "", is_sure=True)] if value <= 100 else []
        return [*found, *islice(self._counts(), MOST)]

    # --- with a total ---

    def _determinate(self) -> Iterator[Feature]:
        shares = [token for token in self._tokens if token.lastgroup == "percent"]
        marks = [float(token["share"].replace(",", "")) for token in shares]
        if len(shares) > 2 and _ascends(marks):
            yield from self._scale(shares[-1], marks)
            return
        is_spread = len(shares) > 1  # several percentages are a distribution, unless a word says more
        number = 0
        for place, token in enumerate(self._tokens):
            features: Sequence[Feature | None] = ()
            match token.lastgroup:
                case "percent":
                    features = [self._percent(place, token, number, is_spread=is_spread)]
                case "pair":
                    features = self._pair(place, token, number)
                case "clocks":
                    features = self._total(token["at"], token["end"], token, ("clocks", number))
                case "count":
                    features = [self._fraction(place, token)]
                case "scale":
                    features = list(self._scale(token, [float(mark) for mark in re.findall("[0-9]+", token[0])]))
            found = [feature for feature in features if feature is not None]
            number += bool(found)
            yield from found

    def _percent(self, place: int, token: re.Match[str], number: int, *, is_spread: bool) -> Feature | None:
        value = _number(token["share"])
        if value is None or value > 100:
            return None
        before, after = self._neighbour(place, -1), self._neighbour(place, 1)
        is_result = self._text[: token.start()].rstrip().endswith(("\u00b1", "<", "~", "=>", "->"))
        follows_bar = place > 0 and self._tokens[place - 1].lastgroup == "bar"
        if (is_result and not follows_bar) or {before, after} & NOT_PROGRESS:
            return None
        if is_spread and not {before, after} & (PROGRESS | WHOLE):
            return None
        bracket = self._bracket(token)
        at_start = bracket != "[" and not self._text[: token.start()].strip(_EDGES)
        is_sure = self._has_bar or bracket == "[" or bool(self._words & PROGRESS)
        if not is_sure and (self._words & METRICS or self._label_words & NOT_PROGRESS):
            return None
        is_whole = bool({before, after} & WHOLE)
        label = "" if bracket == "[" or at_start else self._label
        return self._feature(
            "percent",
            value,
            100.0,
            token,
            (bracket, at_start, number),
            _key(label),
            is_sure=is_sure,
            names_step=is_whole,
        )

    def _pair(self, place: int, token: re.Match[str], number: int) -> Sequence[Feature]:
        before, after = self._neighbour(place, -1), self._neighbour(place, 1)
        if ({before, after} | self._label_words) & NOT_PAIR and not self._has_bar:
            return ()
        if _MONTH.fullmatch(token[0]):
            return ()
        unit, units = token["unit"] or token["units"] or "", token["units"] or token["unit"] or ""
        bracket = self._bracket(token)
        names_step = before in STEPS or after in STEPS or bracket == "["
        layout = (bracket, token["sep"].strip(), bool(units), number)
        return self._total(token["done"] + unit, token["all"] + units, token, layout, names_step=names_step)

    def _total(
        self, part: str, whole: str, token: re.Match[str], layout: Hashable, *, names_step: bool = False
    ) -> Sequence[Feature]:
        """Return what two numbers can be: so much of a total, what is left of it, done and left."""
        done, total = _number(part), _number(whole)
        if done is None or not total:
            return ()
        if done <= total and _LEFT.search(self._text[max(0, token.start() - 20) : token.start()]):
            return (self._feature("left", total - done, total, token, layout, total),)
        return (
            self._feature("pair", done, total, token, layout, total, names_step=names_step),
            self._feature("split", done, total, token, layout, "", names_step=names_step),
        )

    def _fraction(self, place: int, token: re.Match[str]) -> Feature | None:
        """`progress=0.25`: a share of one."""
        before, amount = self._neighbour(place, -1), token["amount"]
        if before not in FRACTIONS or "." not in amount or float(amount.replace(",", "")) > 1:
            return None
        return self._feature("fraction", float(amount), None, token, before, _key(self._label))

    def _scale(self, token: re.Match[str], marks: Sequence[float]) -> Iterator[Feature]:
        """`0...10...20` and `10% 20% 30%`: a line that grows by marks."""
        if _ascends(marks) and marks[-1] <= 100:
            for mark in marks:
                yield self._feature("scale", mark, 100.0, token, "", _key(self._label), is_sure=True)

    # --- without a total ---

    def _counts(self) -> Iterator[Feature]:
        shape = self._shape()
        numbers = [token for token in self._tokens if token.lastgroup == "count"]
        if len(numbers) > 1 and not (self._has_bar or self._words):
            return  # a row of a table
        kinds = [token.lastgroup for token in self._tokens]
        is_row = sum(kind in _NUMERIC for kind in kinds) > _MOST_NUMBERS and "percent" not in kinds
        for place, token in enumerate(self._tokens):
            if token.lastgroup == "chain" and " " not in token[0]:
                for part, amount in enumerate(re.finditer(r"[^/]+", token[0])):
                    where = (token.start() + amount.start(), token.start() + amount.end())
                    number = float(amount[0].replace(",", ""))
                    yield self._feature("count", number, None, token, ("chain", place, part), shape, where=where)
            if token.lastgroup != "count":
                continue
            value = _number(token["amount"] + (token["size"] or ""))
            before = self._neighbour(place, -1)
            after = (token["things"] or self._neighbour(place, 1)).casefold()
            is_none = {before, self._label.casefold()} & NOT_COUNT or after in RATES or after in _DEGREES
            if value is None or is_none or self._is_identifier(token) or not (token["size"] or value.is_integer()):
                continue
            is_sure = bool(token["size"]) or self._has_bar
            is_named = bool({before, after} & (DONE | THINGS))
            has_key = before and self._text[: token.start()].rstrip().endswith("=")
            if is_row and not (is_sure or is_named or has_key):
                continue
            series = (self._label, before) if has_key else (place, shape)
            yield self._feature("count", value, None, token, "", series, is_sure=is_sure, names_step=is_named)

    def _is_identifier(self, token: re.Match[str]) -> bool:
        """Whether a number is a time or names something: seconds since 1970, `[   12.345]`, `007`, `a[3]`, `17:`."""
        whole, _, decimals = token["amount"].partition(".")
        before, after = self._text[: token.start()], self._text[token.end() :].lstrip()
        is_first = not before.strip(" [(")
        return bool(
            (token["size"] is None and len(whole) in (10, 13) and whole.startswith("1"))
            or (is_first and (len(decimals) >= 3 or after[:1] in ("|", ":", ")")))
            or re.match(r"0\d", whole)
            or re.fullmatch(r"\w\[", before[-2:])
            or (before.endswith(":") and after.startswith(":"))
        )

    def _shape(self) -> str:
        """Return the record with what may change taken out of it: numbers, bars, names of files."""
        parts, end = [], 0
        has_words = any(token.lastgroup == "word" for token in self._tokens)
        for token in self._tokens:
            parts.append(self._text[end : token.start()])
            end = token.end()
            kind = token.lastgroup
            keeps = kind == "word" or (kind == "name" and not has_words)
            parts.append(token[0] if keeps else "W" if kind == "name" else "|" if kind == "bar" else "0")
        parts.append(self._text[end:])
        return "".join("".join(parts).split())

    # --- what stands around ---

    def _feature(
        self,
        kind: Kind,
        value: float,
        total: float | None,
        token: re.Match[str],
        layout: Hashable,
        series: Hashable,
        *,
        is_sure: bool = False,
        names_step: bool = False,
        where: tuple[int, int] | None = None,
    ) -> Feature:
        start, end = where or token.span()
        span = (_size(self._text[:start]), _size(self._text[:end]))
        label = self._label
        return Feature(kind, value, total, (kind, layout, series), (kind, layout), label, is_sure, names_step, span)

    def _neighbour(self, place: int, step: int) -> str:
        """Return the word next to a token, with nothing but spaces and light punctuation between."""
        other = place + step
        if not 0 <= other < len(self._tokens) or self._tokens[other].lastgroup != "word":
            return ""
        left, right = sorted((self._tokens[place], self._tokens[other]), key=lambda token: token.start())
        between = self._text[left.end() : right.start()]
        is_key = step > 0 and self._text[right.end() : right.end() + 1] in ("=", ":")  # of the next number
        return self._tokens[other][0].casefold() if not (between.strip(" :=(#-") or is_key) else ""

    def _bracket(self, token: re.Match[str]) -> str:
        before, after = self._text[: token.start()].rstrip(), self._text[token.end() :].lstrip()
        return before[-1:] if before[-1:] in ("[", "(") and after[:1] in ("]", ")") else ""


def _number(text: str) -> float | None:
    if re.fullmatch(r"[0-9]{1,3},[0-9]{1,2}", text):
        return float(text.replace(",", "."))  # as it is written in much of Europe
    return parse_number(text.replace(",", ""))


def _size(text: str) -> int:
    """Return the length in bytes of what was decoded."""
    return len(text.encode("utf-8", "surrogateescape"))


def _ascends(numbers: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(numbers))


def _key(label: str) -> str:
    return re.sub(r"[0-9]+", "0", label)


def _drawn(text: str) -> list[Feature]:
    """Return the bar or the row of dots of a record without digits."""
    row = text.strip()
    if row and len(set(row)) == 1 and re.fullmatch(rf"[{_GLYPHS}]", row[0]):
        return [Feature("dots", float(len(row)), None, row[0], "dots", "", False, False, (0, 0))]
    frame = _FRAME.search(text)
    if frame is None:
        return []
    width = len(frame[0]) - 2
    full, empty = len(frame["done"] or ""), len(frame["rest"] or "")
    if width < _NARROWEST or full + empty < width - 1 or frame["full"] == frame["empty"]:
        return []
    label = text[: frame.start()].strip(_EDGES)
    span = (_size(text[: frame.start()]), _size(text[: frame.end()]))
    return [Feature("bar", float(width - empty), float(width), (label, width), "bar", label, True, False, span)]
