"""What `cmdtool parse` shows a person: the records that are read, the progress as a picture, the near misses."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from cmdtool.commands.sources import Source
from cmdtool.model import Progress
from cmdtool.nearly import NearMisses
from cmdtool.patterns import compile_pattern
from cmdtool.readings import Match, Reader, Reading
from cmdtool.replay import Sent, Step, held
from cmdtool.sinks.terminal import format_measure
from cmdtool.text import clean, clean_line
from cmdtool.timeline import draw

_MARKED: Final = "bold green"
_ALIKE: Final = 3
"""Records of one kind that are shown."""

_MOST: Final = 40
"""Records that are shown of all kinds."""

_INDENT: Final = 10
_WIDEST: Final = 120


class Report:
    """Prints on standard output: records as they come, the rest at the end."""

    def __init__(self, source: Source, name: str, spec: Progress, *, show_all: bool) -> None:
        self._console = Console(highlight=False)
        self._marks = ("", "") if self._console.is_terminal and self._console.color_system else ("«", "»")
        self._source = source
        self._spec = spec
        self._show_all = show_all
        self._reader = Reader(spec)
        self._numbers = {rule.pattern: number for number, rule in reversed([*enumerate(spec.rules, 1)])}
        patterns = (compile_pattern(rule.pattern) for rule in spec.rules)
        self._near = NearMisses(patterns, is_late=spec.detects)
        self._sent: list[Sent] = []
        self._steps: list[Step] = []
        self._records = self._read = self._shown = 0
        self._kinds: Counter[object] = Counter()
        self._hidden = 0
        self._last_hidden: tuple[float, bytes, Sequence[Match], Reading | None] | None = None
        self._end = source.end
        self._print(source.title)
        self._print(f"read by {name}")
        for number, rule in enumerate(spec.rules, 1):
            self._print_all([Text(f"{number:>4}  {rule.pattern}", "dim")])
        self._print()

    def sent(self, updates: Iterable[Sent]) -> None:
        """Take what a client is sent."""
        self._sent += updates

    def step(self, step: Step) -> None:
        """Show what came, if it was read."""
        self._records += len(step.records)
        self._end = max(self._end, step.t)
        if step.readings:
            self._steps.append(step)
        for record in step.records:
            matches = self._reader.explain(step.stream, record)
            reading = step.readings[-1] if step.readings and record is step.records[-1] else None
            if reading or any(match.skips for match in matches):
                self._read += reading is not None
                self._near.read(record)
                self._show(step.t, record, matches, reading)
            elif matches:
                numbers = ", ".join(str(self._numbers[match.pattern]) for match in matches)
                self._near.unread(step.t, record, f"rule {numbers} matches, but what it finds is no number or name")
            else:
                self._near.unread(step.t, record)

    def finish(self) -> None:
        """Show the rest."""
        if self._hidden and self._last_hidden:
            self._print_hidden(self._hidden - 1)
            self._print_read(*self._last_hidden)
        if self._read:
            self._print()
        else:
            self._print(f"nothing is read in {_count(self._records, 'record')}\n")
        self._show_progress()
        self._show_near()

    # --- records ---

    def _show(self, t: float, record: bytes, matches: Sequence[Match], reading: Reading | None) -> None:
        """Show a record; of many that are alike only the first ones, and the very last."""
        kind = (*(match.pattern for match in matches), reading and reading.stage)
        self._kinds[kind] += 1
        if self._show_all or (self._kinds[kind] <= _ALIKE and self._shown < _MOST):
            self._shown += 1
            self._print_hidden(self._hidden)
            self._hidden = 0
            self._print_read(t, record, matches, reading)
        else:
            self._hidden += 1
            self._last_hidden = (t, record, matches, reading)

    def _print_read(self, t: float, record: bytes, matches: Sequence[Match], reading: Reading | None) -> None:
        said = [Text(_describe(reading, record))] if reading else []
        said += [Text(self._explain(match), "dim") for match in matches]
        self._print_all([self._line(self._source.clock(t), self._marked(record, matches)), *self._below(said)])

    def _explain(self, match: Match) -> str:
        if match.skips:
            return f"rule {self._numbers[match.pattern]} skips it"
        fields = " ".join(f"{name}={clean_line(text, 60)}" for name, text in match.fields.items())
        return f"rule {self._numbers[match.pattern]}: {fields}"

    def _marked(self, record: bytes, matches: Sequence[Match]) -> Text:
        """Return the record with what matched marked, and of a long one the part around that."""
        text, place = Text(), 0
        for start, end in sorted(_without_spaces(record, match) for match in matches):
            text.append(_shown(record[place:start]))
            if end > max(start, place):
                text.append("".join([self._marks[0], _shown(record[max(start, place) : end]), self._marks[1]]), _MARKED)
            place = max(place, end)
        text.append(_shown(record[place:]))
        room = self._console.width - _INDENT
        first = min((span.start for span in text.spans), default=0)
        if text.cell_len > room and first > room // 2:
            text = Text("…") + text[first - room // 4 :]
        return text

    def _below(self, parts: Sequence[Text]) -> list[Text]:
        """Return what is said of a record: on one line where there is room."""
        line = Text("   ").join(parts)
        lines = [line] if line.cell_len <= self._console.width - _INDENT else parts
        return [self._line("", each) for each in lines if each]

    def _print_hidden(self, count: int) -> None:
        if count:
            self._print_all([self._line("", Text(f"… {count:,} more (--all shows them)", "dim"))])

    # --- the rest ---

    def _show_progress(self) -> None:
        if not self._sent:
            return
        last = self._sent[-1].update
        ended = format_measure(last.progress, last.total).strip() or "no number"
        self._print(f"a client would be sent {_count(len(self._sent), 'update')}; the last one is {ended}")
        back = held(self._steps, self._spec)
        for line in draw(self._sent, self._end, min(self._console.width, _WIDEST), self._source.clock, back):
            self._print(line)
        if back:
            self._print(f"▾ {_count(len(back), 'reading')} went back, and the progress was held")

    def _show_near(self) -> None:
        near = self._near.found()
        if near:
            self._print("\nnearly matched, but not read:" if self._sent else "nearly matched, but not read:")
        for each in near:
            record = Text(clean_line(each.record.decode(errors="replace")))
            others = f"; {each.count:,} like this" if each.count > 1 else ""
            why = Text(clean_line(each.why) + others, "dim")
            self._print_all([self._line(self._source.clock(each.t), record), self._line("", why)])

    def _line(self, margin: str, text: Text) -> Text:
        return Text(f"{margin:>{_INDENT - 2}}  ") + text

    def _print_all(self, lines: Iterable[Text]) -> None:
        for line in lines:
            self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)

    def _print(self, text: str = "") -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _describe(reading: Reading, record: bytes) -> str:
    """Return what was read: the measure, the stage, and the message unless it only repeats the record."""
    measure = format_measure(reading.value, reading.total).strip() if reading.value is not None else ""
    stage = f"[{reading.stage}]" if reading.stage else ""
    message = reading.message or ""
    is_new = message not in (reading.stage, clean_line(record.decode(errors="replace")))
    return "→ " + " ".join(filter(None, (measure or "no value yet", stage, message if is_new else "")))


def _without_spaces(record: bytes, match: Match) -> tuple[int, int]:
    found = record[match.start : match.end]
    return match.start + len(found) - len(found.lstrip()), match.end - len(found) + len(found.rstrip())


def _shown(part: bytes) -> str:
    return clean(part.decode(errors="replace")).replace("\t", " ")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
