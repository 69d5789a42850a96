"""What is wrong with the rules, totals and stages of a progress."""

from collections.abc import Sequence
from typing import Final

from cmdtool.errors import BadValue
from cmdtool.manifest.holes import Holes, hole_names
from cmdtool.manifest.nodes import Node, Report, did_you_mean
from cmdtool.model import Counted, ProgressSpec, Rule
from cmdtool.patterns import compile_pattern
from cmdtool.template import Hole, Template
from cmdtool.values import stage_key

_SINGLE_QUOTES: Final = "put the pattern in single quotes: there a backslash is only a backslash"
UNQUOTED: Final = "YAML ends text without quotes at ` #`: put the pattern in single quotes"


def check_progress(node: Node, own: ProgressSpec, resolved: ProgressSpec | None, holes: Holes, report: Report) -> None:
    """Report what is wrong with a progress as it is written at `node`.

    Args:
        own: what is written there.
        resolved: the same with its parser's rules; None if these are not known.
        holes: the arguments that messages and totals may name.
    """
    checker = _Checker(None if node.is_damaged else resolved, holes, report)
    for place, rule in _placed_rules(node, own):
        checker.check_rule(place, rule)
    if total := node.child("total"):
        checker.check_total(total, own.total)
    if stages := node.child("stages"):
        _check_stages(stages, report)


def used_names(spec: ProgressSpec) -> set[str]:
    """Return what the messages and totals of a progress name: arguments, and groups."""
    texts = [spec.total, *(text for rule in spec.rules for text in (rule.message, rule.total))]
    holes = {name for text in texts if isinstance(text, Template) for name in text.holes}
    return holes.union(*(hole_names(total.command or ()) for total in spec.counted_totals))


def check_pattern(node: Node, report: Report) -> None:
    """Report a pattern that YAML or RE2 takes for something else than was meant."""
    text = str(node.value)
    comment = report.comment(node)
    if "\n" in text:
        report.at(node, "a record never holds a line end, so the pattern never matches", "use one line, or `|-`")
        return
    if found := next((char for char in text if char < " " and char != "\t"), None):
        message = f"the pattern holds the control character U+{ord(found):04X}: YAML read a backslash as an escape"
        report.at(node, message, _SINGLE_QUOTES)
        return
    if comment and not comment.startswith(("# ", "##")) and comment != "#":
        report.at(node, f"the pattern is cut before `{comment}`", UNQUOTED)
        return
    try:
        compile_pattern(text)
    except BadValue as exc:
        report.at(node, exc.message, UNQUOTED if comment else exc.hint)


class _Checker:
    def __init__(self, resolved: ProgressSpec | None, holes: Holes, report: Report) -> None:
        self._groups = _group_names(resolved.rules) if resolved else None
        self._stages = {stage_key(name): name for name in (resolved.stages if resolved else None) or ()}
        self._holes = holes
        self._report = report

    def check_rule(self, node: Node, rule: Rule) -> None:
        check_pattern(node.child("pattern") or node, self._report)
        if place := node.child("total"):
            self.check_total(place, rule.total)
        if (place := node.child("message")) and rule.message:
            self._check_message(place, rule.message)
        if (place := node.child("stage")) and rule.stage and self._stages and stage_key(rule.stage) not in self._stages:
            hint = did_you_mean(rule.stage, self._stages.values())
            self._report.at(place, f"`{rule.stage}` is not one of the `stages`", hint)

    def check_total(self, node: Node, total: float | Template | Counted | None) -> None:
        if isinstance(total, Counted):
            self._holes.check_counted(node, total)
        elif isinstance(total, Template):
            self._check_argument(node, total)

    def _check_argument(self, node: Node, total: Template) -> None:
        if len(total.parts) != 1 or not isinstance(total.parts[0], Hole):
            hint = 'write a number without quotes, or one hole: "{count}"'
            self._report.at(node, f"expected a number or the hole of an argument, found {node.describe()}", hint)
            return
        name = total.holes[0]
        if self._holes.check_name(node, name, offset=0):
            kind = self._holes.arguments[name].property_schema.get("type", "number")
            if kind not in ("integer", "number"):
                hint = f"write `{name}: {{type: integer}}` in `arguments`"
                self._report.at(node, f"`{name}` is not a number, so it is no total", hint)

    def _check_message(self, node: Node, message: Template) -> None:
        if self._groups is None:
            return
        for name in dict.fromkeys(message.holes):
            offset = str(node.value).find(f"{{{name}}}")
            if name in self._groups:
                if name in self._holes.arguments:
                    hint = "rename one of them"
                    self._report.at(node, f"`{name}` is a group and an argument", hint, offset=offset)
                continue
            if name in self._holes.arguments:
                self._holes.used.add(name)
                if self._holes.arguments[name].secret:
                    self._report.at(node, f"the secret `{name}` may not appear in a message", "", offset=offset)
                continue
            if not self._holes.are_known:
                continue
            hint = did_you_mean(name, [*sorted(self._groups), *self._holes.arguments])
            self._report.at(node, f"`{name}` is neither a group of the rules nor an argument", hint, offset=offset)


def _placed_rules(node: Node, own: ProgressSpec) -> Sequence[tuple[Node, Rule]]:
    """Return each rule with its place; in the short forms that is the value of `progress` or of `rules` itself."""
    place = node.entries.get("rules", node)
    places = place.items if isinstance(place.value, tuple) else (place,)
    return list(zip(places, own.rules, strict=True)) if own.rules else []


def _group_names(rules: Sequence[Rule]) -> frozenset[str] | None:
    """Return the names of all groups; None if some pattern does not compile, and so they are not known."""
    try:
        return frozenset[str]().union(*(compile_pattern(rule.pattern).names for rule in rules))
    except BadValue:
        return None


def _check_stages(node: Node, report: Report) -> None:
    seen: dict[str, str] = {}
    for name, place in node.entries.items():
        if (first := seen.setdefault(stage_key(name), name)) != name:
            report.at(place, f"`{name}` and `{first}` are the same stage", "case and spaces do not count", on_key=True)
