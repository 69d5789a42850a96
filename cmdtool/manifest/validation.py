"""Nodes -> models: every mistake that pydantic finds, told at its place, and then the model without it.

What is wrong is left out and the rest is validated again, so that later checks still see all that is right.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from cmdtool.errors import BadValue, ManifestError
from cmdtool.manifest.nodes import Node, Report, Step, did_you_mean, nearest
from cmdtool.model import Model, ProgressSpec, Rule
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
    "parsers": "a parser's name, a pattern, a list of rules or a mapping",
    "progress": "a parser's name, a pattern, a list of rules or a mapping",
    "rules": "a pattern or a mapping",
}
"""What a key or its entries take besides the one form that pydantic misses."""

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
        misspelt = {error["loc"][:-1] for error in errors if error["type"] == "extra_forbidden"}
        for error in errors:
            if error["type"] != "missing" or error["loc"][:-1] not in misspelt:
                _report_error(error, model, sound, report)
        wrong = [_locate(sound, error["loc"])[0] for error in errors]
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


def _report_error(error: ErrorDetails, model: type[BaseModel], root: Node, report: Report) -> None:
    steps, node = _locate(root, error["loc"])
    kind, last = error["type"], error["loc"][-1]
    if kind == "missing":
        if last not in node.dropped:
            report.at(node, f"`{last}` is missing")
    elif kind == "too_short":
        if not node.dropped:
            report.at(node, "expected at least one entry, found none")
    elif kind == "extra_forbidden":
        parent = _locate(root, steps[:-1])[1]
        _report_unknown_key(node, parent, str(last), _known_models(model, error["loc"]), report)
    else:
        offset = getattr(error.get("ctx", {}).get("error"), "offset", None)
        report.at(node, *_words(error, node, report), on_key=last == "[key]", offset=offset)


def _locate(root: Node, loc: Sequence[Step]) -> tuple[_Steps, Node]:
    """Follow an error's location as far as the file has it; it also holds tags of unions and expanded short forms."""
    steps: list[Step] = []
    for step in loc:
        if child := root.child(step):
            steps.append(step)
            root = child
    return tuple(steps), root


# --- unknown keys ----------------------------------------------------------------------------------------------------


def _known_models(model: type[BaseModel], loc: Sequence[Step]) -> list[type[Model]]:
    """Return the models that the mapping with the last key of `loc` can be."""
    types: list[Any] = [model]
    for step in loc[:-1]:
        types = [inner for kind in types for inner in _inside(kind, step)] or types
    return [kind for kind in types if isinstance(kind, type) and issubclass(kind, Model)]


def _inside(kind: Any, step: Step) -> Iterator[Any]:
    """Yield the types that `step` leads to from `kind`; none where it is only a tag of a union."""
    if isinstance(kind, type) and issubclass(kind, RootModel):
        kind = kind.model_fields["root"].annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if step == (field.alias or name):
                yield from _plain_types(field.annotation)
    elif get_origin(kind) is dict and isinstance(step, str):
        yield from _plain_types(get_args(kind)[1])
    elif get_origin(kind) is tuple and isinstance(step, int):
        yield from _plain_types(get_args(kind)[0])


def _plain_types(annotation: Any) -> Iterator[Any]:
    """Yield the members of unions, without annotations."""
    if hasattr(annotation, "__metadata__"):
        yield from _plain_types(annotation.__origin__)
    elif get_args(annotation) and get_origin(annotation) not in (dict, tuple):
        for member in get_args(annotation):
            yield from _plain_types(member)
    elif annotation is not NoneType:
        yield annotation


def known_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys that a mapping of this model may have."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _report_unknown_key(node: Node, parent: Node, name: str, models: Sequence[type[Model]], report: Report) -> None:
    message, known = "unknown key", [key for model in models for key in known_keys(model)]
    hint = did_you_mean(name, known)
    if any(name in model.planned for model in models):
        message, hint = f"`{name}` is not available in this version", "take it out"
    elif ProgressSpec in models and name in known_keys(Rule):
        if name != "pattern" and "pattern" in parent.entries:
            return  # said of the pattern already
        message, hint = f"`{name}` belongs to a rule", "make it a list of rules: `- pattern: ...`"
    elif Rule in models and len(parent.entries) == 1 and not nearest(name, known):
        hint = _text_hint(parent, report)
    report.at(node, message, hint, on_key=True)


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
            return f"expected at least {context['ge']:g}, found {found}", ""
        case "less_than_equal":
            return f"expected at most {context['le']:g}, found {found}", ""
        case "string_too_long":
            return f"expected at most {context['max_length']} characters, found {len(str(node.value))}", ""
        case "string_pattern_mismatch":
            return f"{found} cannot stand here", _SHAPES.get(str(error["loc"][-1]), "")
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}", ""


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
    if kind in ("bool_type", "int_type", "float_type") and isinstance(node.value, str) and node.written is None:
        return "write it without quotes"
    return ""


def _text_hint(node: Node, report: Report) -> str:
    """Return how to write what was probably meant as text."""
    if node.written:
        return f"quote it if it is meant as text: '{node.written}'"
    last = next(reversed([*node.entries.values()]), node)
    source = report.source(replace(node, end=last.end))
    if isinstance(node.value, Mapping) and source and not is_unquoted_hole(node.data()):
        return f"quote it if it is meant as text: '{source}'"
    return quoting_hint(node.data())
