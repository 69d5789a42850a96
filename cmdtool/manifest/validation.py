"""Nodes -> models: every mistake that pydantic finds, told at its place, and then the model without it.

What is wrong is left out and the rest is validated again, so that later checks still see all that is right.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cmdtool.errors import BadValue, ManifestError
from cmdtool.manifest.nodes import Node, Report, Step, did_you_mean, nearest
from cmdtool.model import Model, ProgressSpec, Rule, known_keys
from cmdtool.values import describe, is_unquoted_hole, quoting_hint

M = TypeVar("M", bound=BaseModel)
_Steps = tuple[Step, ...]

_EXPECTED: Final = {
    "bool_type": "`true` or `false`",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
}
_FORMS: Final = {
    "command": "text or a list",
    "confirm": "a question or a mapping",
    "output": "`text`, `json`, `lines` or a mapping",
    "parsers": "a parser's name, a pattern, a list of rules or a mapping",
    "progress": "a parser's name, a pattern, a list of rules or a mapping",
    "pty": "`true`, `false` or a mapping",
    "sandbox": "`true`, `false` or a mapping",
    "rules": "a pattern or a mapping",
}
"""What a key or its entries take besides the one form that pydantic misses."""

_MAPPINGS: Final = {
    "annotations": "{read_only: true}",
    "arguments": "{name: {type: string}}",
    "defaults": "{timeout: 2h}",
    "env": "{NAME: value}",
    "limits": "{memory: 2GB}",
    "server": "{name: media}",
    "stages": "{download: 70, install: 30}",
    "tools": "{copy: {command: 'cp {source} {target}'}}",
}
"""What the mappings look like that people write in another form."""

_NAMES: Final = {
    "tools": "a tool's name is 1 to 128 letters, digits, `_`, `-` and `.`",
    "parsers": "a parser's name is a small letter, then small letters, digits, `_` and `-`",
    "arguments": "an argument's name is letters, digits and `_`, and begins with no digit",
    "env": "a variable's name is letters, digits and `_`, and begins with no digit",
}
_SHAPES: Final = {
    "src": "an icon is an `https://` or `data:` URI",
    "parser": f"{_NAMES['parsers']}; a pattern goes into `rules`",
}


def validate(model: type[M], root: Node, report: Report) -> tuple[M, Node]:
    """Return `root` as a `model`, and `root` itself, both without what is wrong.

    Raises:
        ManifestError: nothing is left, because a key that must be there is missing or wrong.
    """
    sound = _without(root, [steps for steps, node in _walk(root) if node.broken])
    while True:
        try:
            return model.model_validate(sound.data()), sound
        except ValidationError as exc:
            errors = exc.errors(include_url=False)
        for error in errors:
            _report_error(error, sound, report)
        wrong = [steps for error in errors for steps in _wrong(error, sound)]
        if () in wrong:
            raise ManifestError(report.problems)
        sound = _without(sound, wrong)


def _walk(node: Node, steps: _Steps = ()) -> Iterator[tuple[_Steps, Node]]:
    yield steps, node
    children: Iterable[tuple[Step, Node]] = (*node.entries.items(), *enumerate(node.items))
    for step, child in children:
        yield from _walk(child, (*steps, step))


def _without(node: Node, wrong: Sequence[_Steps]) -> Node:
    """Return a copy of `node` in which nothing that `wrong` leads to is left."""
    if not wrong:
        return node
    below: dict[Step, list[_Steps]] = {}
    for first, *rest in wrong:
        below.setdefault(first, []).append(tuple(rest))
    gone = {step for step, rests in below.items() if () in rests}
    dropped = node.dropped | gone
    if isinstance(node.value, Mapping):
        entries = {key: _without(child, below.get(key, [])) for key, child in node.entries.items() if key not in gone}
        return replace(node, value=entries, dropped=dropped)
    items = (_without(child, below.get(index, [])) for index, child in enumerate(node.items) if index not in gone)
    return replace(node, value=tuple(items), dropped=dropped)


def _wrong(error: ErrorDetails, root: Node) -> list[_Steps]:
    """Return what must be left out for an error."""
    steps, _ = _place(error, root)
    return [(*steps, key) for key in error["ctx"]["keys"]] if error["type"] == "unknown_keys" else [steps]


def _report_error(error: ErrorDetails, root: Node, report: Report) -> None:
    _, node = _place(error, root)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "unknown_keys":
        for key in context["keys"]:
            _report_unknown_key(node, key, context["model"], report)
    elif kind in ("missing", "too_short"):
        if not node.dropped:  # what was left out is what seems to be missing
            few = "expected at least one entry, found none"
            report.at(node, few if kind == "too_short" else f"`{error['loc'][-1]}` is missing")
    else:
        offset = getattr(context.get("error"), "offset", None)
        report.at(node, *_words(error, node, report), on_key=error["loc"][-1] == "[key]", offset=offset)


def _place(error: ErrorDetails, root: Node) -> tuple[_Steps, Node]:
    steps, node = _locate(root, error["loc"])
    if error["type"] == "unknown_keys" and not node.entries.keys() >= set(error["ctx"]["keys"]):
        return _locate(root, error["loc"][:-1])  # one of the keys is named like the tag of a union, the last step
    return steps, node


def _locate(root: Node, loc: Sequence[Step]) -> tuple[_Steps, Node]:
    """Follow an error's location as far as the file has it; it also holds tags of unions and expanded short forms."""
    steps: list[Step] = []
    for step in loc:
        if child := root.child(step):
            steps.append(step)
            root = child
    return tuple(steps), root


def _report_unknown_key(parent: Node, name: str, model: type[Model], report: Report) -> None:
    message, known = "unknown key", known_keys(model)
    hint = did_you_mean(name, known)
    if model is ProgressSpec and name in known_keys(Rule):
        if name != "pattern" and "pattern" in parent.entries:
            return  # said of the pattern already
        message, hint = f"`{name}` belongs to a rule", "make it a list of rules: `- pattern: ...`"
    elif model is Rule and len(parent.entries) == 1 and not nearest(name, known):
        hint = _text_hint(parent, report)
    report.at(parent.entries[name], message, hint, on_key=True)


# --- words -----------------------------------------------------------------------------------------------------------


def _words(error: ErrorDetails, node: Node, report: Report) -> tuple[str, str]:
    """Return message and hint for a value that is not what it should be."""
    kind, context = error["type"], error.get("ctx", {})
    found = node.describe()
    refused = context.get("error")
    if isinstance(refused, BadValue):
        message = refused.message.replace(describe(node.data()), found)
        return message, _text_hint(node, report) if message.startswith("expected text") else refused.hint
    if error["loc"][-1] == "[key]":
        return f"`{error['loc'][-2]}` cannot be a name here", _NAMES.get(str(error["loc"][-3]), "")
    if kind in _EXPECTED:
        return f"expected {_form(error['loc']) or _EXPECTED[kind]}, found {found}", _type_hint(error, node, report)
    match kind:
        case "literal_error":
            expected = str(context["expected"]).replace("'", "`")
            return f"expected {expected}, found {found}", ""
        case "greater_than":
            return f"expected a number above {context['gt']:g}, found {found}", ""
        case "greater_than_equal":
            return _bound("least", "more", context["ge"], found)
        case "less_than_equal":
            return _bound("most", "less", context["le"], found)
        case "string_too_long":
            return f"expected at most {context['max_length']} characters, found {len(str(node.value))}", ""
        case "string_pattern_mismatch":
            return f"{found} cannot stand here", _SHAPES.get(str(error["loc"][-1]), "")
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}", ""


def _bound(at: str, or_: str, bound: float, found: str) -> tuple[str, str]:
    is_duration = isinstance(bound, float)  # the bounds of all else are whole numbers
    hint = f"write `{bound:g}s` or {or_}" if is_duration else ""
    return f"expected at {at} {bound:g}{' s' if is_duration else ''}, found {found}", hint


def _form(loc: Sequence[Step]) -> str:
    last = loc[-1] if isinstance(loc[-1], str) else loc[-2]
    return _FORMS.get(str(last), "") or _FORMS.get("parsers" if loc[0] == "parsers" and len(loc) == 2 else "", "")


def _type_hint(error: ErrorDetails, node: Node, report: Report) -> str:
    loc, kind = error["loc"], error["type"]
    if kind == "string_type":
        return _text_hint(node, report)
    if kind == "model_type" and loc[0] == "tools" and len(loc) == 2:
        return "write `command: ...` below the tool's name"
    if kind == "model_type" and loc[-2:-1] == ("arguments",):
        return "write a JSON Schema, such as `{type: string}`"
    if kind in ("dict_type", "model_type") and loc[-1] in _MAPPINGS:
        return f"write, for example, `{loc[-1]}: {_MAPPINGS[str(loc[-1])]}`"
    if kind in ("bool_type", "int_type", "float_type") and isinstance(node.value, str) and node.written is None:
        return "write it without quotes"
    return ""


def _text_hint(node: Node, report: Report) -> str:
    """Return how to write what was probably meant as text."""
    if node.written:
        return f"quote it if it is meant as text: '{node.written}'"
    is_flow = report.char(node) == "{"
    last = node if is_flow else next(reversed([*node.entries.values()]), node)
    source = report.source(replace(node, end=last.end))
    if isinstance(node.value, Mapping) and source and not is_unquoted_hole(node.data()):
        return f"quote it if it is meant as text: '{source}'"
    return quoting_hint(node.data())
