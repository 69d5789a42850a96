"""What a tool says of its arguments, and whether a call keeps to it; nothing that a client sends stalls the check."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import re2
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from cmdtool.errors import ArgumentError, BadValue, MissingArgumentsError
from cmdtool.model import Argument, JSONValue, Tool
from cmdtool.text import clean, clean_line

_VALUE_LENGTH: Final = 80
_LINE_LENGTH: Final = 300
_MOST_PROBLEMS: Final = 20

_TYPES: Final = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}

_TITLES: Final = ("title", "description")
_FORM_KEYS: Final = {
    "string": (*_TITLES, "enum", "enumNames", "oneOf", "minLength", "maxLength", "format", "default"),
    "integer": (*_TITLES, "minimum", "maximum", "default"),
    "number": (*_TITLES, "minimum", "maximum", "default"),
    "boolean": (*_TITLES, "default"),
    "array": (*_TITLES, "minItems", "maxItems", "items", "default"),
}
_FORM_FORMATS: Final = ("email", "uri", "date", "date-time")
_FULL_FORMS_SINCE: Final = "2025-11-25"
"""The revision that introduced several choices, titles of choices as `oneOf`, and defaults of all but booleans."""

_BOUNDS: Final = {
    "minLength": "short: at least {} characters",
    "maxLength": "long: at most {} characters",
    "minItems": "short: at least {} items",
    "maxItems": "long: at most {} items",
}


SUBSCHEMA: Final = frozenset("items contains additionalProperties propertyNames not if then else contentSchema".split())
SUBSCHEMA_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SUBSCHEMA_MAP: Final = frozenset({"properties", "dependentSchemas"})
"""The keywords whose values are schemas, lists and mappings of schemas."""

_WORDS: Final = frozenset({"title", "description", "$comment"})
"""The keywords whose values are only read, by a model or a person."""


def input_schema(tool: Tool) -> dict[str, JSONValue]:
    """Return the `inputSchema` of `tool`: its arguments in manifest order, words cleaned, no key of cmdtool's own.

    What the person can be asked for is not required in it: a model would make up what it does not know.
    """
    properties = {name: _cleaned(argument.property_schema) for name, argument in tool.arguments.items()}
    return _object_schema(tool, properties)


def _object_schema(tool: Tool, properties: dict[str, JSONValue]) -> dict[str, JSONValue]:
    schema: dict[str, JSONValue] = {"type": "object", "properties": properties}
    if required := [
        name
        for name, argument in tool.arguments.items()
        if argument.is_required and not ((tool.ask or argument.ask) and form_property(argument))
    ]:
        schema["required"] = required
    return schema | {"additionalProperties": False}


def _cleaned(schema: JSONValue) -> JSONValue:
    if not isinstance(schema, Mapping):
        return schema
    cleaned: dict[str, JSONValue] = {}
    for key, value in schema.items():
        if key in _WORDS and isinstance(value, str):
            value = clean(value)
        elif key in SUBSCHEMA:
            value = _cleaned(value)
        elif key in SUBSCHEMA_LIST and isinstance(value, list | tuple):
            value = [_cleaned(item) for item in value]
        elif key in SUBSCHEMA_MAP and isinstance(value, Mapping):
            value = {name: _cleaned(item) for name, item in value.items()}
        cleaned[key] = value
    return cleaned


def check_arguments(tool: Tool, arguments: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """Return the arguments of a call, in manifest order, with defaults filled in; null is the same as not given.

    Raises:
        ArgumentError: they do not fit the tool's `inputSchema`; the message has a line for each problem.
        MissingArgumentsError: they do, but required ones are missing.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        problems = list(islice(_problems(tool, given), _MOST_PROBLEMS + 1))
    except RecursionError as exc:
        raise ArgumentError("the arguments are nested too deeply") from exc
    except OverflowError as exc:
        raise ArgumentError("a number in the arguments is far too long") from exc
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = ["more problems are not shown"]
    if problems:
        missing = [name for name, argument in tool.arguments.items() if argument.is_required and name not in given]
        text = "\n".join(problems)
        raise MissingArgumentsError(text, missing) if len(missing) == len(problems) else ArgumentError(text)
    schemas = {name: argument.property_schema for name, argument in tool.arguments.items()}
    filled = {name: given.get(name, schema.get("default")) for name, schema in schemas.items()}
    return {name: value for name, value in filled.items() if value is not None}


def form_property(argument: Argument, protocol_version: str = _FULL_FORMS_SINCE) -> dict[str, JSONValue] | None:
    """Return the schema of an argument as a form has it, None if it cannot be asked for in one.

    A form knows text, numbers, yes or no, a choice of texts, and since 2025-11-25 several of them (elicitation,
    "Requested Schema"). What else the argument's own schema says is checked after it was answered. Secrets must not be
    asked for in one.
    """
    schema = argument.property_schema
    kind = schema.get("type", "string" if schema.keys() & {"enum", "oneOf"} else None)
    known = _FORM_KEYS.get(kind, ()) if isinstance(kind, str) and not argument.secret else ()
    if not known or not all(isinstance(choice, str) for choice in schema.get("enum", ())):
        return None
    kept: dict[str, Any] = {
        key: clean(schema[key]) if key in _TITLES else schema[key] for key in known if key in schema
    }
    if kept.get("format") not in _FORM_FORMATS:
        kept.pop("format", None)
    titled = kept.pop("oneOf", None)
    if protocol_version < _FULL_FORMS_SINCE:
        if kind == "array":
            return None
        if kind != "boolean":
            kept.pop("default", None)
        if _are_titled(titled):
            kept["enum"] = [choice["const"] for choice in titled]
            kept["enumNames"] = [choice["title"] for choice in titled]
    elif _are_titled(titled):
        kept["oneOf"] = titled
    if kind == "array":
        kept["items"] = _choices(schema.get("items"))
    return {"type": kind, **kept} if kept.get("items", True) else None


def _choices(items: JSONValue) -> JSONValue:
    """Return the items of a list as a form has them, None if they are no choice of texts."""
    if not isinstance(items, Mapping):
        return None
    if _are_titled(items.get("anyOf")):
        return {"anyOf": items["anyOf"]}
    texts = items.get("enum", ())
    return {"type": "string", "enum": texts} if texts and all(isinstance(text, str) for text in texts) else None


def _are_titled(choices: JSONValue) -> bool:
    """Whether something is a list of texts with titles: `[{const: s, title: Small}]`."""
    return bool(choices) and all(
        isinstance(choice, Mapping)
        and choice.keys() == {"const", "title"}
        and all(isinstance(text, str) for text in choice.values())
        for choice in choices
    )


def output_schema(tool: Tool) -> dict[str, JSONValue] | None:
    """Return the `outputSchema` of `tool`, an object's as MCP wants it; None if its result is text.

    JSON that need not be an object stands under `result`, lines stand under `lines`.
    """
    output = tool.output
    if output.format == "lines":
        line = {"type": "string"} if output.data_schema is None else _cleaned(output.data_schema)
        lines = {"type": "array", "items": line}
        left_out = {"type": "integer", "description": "How many bytes between the first and the last lines are missing"}
        properties = {"lines": lines, "bytes_left_out": left_out}
        return {"type": "object", "properties": properties, "required": ["lines"]}
    if output.format == "text" or output.data_schema is None:
        return None if output.format == "text" else {"type": "object"}
    data: dict[str, JSONValue] = _cleaned(output.data_schema)
    if output.data_schema.get("type") == "object":
        return data
    return {"type": "object", "properties": {"result": data}, "required": ["result"]}


def find_result_misfit(schema: Mapping[str, JSONValue], result: JSONValue) -> str | None:
    """Return where and why `result` does not fit an `outputSchema`; None if it does."""
    try:
        error = next(_validator(json.dumps(schema)).iter_errors(result), None)
    except (RecursionError, OverflowError):
        return "it is nested too deeply, or a number in it is far too long"
    if error is None:
        return None
    where = f"`{_path(error)}`: " if error.absolute_path else ""
    return clean_line(f"{where}{explain(error)}", _LINE_LENGTH)


def find_misfit(schema: Mapping[str, JSONValue], value: JSONValue) -> str | None:
    """Return why `value` does not fit the schema of an argument; None if it does."""
    error = next(_Validator(schema).iter_errors(value), None)
    return error and explain(error)


def compile_regexp(pattern: str) -> Any:
    """Return a schema's `pattern` compiled by RE2: it is linear, and its `$` matches only at the very end.

    Raises:
        BadValue: RE2 cannot compile it.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_encode(pattern), options)
    except re2.error as exc:
        raise BadValue(exc.args[0].decode(errors="replace")) from exc


def _problems(tool: Tool, given: Mapping[str, JSONValue]) -> Iterator[str]:
    for name in given:
        if name not in tool.arguments:
            near = difflib.get_close_matches(name[:_VALUE_LENGTH], tool.arguments, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            yield f"`{clean_line(name, _VALUE_LENGTH)}`: unknown argument{hint}"
    for name, argument in tool.arguments.items():
        if argument.is_required and name not in given:
            yield f"`{name}`: required argument missing"
    known = {name: value for name, value in given.items() if name in tool.arguments}
    unfit = {name: reason for name, value in known.items() if (reason := _why_not_json(value))}
    for name, reason in unfit.items():
        yield f"`{name}`: {reason}"
    # The schema is text here so that a tool with the same arguments, reloaded, finds its validator again.
    properties = {name: argument.property_schema for name, argument in tool.arguments.items()}
    validator = _validator(json.dumps(_object_schema(tool, properties) | {"required": []}))
    for error in validator.iter_errors({name: value for name, value in known.items() if name not in unfit}):
        is_secret = tool.arguments[str(error.absolute_path[0])].secret
        yield clean_line(f"`{_path(error)}`: {_explain_secret(error) if is_secret else explain(error)}", _LINE_LENGTH)


def _why_not_json(value: JSONValue) -> str | None:
    """Say why no JSON text stands for `value`; parsers let through what JSON has not, such as NaN."""
    try:
        json.dumps(value, allow_nan=False)
    except RecursionError:
        return "nested too deeply"
    except (TypeError, ValueError):
        return "not a JSON value, or a number that is infinite or far too long"
    return None


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return _Validator(json.loads(schema))


def _check_pattern(
    validator: Draft202012Validator, pattern: str, value: JSONValue, schema: object
) -> Iterator[ValidationError]:
    if validator.is_type(value, "string") and not _compiled(pattern).search(_encode(value)):
        yield ValidationError("does not match")


def _check_unique(
    validator: Draft202012Validator, is_wanted: bool, value: JSONValue, schema: object
) -> Iterator[ValidationError]:
    """jsonschema's own check takes quadratic time."""
    if is_wanted and validator.is_type(value, "array") and len({_canonical(item) for item in value}) < len(value):
        yield ValidationError("not unique")


_extend: Callable[..., type[Draft202012Validator]] = extend  # jsonschema's stubs leave it untyped
_Validator: Final = _extend(Draft202012Validator, {"pattern": _check_pattern, "uniqueItems": _check_unique})
_compiled: Final = lru_cache(maxsize=256)(compile_regexp)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _canonical(value: JSONValue) -> str:
    """Return the same text for values that JSON Schema takes for equal: `1.0` is `1`, `true` is not."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: JSONValue) -> JSONValue:
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _path(error: ValidationError) -> str:
    name, *keys = error.absolute_path
    return f"{name}" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)


def explain(error: ValidationError) -> str:
    """Return what is wrong with a value, in one line that is never long."""
    return _explain(error, _shown(error.instance))


def _explain_secret(error: ValidationError) -> str:
    """Return what is wrong with a secret, without quoting it."""
    known = ("type", "pattern", "minLength", "maxLength")
    return _explain(error, "the secret") if error.validator in known else f"does not fit `{error.validator}`"


def _explain(error: ValidationError, value: str) -> str:
    wanted: Any = error.validator_value
    match error.validator:
        case "type":
            types = [wanted] if isinstance(wanted, str) else wanted
            return f"expected {' or '.join(_TYPES.get(name, name) for name in types)}, found {value}"
        case "enum":
            return f"{value} is none of {', '.join(map(_shown, wanted))}"
        case "const":
            return f"{value} is not {_shown(wanted)}"
        case "pattern":
            return f"{value} does not match the pattern `{wanted}`"
        case "uniqueItems":
            return f"{value} has non-unique elements"
        case "minLength" | "minItems" | "maxLength" | "maxItems" as bound:
            return f"{value} is too {_BOUNDS[bound].format(wanted)}"
        case "anyOf" | "oneOf":
            return f"{value} does not fit {error.validator} {_shown(wanted)}"
    message: str = error.message
    return message.replace(repr(error.instance), value, 1)


def _shown(value: JSONValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return clean_line(text, _VALUE_LENGTH)
