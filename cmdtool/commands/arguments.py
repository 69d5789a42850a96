"""`name=value` words -> the arguments of a tool."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cmdtool.errors import ArgumentError
from cmdtool.model import JSONValue, Tool
from cmdtool.text import clean_line


def parse_arguments(tool: Tool, words: Sequence[str]) -> dict[str, JSONValue]:
    """Return the arguments that `name=value` words give: text for strings, JSON for other types.

    A name that is repeated gives an array its items. `name=@FILE` and `name=@-` read the value from a file or standard
    input; `name=@@x` is the text `@x`.

    Raises:
        ArgumentError: a word has no `=`, or its value is not what the argument's type needs.
    """
    arguments: dict[str, JSONValue] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ArgumentError(f"`{word}`: arguments are written `name=value`")
        schema = tool.arguments[name].property_schema if name in tool.arguments else {}
        text = _read_value(name, text)
        if schema.get("type") == "array":
            items = schema.get("items", {})
            item = _parse_value(name, text, items if isinstance(items, Mapping) else {})
            arguments.setdefault(name, []).append(item)
        elif name in arguments:
            raise ArgumentError(f"`{name}` is given twice, and it takes one value")
        else:
            arguments[name] = _parse_value(name, text, schema)
    return arguments


def _read_value(name: str, text: str) -> str:
    if not text.startswith("@"):
        return text
    source = text[1:]
    if source.startswith("@"):
        return source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ArgumentError(
            f"`{name}`: cannot read `{source}`: {exc}\nhint: for the text itself write `@@...`"
        ) from exc


def _parse_value(name: str, text: str, schema: Mapping[str, JSONValue]) -> JSONValue:
    kind = schema.get("type", "string" if _takes_text(schema) else "a value")
    if kind == "string" or (isinstance(kind, list) and "string" in kind):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ArgumentError(f"`{name}`: expected {kind} as JSON, found `{clean_line(text, 80)}`") from exc


def _takes_text(schema: Mapping[str, JSONValue]) -> bool:
    return "enum" not in schema or any(isinstance(value, str) for value in schema["enum"])
