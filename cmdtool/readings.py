"""Rules -> readings: what a program prints, record by record, becomes value, total, message and stage.

The groups of a match set fields of a state, and the state is the progress: a field holds until it is set again. Values
are as the program printed them, for one stage; `progress.py` puts stages onto one scale. No I/O, no clock.
"""

import copy
import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cmdtool.model import Counted, ProgressSpec, Rule, Stream
from cmdtool.patterns import FIELDS, NUMBERS, Pattern, compile_pattern
from cmdtool.records import Placed
from cmdtool.template import Template
from cmdtool.text import clean_line
from cmdtool.values import parse_number, stage_key

_VALUES: Final = frozenset({"progress", "remaining", "increment"})
"""Fields that say how far, and with a known total are rivals of `percent`."""

_UNIT: Final = re.compile(r" *[kKMGTP]i?B?$")
_CLEARED_BY_A_STAGE: Final = ("progress", "total", "percent", "remaining")


@dataclass(frozen=True, slots=True)
class Reading:
    """Progress as the rules read it: raw numbers of the current stage, either of them None while unknown."""

    value: float | None
    total: float | None
    message: str | None
    stage: str | None
    row: int | None = None
    """The row of the screen it was drawn on, where a program draws on several."""
    is_first: bool = field(default=False, compare=False)
    """Whether it is the first after a start: before it, nothing was done of the same total."""


@dataclass(frozen=True, slots=True)
class Match:
    """What one rule reads in one record, for whoever writes rules: where it matches, and the fields it sets."""

    pattern: str
    start: int
    end: int
    fields: Mapping[str, str]
    skips: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: Pattern
    stream: Stream | None
    stage: str | None
    message: Template | None
    total: float | Counted | None
    start: bool
    skip: bool
    counts: bool
    """Whether each match adds to the progress: its `increment`, or one where nothing else is read or set."""

    @property
    def sets_stage(self) -> bool:
        return self.stage is not None or "stage" in self.pattern.names


@dataclass(frozen=True, slots=True)
class _Hit:
    """What one rule read in one record; only values that can be used."""

    rule: _Rule
    numbers: Mapping[str, float]
    texts: Mapping[str, str]

    @property
    def stage(self) -> str | None:
        return self.texts.get("stage") or self.rule.stage


@dataclass(slots=True)
class _State:
    progress: float | None = None
    total: float | Counted | None = None
    remaining: float | None = None
    percent: float | None = None
    is_at_start: bool = False
    percent_is_newer: bool = False
    remaining_is_newer: bool = False
    message: str | None = None
    stage: str | None = None
    record: bytes = b""
    texts: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "_State":
        other = copy.copy(self)
        other.texts = dict(self.texts)
        return other

    def start(self) -> None:
        """Begin anew, with nothing read."""
        self.is_at_start = True
        self.stage = None
        self._forget()

    def enter(self, stage: str) -> None:
        """Make `stage` the current one; a new one starts with nothing read."""
        if self.stage is not None and stage_key(stage) == stage_key(self.stage):
            return
        self.stage = stage
        self._forget()

    def _forget(self) -> None:
        self.progress = self.total = self.remaining = self.percent = None
        for name in _CLEARED_BY_A_STAGE:
            self.texts.pop(name, None)

    def set_numbers(self, hit: _Hit) -> bool:
        """Take over the numbers of `hit`; return whether there was one."""
        for name, number in hit.numbers.items():
            match name:
                case "progress":
                    self.progress = number
                case "increment":
                    self.progress = (self.progress or 0.0) + number
                case "remaining":
                    self.remaining = number
                case "percent":
                    self.percent = number
                case "total":
                    self.total = number or None
        if "total" not in hit.numbers and hit.rule.total is not None:
            self.total = hit.rule.total
            return True
        return bool(hit.numbers)


class Reader:
    """Reads the records of one call by the rules of one tool.

    Cost: rules whose fields only hold are shown the newest records they match of each batch, found by `bytes.rfind`;
    rules that count, and all rules where a record's meaning depends on earlier ones, see each record they match.
    """

    def __init__(self, spec: ProgressSpec, arguments: Mapping[str, str] = MappingProxyType({})) -> None:
        self._arguments = arguments
        self._rules = tuple(self._compile(rule) for rule in spec.rules)
        self._fallback = self._resolve_total(spec.total)
        self._counts: dict[Counted, float] = {}
        self._order_matters = _order_matters(self._rules)
        self._bars = spec.bars
        self._state = _State()

    @property
    def total(self) -> float | None:
        """The total as known now."""
        return self._reading(self._state).total

    def set_total(self, counted: Counted, value: float) -> Reading | None:
        """Take the number that the command of `counted` printed; return the state, or None if it has no value yet."""
        if not math.isfinite(value) or value <= 0:
            return None
        self._counts[counted] = value
        reading = self._reading(self._state)
        return reading if reading.value is not None else None

    def feed(self, stream: Stream, records: Sequence[bytes]) -> Reading | None:
        """Return the state after `records`, or None if no rule read anything in them."""
        has_read = False
        for record, hits in self._select(stream, records) if records else ():
            has_read |= self._apply(self._state, record, hits)
        return self._told(self._reading(self._state), records[-1]) if has_read else None

    def read(self, stream: Stream, records: Sequence[bytes]) -> list[Reading]:
        """Return what `feed` does, but of bars, of which several may be drawn at once, the reading of each record."""
        each = [[record] for record in records] if self._bars else [records]
        return [reading for some in each if (reading := self.feed(stream, some)) is not None]

    def preview(self, stream: Stream, pending: bytes) -> Reading | None:
        """Return what `feed` would if the record `pending` ended here; the state stays as it is."""
        hits = self._read(stream, pending)
        state = self._state.copy()
        return self._told(self._reading(state), pending) if hits and self._apply(state, pending, hits) else None

    def _told(self, reading: Reading, record: bytes) -> Reading:
        self._state.is_at_start &= not reading.is_first
        if self._bars and reading.total is not None and isinstance(record, Placed):
            return dataclasses.replace(reading, row=record.row)
        return reading

    def explain(self, stream: Stream, record: bytes) -> list[Match]:
        """Return what each rule matches in `record`, in order, up to one that skips it; the state stays as it is."""
        found = []
        for rule in self._rules:
            matches = list(rule.pattern.matches(record)) if rule.stream in (None, stream) else []
            if not matches:
                continue
            hit = _hit(rule, matches)
            counted = {name: f"{hit.numbers[name]:g}" for name in hit.numbers if name not in hit.texts}
            staged = {"stage": rule.stage} if rule.stage and "stage" not in hit.texts else {}
            start, end = matches[-1].span()
            found.append(Match(rule.pattern.text, start, end, {**hit.texts, **counted, **staged}, rule.skip))
            if rule.skip:
                break
        return found

    # --- rules ---

    def _compile(self, rule: Rule) -> _Rule:
        pattern = compile_pattern(rule.pattern)
        is_bare = not (pattern.groups or rule.stage or rule.total or rule.start or rule.skip)
        return _Rule(
            pattern=pattern,
            stream=rule.stream,
            stage=clean_line(rule.stage or "") or None,
            message=rule.message,
            total=self._resolve_total(rule.total),
            start=rule.start,
            skip=rule.skip,
            counts=is_bare or "increment" in pattern.names,
        )

    def _resolve_total(self, total: float | Template | Counted | None) -> float | Counted | None:
        if not isinstance(total, Template):
            return total
        try:
            return parse_number(total.fill(self._arguments)) or None
        except KeyError:
            return None  # the argument was not given

    # --- one record ---

    def _read(self, stream: Stream, record: bytes) -> list[_Hit]:
        """Return what each rule reads in `record`, in order, up to a rule that skips it."""
        hits = []
        for rule in self._rules:
            if rule.stream not in (None, stream):
                continue
            matches = list(rule.pattern.matches(record))
            if matches and rule.skip:
                break
            if matches:
                hits.append(_hit(rule, matches))
        return hits

    def _apply(self, state: _State, record: bytes, hits: Sequence[_Hit]) -> bool:
        """Change `state` to what it is after a record; return whether something in it was read."""
        has_read = False
        if any(hit.rule.start for hit in hits):
            state.start()
        stage = next((hit.stage for hit in reversed(hits) if hit.stage), None)
        if stage:
            state.enter(stage)
            has_read = True
        for hit in hits:
            state.texts.update(hit.texts)
            has_read |= state.set_numbers(hit)
        names = {name for hit in hits for name in hit.numbers}
        if not names.isdisjoint(_VALUES):
            state.percent_is_newer = False
        elif "percent" in names:
            state.percent_is_newer = True
        if not names.isdisjoint({"progress", "increment"}):
            state.remaining_is_newer = False
        elif "remaining" in names:
            state.remaining_is_newer = True
        for hit in hits:
            if message := self._message(state, hit):
                state.message = message
                has_read = True
        if has_read:
            state.record = record
        return has_read

    def _message(self, state: _State, hit: _Hit) -> str | None:
        """Return what the message becomes by `hit`; a template waits until each of its fields was seen."""
        if hit.rule.message is None:
            return hit.texts.get("message")
        try:
            return clean_line(hit.rule.message.fill({**self._arguments, **state.texts}))
        except KeyError:
            return None

    def _reading(self, state: _State) -> Reading:
        total = self._known_total(state)
        value = state.progress
        counts_down = value is None or (state.remaining_is_newer and state.total is not None)
        if counts_down and state.remaining is not None and total is not None:
            value = max(total - state.remaining, 0.0)
        is_pair = value is not None and total is not None
        if state.percent is not None and (state.percent_is_newer or not is_pair):
            value, total = state.percent, 100.0
        elif value is not None and total is not None:
            value = min(value, total)
        message = state.message or state.stage or clean_line(state.record.decode(errors="replace"))
        is_first = state.is_at_start and value is not None
        return Reading(value, total, message or None, state.stage, is_first=is_first)

    def _known_total(self, state: _State) -> float | None:
        total = self._number(state.total)
        if total is None and state.progress is not None and state.remaining is not None:
            total = state.progress + state.remaining
        return total or self._number(self._fallback)

    def _number(self, total: float | Counted | None) -> float | None:
        return self._counts.get(total) if isinstance(total, Counted) else total

    # --- many records: only an optimisation, the state afterwards is that of applying each ---

    def _select(self, stream: Stream, records: Sequence[bytes]) -> list[tuple[bytes, list[_Hit]]]:
        """Return the records of a batch, in order, that the state after it depends on, and what was read in them.

        Going back from the end, a rule is done with the records when each of its groups was set: what it set before
        that has been replaced. A rule that must see each record never is.
        """
        text = b"\n".join(records)
        read: dict[int, tuple[bytes, list[_Hit]]] = {}
        for rule in self._rules:
            if rule.skip or rule.stream not in (None, stream) or not rule.pattern.may_match_in(text):
                continue
            sees_all = rule.counts or self._order_matters
            unset = {*rule.pattern.names, ""}  # "" is what the rule itself sets
            for start, record in _from_the_end(text, rule.pattern.literal):
                if start not in read:
                    read[start] = (record, self._read(stream, record))
                for hit in read[start][1]:
                    if hit.rule is rule:
                        unset -= {*hit.numbers, *hit.texts, ""}
                if not unset and not sees_all:
                    break
        return [read[start] for start in sorted(read)]


def _order_matters(rules: Sequence[_Rule]) -> bool:
    """Whether what one rule sets depends on when another matched: by a start or a stage, or in a message template."""
    for rule in rules:
        if rule.sets_stage or rule.start:
            return True
        if rule.message is not None:
            others = (other.pattern.names for other in rules if other is not rule)
            if not frozenset(rule.message.holes).isdisjoint(frozenset().union(*others)):
                return True
    return False


def _hit(rule: _Rule, matches: Sequence[Any]) -> _Hit:
    """Return what `matches` of `rule` say: the last one, but for increments, which each of them adds to."""
    texts: dict[str, str] = {}
    numbers: dict[str, float] = {}
    for name, group in rule.pattern.groups:
        text = _text(matches[-1], group)
        if name == "increment":
            counts = [parse_number(_text(match, group) or "") for match in matches]
            if any(count is not None for count in counts):
                numbers[name] = sum(count or 0.0 for count in counts)
        elif name in NUMBERS:
            number = parse_number(text or "")
            if number is None or (name == "percent" and number > 100):
                continue
            numbers[name] = number
        elif name in FIELDS:
            text = clean_line(text or "") or None
        if text is not None:
            texts[name] = text
    if rule.counts and not rule.pattern.groups:
        # A pattern that also matches nothing, as `.*` does at the end of each record, counts what it matched.
        numbers["increment"] = float(sum(match.end() > match.start() for match in matches) or 1)
    if numbers.keys() >= {"progress", "total"}:
        numbers["progress"] = _with_unit_of(texts["total"], texts["progress"], numbers)
    return _Hit(rule, numbers, texts)


def _with_unit_of(total: str, progress: str, numbers: Mapping[str, float]) -> float:
    """Return the progress of a pair: in `0.5/5.2 MB` the unit is that of both."""
    unit = _UNIT.search(total)
    shared = parse_number(progress + unit[0]) if unit and progress[-1:].isdigit() else None
    return shared if shared is not None and shared <= numbers["total"] else numbers["progress"]


def _text(match: Any, group: int) -> str | None:
    found: bytes | None = match.group(group)
    return None if found is None else found.decode(errors="replace")


def _from_the_end(text: bytes, literal: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the lines of `text` that hold `literal`, from the last to the first, with their places."""
    end = len(text)
    while end >= 0 and (found := text.rfind(literal, 0, end)) >= 0:
        start = text.rfind(b"\n", 0, found) + 1
        stop = text.find(b"\n", found)
        yield start, text[start : stop if stop >= 0 else len(text)]
        end = start - 1
