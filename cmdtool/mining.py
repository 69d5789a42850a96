"""Records of a program nobody described -> readings: features become series, and a series that rises is followed.

The method is explained at the top of `detect.py`. Pure: no clock. A record costs some fifty microseconds, so of a block
with very many of them the middle is left out: what it says would be replaced before anybody saw it.
"""

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from cmdtool.features import LONGEST, Feature, find_features, heads_percentages, is_verdict
from cmdtool.json_lines import json_features
from cmdtool.readings import Reading
from cmdtool.records import Placed
from cmdtool.suggest import Finding, Sample, suggest
from cmdtool.text import clean_line

_FIRST: Final = 3
_LAST: Final = 7
"""Records at the start and at the end of a block that are looked at."""

_MOST_SERIES: Final = 200
_KEPT: Final = 12
"""What a series says before its proof, or before its turn, that is told later."""

_GROWING: Final = ("dots", "scale")
"""Kinds that say something only while their record grows."""

_LARGE: Final = 1000

_COMPLETE: Final = 0.985
_SAME: Final = 0.02
"""Difference of two fractions that is explained by rounding."""

_FEW: Final = 3
_LATELY: Final = 10
"""Records in which a percentage that was seen may begin to rise before a bare count is told."""

_LONG: Final = 50
"""Records without a count after which another count is the next phase."""

_LONGEST_STAGE: Final = 60


Key: TypeAlias = tuple[Hashable, ...]
"""What a series is known by: where it was printed, and what its features share."""


@dataclass(frozen=True, slots=True)
class Said:
    """A feature in its record: the number of that, and its row on the screen if it was drawn there."""

    number: int
    feature: Feature
    record: bytes
    row: int | None


@dataclass(slots=True)
class _Series:
    """The same number through the records of a run."""

    newest: Feature
    waiting: list[Said] = field(default_factory=list)
    """What it said before its proof or its turn."""
    told: list[Said] = field(default_factory=list)
    """The first and the newest that was told."""
    rises: int = 0
    falls: int = 0
    restarts: int = 0
    """How often it fell after it was complete."""
    has_just_risen: bool = False
    seen: list[int] = field(default_factory=list)
    """The numbers of the last two records that it stood in."""
    repeats: int = 0
    """How often it said the same again."""
    ending: str = ""
    """What kind of character its last record ended with."""
    is_drawn: bool = False
    """Whether its record is drawn again and again."""
    is_proven: bool = False
    is_share: bool = True
    """Whether a fraction is one of 1; it is one of 100 once more than 1 was seen."""
    is_split: bool = False
    """Whether its two numbers are done and left: the total is their sum."""

    def copy(self) -> "_Series":
        other = copy(self)
        other.waiting = list(self.waiting)
        return other

    def wait(self, said: Said) -> None:
        """Keep what is said until it is proven, or until it is its turn."""
        if self.waiting and self.waiting[-1].feature.value == said.feature.value:
            self.repeats += 1
        else:
            self.waiting = [*self.waiting[1 - _KEPT :], said]
        self.ending = _ending(said.record)

    def forget(self, number: int) -> None:
        """Drop what was said up to a record."""
        self.waiting = [said for said in self.waiting if said.number > number]

    def tell(self) -> list[tuple[int, Reading]]:
        """Return what was kept, with the numbers of its records."""
        told, self.waiting = self.waiting, []
        self.told = [*self.told[:1], *told[-1:]] if self.told else [*told[:1], *told[-1:]]
        return [(said.number, self._reading(said)) for said in told if self.is_possible(said.feature)]

    def _reading(self, said: Said) -> Reading:
        value, total = self.value_of(said.feature)
        message = clean_line(said.record.decode("utf-8", "replace")) or None
        row = said.row if total is not None else None
        return Reading(value, total, message, clean_line(said.feature.label, _LONGEST_STAGE) or None, row)

    def note(self, feature: Feature, *, is_drawn: bool) -> None:
        """Take the next value, and judge whether the series is proven by now; what is drawn again proves more."""
        last, self.newest = self.newest, feature
        self.is_drawn = is_drawn
        if feature.kind == "fraction" and self.is_share and feature.value > 1:
            self.is_share, self.is_proven, self.rises, self.waiting = False, False, 0, []
        step = self._step(last, feature)
        self.has_just_risen = step > 0
        if step > 0:
            self.rises += 1
        elif step < 0:
            self.falls += 1
            if not self.is_proven or feature.kind == "count" or self._is_erratic():
                self.rises, self.is_proven = 0, False
        self.is_proven |= self.rises >= self._needed(is_drawn=is_drawn)

    def value_of(self, feature: Feature) -> tuple[float, float | None]:
        """Return how much is done and the total, as a reading has them."""
        match feature.kind:
            case "split" if self.is_split and feature.total is not None:
                return feature.value, feature.value + feature.total
            case "fraction":
                return feature.value * (100 if self.is_share else 1), 100.0
        return feature.value, feature.total

    def is_possible(self, feature: Feature) -> bool:
        """Whether not more is done than there is."""
        value, total = self.value_of(feature)
        return total is None or value <= total

    @property
    def is_determinate(self) -> bool:
        return self.value_of(self.newest)[1] is not None

    @property
    def is_hopeful(self) -> bool:
        """Whether it would be determinate, and nothing but more of it is missing to believe it."""
        has_begun = self.rises > 0 or (self.newest.is_sure and self.newest.kind == "percent")
        return self.is_determinate and not self.is_proven and not self.falls and has_begun

    @property
    def fraction(self) -> float:
        value, total = self.value_of(self.newest)
        return value / total if total else 0.0

    @property
    def is_complete(self) -> bool:
        return self.is_determinate and self.fraction >= _COMPLETE

    def _step(self, last: Feature, feature: Feature) -> int:
        """Return whether the step to `feature` speaks for progress (1), against it (-1) or not at all (0)."""
        rise = feature.value - last.value
        match feature.kind:
            case "dots":
                return (rise > 0) - (not 0 <= rise <= 2)
            case "split":
                return self._split_step(rise, last.total or 0.0, feature.total or 0.0)
        if last.total is None:
            return (rise > 0) - (rise < 0)
        if rise < 0 and last.value >= last.total * _COMPLETE:
            self.restarts += 1
            return 0  # the next of several
        is_leap = last.value == 0 and feature.value == last.total  # from nothing to all: says nothing
        return 0 if is_leap else (rise > 0) - (rise < 0)

    def _split_step(self, rise: float, last: float, total: float) -> int:
        """Judge two numbers of which both change: done and left, or a total that grows."""
        if rise > 0 and abs(rise - (last - total)) < 1e-6 * rise:
            self.is_split = True
            return 1
        if self.is_split:
            return 0 if rise == 0 and total == last else -1
        return 1 if rise > 0 and total > last else 0

    def _needed(self, *, is_drawn: bool) -> int:
        feature = self.newest
        if feature.kind == "split":
            return (1 if self.is_split else 3) + 3 * self.falls
        base = {"pair": 1, "left": 1, "scale": 1, "verdict": 1, "dots": 3, "count": 3}.get(feature.kind, 2)
        if feature.kind == "count":
            base -= feature.is_sure + is_drawn if feature.is_sure else feature.names_step
        elif feature.kind == "percent":
            base -= feature.is_sure
        return base + 3 * self.falls

    def _is_erratic(self) -> bool:
        return self.falls > 2 and self.falls * 3 > self.rises


@dataclass(slots=True)
class _State:
    """What is known of a run after some records."""

    series: dict[Key, _Series] = field(default_factory=dict)
    layouts: set[Hashable] = field(default_factory=set)
    """Layouts in which a series was proven: another one in it needs no proof of its own."""
    focus: Key | None = None
    """The key of the series that is followed."""
    count: int = 0
    """Records so far."""
    is_screen: bool = False
    wholes: set[Hashable] = field(default_factory=set)
    """Series that count the steps of a job while its parts rise and begin again."""
    tables: set[Hashable] = field(default_factory=set)
    """Places where the head of a table was printed whose rows begin with a percentage."""

    def copy(self) -> "_State":
        series = {key: series.copy() for key, series in self.series.items()}
        return _State(
            series, set(self.layouts), self.focus, self.count, self.is_screen, set(self.wholes), set(self.tables)
        )

    def take(self, place: Hashable, record: bytes, *, is_screen: bool) -> list[Reading]:
        """Take one record from `place`; return what is told now, the newest last."""
        self.count += 1
        if is_screen and not self.is_screen:
            self.is_screen = True
            self.series = {_key(key[0], series.newest, is_screen): series for key, series in self.series.items()}
        present: dict[Key, Feature] = {}
        for feature in self._features(place, record):
            if feature.kind not in _GROWING:
                present[_key(place, feature, is_screen)] = feature
        row = record.row if isinstance(record, Placed) else None
        for key, feature in present.items():
            self._note(key, feature, Said(self.count, feature, record[:LONGEST], row))
        self._corroborate(present)
        offers = [key for key in present if self._is_offered(key)]
        if not offers:
            return []
        best = self._best(present, offers)
        if is_screen and best is not None and self.series[best].is_determinate and self._is_another_bar(best):
            self.focus = best
            return self._tell(self._bars_like(best))  # which of them counts is for `Bars`
        chosen = self._choose(best, present, offers)
        if chosen is None:
            return []
        before, self.focus = self.focus, chosen
        if before in self.series and before != chosen and self.series[before].is_determinate:
            self.series[chosen].forget(self.series[before].seen[-1])  # that was beside it, not after it
        return self._tell([chosen])

    def _features(self, place: Hashable, record: bytes) -> list[Feature]:
        if record.lstrip()[:1] == b"{":
            return json_features(record)
        if heads_percentages(record):
            self.tables.add(place)
        return find_features(record, is_percentage_first=place in self.tables)

    def _is_another_bar(self, best: Key) -> bool:
        """Whether what is drawn is like what is followed, or there is nothing to follow any more."""
        focus = self.series.get(self.focus) if self.focus else None
        if focus is None or not focus.is_determinate or self.count - focus.seen[-1] > _LATELY:
            return True
        return focus.newest.layout == self.series[best].newest.layout

    def _bars_like(self, best: Key) -> list[Key]:
        """Return the series in the layout of `best`: where one bar has moved, the others are bars too."""
        layout = self.series[best].newest.layout
        return [key for key, series in self.series.items() if series.newest.layout == layout]

    def _tell(self, keys: Sequence[Key]) -> list[Reading]:
        told = [said for key in keys for said in self.series[key].tell()]
        return [reading for _, reading in sorted(told, key=lambda one: one[0])]

    def _note(self, key: Key, feature: Feature, said: Said) -> None:
        series = self.series.pop(key, None)
        if series is None:
            series = _Series(feature, is_proven=feature.layout in self.layouts)
        if feature.kind == "verdict":
            feature = replace(feature, value=series.newest.value + 1)
        series.note(feature, is_drawn=said.row is not None)
        series.wait(replace(said, feature=feature))
        series.seen = [*series.seen[-1:], self.count]
        self.series[key] = series  # the newest last
        if len(self.series) > _MOST_SERIES:
            del self.series[next(old for old in self.series if old != self.focus)]
        if series.is_proven and feature.kind in ("percent", "pair"):
            self.layouts.add(feature.layout)

    def _corroborate(self, present: Mapping[Key, Feature]) -> None:
        """Take what rises together with a large number or a size beside it as proven."""
        risen = [self.series[key] for key in present if self.series[key].has_just_risen]
        large = [series for series in risen if series.newest.kind == "count" and series.newest.value >= _LARGE]
        for series in risen:
            is_percent = series.newest.kind == "percent" and series.is_drawn
            if any(other is not series for other in large) and (is_percent or series in large):
                series.is_proven |= not series.falls

    def _is_offered(self, key: Key) -> bool:
        series = self.series[key]
        return series.is_proven and series.is_possible(series.newest)

    def _choose(self, best: Key | None, present: Mapping[Key, Feature], offers: Sequence[Key]) -> Key | None:
        """Return the key of the series to follow from this record on, None if what it says must wait."""
        if best is None:
            return None
        focus = self.series.get(self.focus) if self.focus else None
        if focus is None or not focus.is_proven:
            return self._whole_around(best) or best
        if best == self.focus:
            return best
        if self.series[best].is_determinate and not focus.is_determinate:
            return best
        if self.focus in present:
            return self.focus if self.focus in offers else None
        absence = self.count - focus.seen[-1]
        if not self.series[best].is_determinate:
            return None if focus.is_determinate or absence < _LONG else best
        other = self.series[best]
        counts_steps = focus.newest.names_step and focus.newest.kind == "pair" and not focus.is_complete
        if counts_steps and (self.focus in self.wholes or other.restarts):
            return None  # that begins again with each step of the whole
        has_ended = focus.is_complete and not other.is_complete
        is_alone = len(other.seen) > 1 and other.seen[0] > focus.seen[-1]
        return best if has_ended or is_alone else None

    def _best(self, present: Mapping[Key, Feature], offers: Sequence[Key]) -> Key | None:
        """Return the offer that tells most; None where a total beside the counts is about to be proven."""
        series = self.series
        totals = [key for key in offers if series[key].is_determinate]
        if not totals:
            if any(series[key].is_hopeful for key in present) or self._expects_total():
                return None
            return max(offers, key=lambda key: series[key].newest.names_step)
        for key in totals:
            if series[key].newest.kind == "percent" and series[key].newest.names_step:
                return key
        for key in present:
            if key not in offers and series[key].newest.names_step and self._is_whole(series[key], series[totals[0]]):
                return key
        pairs = [key for key in totals if series[key].newest.kind != "percent"]
        percents = [key for key in totals if series[key].newest.kind == "percent"]
        if not pairs or (percents and self._is_rounded(series[pairs[0]], series[percents[0]])):
            return percents[0]
        return pairs[0]

    def _whole_around(self, best: Key) -> Key | None:
        """Return the pair that counts the steps of a job, `Epoch 1/4` on a line before, within which `best` rises."""
        part = self.series[best]
        if not part.is_determinate:
            return None
        first = part.waiting[0].number if part.waiting else self.count
        for key, series in self.series.items():
            newest = series.newest
            is_step = newest.kind == "pair" and newest.names_step and newest.value < (newest.total or 0.0)
            if key != best and is_step and not series.falls and first - _LATELY < series.seen[0] < first:
                series.is_proven = True
                self.wholes.add(key)
                return key
        return None

    def _expects_total(self) -> bool:
        """Whether a percentage was seen lately, and not often enough to know whether it rises."""
        return any(
            not one.is_proven and not one.falls and self.count - one.seen[-1] < _LATELY
            for one in self.series.values()
            if one.newest.kind == "percent" and (one.rises or len(one.waiting) + one.repeats < _FEW)
        )

    def _is_whole(self, steps: _Series, moving: _Series) -> bool:
        """Whether `steps`, which does not move, counts the parts of a job of which `moving` measures one."""
        if steps.newest.kind != "pair" or steps.falls or not steps.is_possible(steps.newest):
            return False
        return (steps.newest.total or 0.0) > 1 and abs(steps.fraction - moving.fraction) > _SAME

    def _is_rounded(self, pair: _Series, percent: _Series) -> bool:
        """Whether a pair, such as 900k/1.0M, says the same as the percentage beside it, but less exactly."""
        return not pair.newest.value.is_integer() and abs(pair.fraction - percent.fraction) < _SAME

    @property
    def has_total(self) -> bool:
        """Whether something with a total was seen that has not spoken against itself."""
        return any(series.is_determinate and not series.falls for series in self.series.values())

    @property
    def counts_verdicts(self) -> bool:
        """Whether lines that say how a test ended were seen."""
        return any(series.newest.kind == "verdict" for series in self.series.values())

    def may_end_so(self, place: Hashable, pending: bytes) -> bool:
        """Whether a growing record could be whole: what is followed ended with the same kind of character before."""
        if self.focus is None or self.focus[0] != place or self.focus not in self.series:
            return True
        return _ending(pending) == self.series[self.focus].ending


class Miner:
    """Reads the progress of one run whose program is not known."""

    def __init__(self) -> None:
        self._state = _State()
        self._ahead: tuple[Hashable, bytes, _State] | None = None
        """What the state becomes if a growing record ends as it stood when it was previewed."""
        self._told: list[Reading] = []
        """What was told of that record already."""
        self._growing: dict[Hashable, _Series] = {}
        self._grown: list[_Series] = []

    def feed(self, place: Hashable, records: Sequence[bytes], *, is_screen: bool = False) -> list[Reading]:
        """Take the next records of a stream; return what is told now, the newest last.

        Args:
            place: the stream.
            records: as `RecordSplitter` gives them.
            is_screen: whether the program draws on several rows at once.
        """
        if len(records) <= _FIRST + _LAST:
            return self._feed_all(place, records, is_screen)
        # The first ones may prove something, the last ones are what is told; lines that are counted count all.
        readings = self._feed_all(place, records[:_FIRST], is_screen)
        if self._state.counts_verdicts:
            verdicts = [record for record in records[_FIRST:-_LAST] if is_verdict(record)]
            readings += self._feed_all(place, verdicts, is_screen)
        return readings + self._feed_all(place, records[-_LAST:], is_screen)

    def _feed_all(self, place: Hashable, records: Sequence[bytes], is_screen: bool) -> list[Reading]:
        return [reading for record in records for reading in self._feed(place, record, is_screen)]

    def findings(self) -> list[Finding]:
        """Return the rules that would read what was followed so far, one phase after the other."""
        followed = [*self._state.series.values(), *self._grown]
        told = [series for series in followed if series.told and series.is_determinate]
        told = told or [series for series in followed if series.told]
        found: dict[Hashable, list[Finding]] = {}
        for series in sorted(told, key=lambda one: one.told[0].number):
            first, last = (Sample(said.feature, said.record) for said in (series.told[0], series.told[-1]))
            rules = suggest(first, last, is_split=series.is_split)
            found.setdefault(tuple(rule.pattern for rule in rules), rules)
        return [rule for rules in found.values() for rule in rules]

    def preview(self, place: Hashable, pending: bytes, *, is_screen: bool = False) -> list[Reading]:
        """Return what `feed` would if the record `pending` ended here; what is told now is not told again then."""
        if self._ahead is not None and self._ahead[:2] == (place, pending):
            return []
        if not self._state.may_end_so(place, pending):
            return []
        state = self._state.copy()
        readings = state.take(place, pending, is_screen=is_screen)
        readings = self._new(readings) or self._grow(place, pending)
        self._ahead = (place, pending, state)
        self._told += readings
        return readings

    def _feed(self, place: Hashable, record: bytes, is_screen: bool) -> list[Reading]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[:2] == (place, record):
            self._state = ahead[2]
            readings = []
        else:
            readings = self._new(self._state.take(place, record, is_screen=is_screen))
        if place in self._growing:
            readings = readings or self._new(self._grow(place, record))
            self._grown = [*self._grown[-_KEPT:], self._growing.pop(place)]
        self._told = []
        return readings

    def _new(self, readings: Sequence[Reading]) -> list[Reading]:
        told = {(reading.value, reading.total, reading.stage) for reading in self._told}
        return [reading for reading in readings if (reading.value, reading.total, reading.stage) not in told]

    def _grow(self, place: Hashable, pending: bytes) -> list[Reading]:
        """Look at a record that grows: a row of dots, a scale."""
        features = [feature for feature in find_features(pending) if feature.kind in _GROWING]
        if not features or (features[0].kind == "dots" and self._state.has_total):
            return []
        series = self._growing.get(place)
        if series is None:
            first = features[0]
            series = self._growing[place] = _Series(first, falls=first.kind == "dots" and first.value > 2)
        for feature in features:
            if feature.value >= series.newest.value:
                series.note(feature, is_drawn=True)
                series.wait(Said(0, feature, pending, None))
        return [reading for _, reading in series.tell()] if series.is_proven and not series.falls else []


def _key(place: Hashable, feature: Feature, is_screen: bool) -> Key:
    """Return what a series is known by: on a screen also by its label, for bars side by side may be alike."""
    return (place, feature.series, feature.label if is_screen and feature.total is not None else "")


def _ending(record: bytes) -> str:
    last = record.rstrip()[-1:].decode("latin-1")
    return "0" if last.isdigit() else "a" if last.isalpha() else last
