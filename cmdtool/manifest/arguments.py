"""What is wrong with the JSON Schema of one argument, and the schema as it is meant."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator, ValidationError

from cmdtool.errors import BadValue
from cmdtool.manifest.nodes import Node, Report, did_you_mean, nearest
from cmdtool.model import Argument, known_keys
from cmdtool.schema import SUBSCHEMA, SUBSCHEMA_LIST, SUBSCHEMA_MAP, compile_regexp, explain, find_misfit, form_property
from cmdtool.text import clean

_KEYWORDS: Final = (
    SUBSCHEMA
    | SUBSCHEMA_LIST
    | SUBSCHEMA_MAP
    | frozenset(
        "type enum enumNames const default examples title description deprecated readOnly writeOnly format pattern "
        "minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems "
        "uniqueItems minContains maxContains minProperties maxProperties required dependentRequired contentEncoding "
        "contentMediaType $comment".split()
    )
)
_UNAVAILABLE: Final = frozenset({"patternProperties", "unevaluatedItems", "unevaluatedProperties"})
"""They let a client's value take quadratic time or more."""

HEADER: Final = "x-mcp-header"
"""What follows `Mcp-Param-` in the name of the HTTP header that repeats an argument (2026-07-28, transports)."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, 5.6.2."""

_SAMPLES: Final = ("default", "const", "enum", "examples")
_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "null")
_NICKNAMES: Final = {
    "bool": "boolean",
    "dict": "object",
    "file": "string` with `format: path",
    "float": "number",
    "int": "integer",
    "list": "array",
    "map": "object",
    "path": "string` with `format: path",
    "str": "string",
    "text": "string",
}
_OPTIONAL: Final = "an argument is required unless it has a `default` or `optional: true`"


def complete_argument(argument: Argument) -> Argument:
    """Return the argument with the type that is meant where none is written, and booleans that are false by default."""
    schema = dict(argument.property_schema)
    if not schema.keys() & {"type", "enum", "const", "anyOf", "oneOf", "allOf"}:
        schema = {"type": "string", **schema}
    if schema.get("type") == "boolean" and "default" not in schema and not argument.optional:
        schema["default"] = False
    own = {name: getattr(argument, name) for name in Argument.model_fields}
    return Argument.model_validate({**own, **schema})


def check_argument(node: Node, argument: Argument, report: Report) -> None:
    """Report what is wrong with the schema of an argument: `node` as written, `argument` completed."""
    checker = _Checker(report)
    checker.check_keys(node, known_keys(Argument))
    if not checker.is_sound:
        return
    checker.check_values(node, argument)
    if argument.secret:
        _check_secret(node, argument, report)
    elif argument.ask and not form_property(argument):
        hint = "take it out: a form has texts, numbers, yes or no, and choices of texts"
        report.at(node.child("ask") or node, "the person cannot be asked for this", hint, on_key=True)
    if header := node.child(HEADER):
        _check_header(header, argument, report)
    items = argument.property_schema.get("items")
    if not argument.is_path and not (isinstance(items, Mapping) and items.get("format") == "path"):
        for key in ("within", "must_exist"):
            if place := node.child(key):
                report.at(place, f"`{key}` is for paths only", "add `format: path`", on_key=True)


def check_schema(node: Node, report: Report) -> None:
    """Report what is wrong with a JSON Schema that holds nothing of cmdtool's own."""
    _Checker(report).check_keys(node, [])


def _check_secret(node: Node, argument: Argument, report: Report) -> None:
    if argument.property_schema.get("type") != "string":
        report.at(node.child("type") or node, "a secret is a text", "write `type: string`")
    if place := node.child("ask"):
        report.at(place, "a secret has no `ask`", "take it out: forms are not for secrets", on_key=True)
    for key in (*_SAMPLES, "within", "must_exist"):
        if place := node.child(key):
            hint = "take it out: clients, or the messages of a mistake, would show values"
            report.at(place, f"a secret has no `{key}`", hint, on_key=True)


def _check_header(place: Node, argument: Argument, report: Report) -> None:
    """Check what the specification demands; a client leaves out a tool that breaks it."""
    if not isinstance(place.value, str) or not _TOKEN.fullmatch(place.value):
        hint = "letters, digits and `-`, without the `Mcp-Param-` that the header's name begins with"
        report.at(place, f"expected a part of a header's name, found {place.describe()}", hint)
    elif argument.property_schema.get("type") not in ("string", "integer", "boolean"):
        report.at(
            place, "only a string, an integer or a boolean can be repeated in a header", "take it out", on_key=True
        )
    elif argument.secret:
        hint = "take it out: what passes a request on reads and logs its headers"
        report.at(place, f"a secret has no `{HEADER}`", hint, on_key=True)


class _Checker:
    def __init__(self, report: Report) -> None:
        self._report = report
        self.is_sound = True

    def _say(self, node: Node, message: str, hint: str = "", *, on_key: bool = False) -> None:
        self._report.at(node, message, hint, on_key=on_key)
        self.is_sound = False

    def check_keys(self, node: Node, own: list[str]) -> None:
        """Check keys and their values against what JSON Schema allows, here and in the schemas below.

        Args:
            own: keys of cmdtool's that may stand here besides.
        """
        for schema in _schemas(node):
            self._check_known(schema, own if schema is node else [])
            if pattern := schema.child("pattern"):
                self._check_pattern(pattern)
            for key in _SAMPLES:
                if sample := schema.child(key):
                    self._check_shown(sample)
        seen = set()
        for error in _META.iter_errors(node.data()):
            place = _place(node, error)
            if place.path not in seen:
                self._say(place, *_meta_words(place, error))
            seen.add(place.path)

    def _check_known(self, schema: Node, own: list[str]) -> None:
        for name, value in schema.entries.items():
            if name in _UNAVAILABLE:
                self._say(value, f"`{name}` is not available in this version", "take it out", on_key=True)
            elif name == HEADER and not own:
                self._say(value, f"`{HEADER}` belongs to the argument itself", "", on_key=True)
            elif name.startswith("$") and name != "$comment":
                hint = "a schema is repeated with a YAML anchor: `&name` and `*name`"
                self._say(value, f"`{name}` has no meaning here", hint, on_key=True)
            elif name not in _KEYWORDS and name not in own and not name.startswith("x-"):
                if name in known_keys(Argument):
                    self._say(value, f"`{name}` belongs to the argument itself", "", on_key=True)
                else:
                    self._say(value, "unknown key", did_you_mean(name, [*sorted(_KEYWORDS), *own]), on_key=True)

    def _check_pattern(self, node: Node) -> None:
        try:
            compile_regexp(str(node.value))
        except BadValue as exc:
            self._say(node, f"{node.describe()} is not a regular expression of RE2: {exc.message}")

    def _check_shown(self, sample: Node) -> None:
        if isinstance(sample.value, str) and clean(sample.value) != sample.value:
            message = f"{sample.describe()} has characters that people do not see, or see in another order"
            self._report.at(sample, message, "type it anew: clients are sent this as it is", severity="warning")
        for child in (*sample.items, *sample.entries.values()):
            self._check_shown(child)

    def check_values(self, node: Node, argument: Argument) -> None:
        """Check that text is text where text is meant, and that the default is a value that a call could give."""
        for schema in _schemas(node):
            kind = schema.child("type")
            meant = kind.value if kind else None
            if schema is node:
                meant = argument.property_schema.get("type")
            for key in _SAMPLES:
                if sample := schema.child(key):
                    self._check_sample(sample, meant, is_list=key in ("enum", "examples"))
        default = node.child("default")
        if default and self.is_sound:
            self._check_default(default, argument)

    def _check_sample(self, sample: Node, meant: object, *, is_list: bool) -> None:
        for node in sample.items if is_list else (sample,):
            is_word = isinstance(node.value, bool) and node.written not in ("true", "false")
            is_scalar = isinstance(node.value, bool | int | float)
            if (is_word and meant != "boolean") or (is_scalar and meant == "string"):
                kind = {bool: "boolean", int: "integer"}.get(type(node.value), "number")
                self._say(
                    node,
                    f"expected text, found {node.describe()}",
                    f"quote it if it is meant as text: '{node.written}', else write `type: {kind}`",
                )

    def _check_default(self, default: Node, argument: Argument) -> None:
        if default.value is None:
            self._say(default, "null means not given", "leave `default` out and write `optional: true`")
            return
        if misfit := find_misfit(argument.property_schema, default.data()):
            self._say(default, f"the default does not fit the argument's own schema: {misfit}")


_META: Final = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def _schemas(node: Node) -> Iterator[Node]:
    """Yield the schema at `node` and all that it holds."""
    if not isinstance(node.value, Mapping):
        return
    yield node
    for key, child in node.entries.items():
        if key in SUBSCHEMA:
            yield from _schemas(child)
        elif key in SUBSCHEMA_LIST:
            for item in child.items:
                yield from _schemas(item)
        elif key in SUBSCHEMA_MAP:
            for entry in child.entries.values():
                yield from _schemas(entry)


def _place(node: Node, error: ValidationError) -> Node:
    for step in error.absolute_path:
        node = node.child(step) or node
    return node


def _meta_words(place: Node, error: ValidationError) -> tuple[str, str]:
    key = place.path.rpartition(".")[2]
    found = place.describe()
    if key == "type":
        name = str(place.value)
        near = _NICKNAMES.get(name.lower()) or nearest(name, _TYPES)
        return f"{found} is not a type of JSON Schema", f"write `{near}`" if near else f"one of {', '.join(_TYPES)}"
    if key == "required" and isinstance(place.value, bool):
        return f"`required` takes a list, found {found}", _OPTIONAL
    if error.validator == "type":
        wanted: Any = error.validator_value
        types = [wanted] if isinstance(wanted, str) else wanted
        return f"expected the type {' or '.join(f'`{name}`' for name in types)}, found {found}", ""
    return explain(error), ""
