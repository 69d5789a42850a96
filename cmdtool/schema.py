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

from cmdtool.errors import ArgumentError, BadValue
from cmdtool.model import JSONValue, Tool
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
    """Return the `inputSchema` of `tool`: its arguments in manifest order, words cleaned, no key of cmdtool's own."""
    properties = {name: _cleaned(argument.property_schema) for name, argument in tool.arguments.items()}
    return _object_schema(tool, properties)


def _object_schema(tool: Tool, properties: dict[str, JSONValue]) -> dict[str, JSONValue]:
    schema: dict[str, JSONValue] = {"type": "object", "properties": properties}
    if required := [name for name, argument in tool.arguments.items() if argument.is_required]:
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
        raise ArgumentError("\n".join(problems))
    schemas = {name: argument.property_schema for name, argument in tool.arguments.items()}
    filled = {name: given.get(name, schema.get("default")) for name, schema in schemas.items()}
    return {name: value for name, value in filled.items() if value is not None}


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
