"""What PyYAML's parser stumbles over, in the words of somebody who writes a manifest."""

import re
from typing import Final

import yaml

from cmdtool.manifest.nodes import Position, Report

MAX_DEPTH: Final = 32
TOO_DEEP: Final = f"nested more than {MAX_DEPTH} levels deep"

_KEY: Final = re.compile(r"""\s*(?:- +)*(?:["']?([A-Za-z_][\w-]*)["']?\s*:(?:\s+|$))?""")
_COMMANDS: Final = frozenset({"command", "shell"})
_PATTERNS: Final = frozenset({"pattern", "progress", "rules"})
_SINGLE: Final = "put it in single quotes: there a backslash is only a backslash"

_AT_START: Final = frozenset({"while scanning an alias", "while scanning an anchor", "while parsing a tag"})

_MESSAGES: Final = (
    ("unknown escape character", "a backslash in double quotes begins an escape, and this one is unknown", _SINGLE),
    ("mapping values are not allowed", "a `: ` in text without quotes begins a mapping", "quote the whole value"),
    ("unexpected end of stream", "a quote is never closed", ""),
    ("while scanning an alias", "a `*` at the start of text without quotes is an alias", "quote the whole value"),
    ("while scanning an anchor", "a `&` at the start of text without quotes is an anchor", "quote the whole value"),
    ("sequence entries are not allowed", "a list cannot begin here", "begin it on a line of its own"),
    ("could not find expected ':'", "a key without `:`", "write `key: value`, or quote text that goes over lines"),
    ("'-' indicator", "a key among the items of a list", "indent it below its item, or take it out of the list"),
    ("',' or ']'", "a `[` is never closed, or a `,` is missing", "quote text that begins with `[`"),
    ("',' or '}'", "a `{` is never closed, or a `,` is missing", "quote text that begins with `{`"),
    ("comment or line break", "text after `|` or `>`", "the text begins on the next line; or quote the whole value"),
    ("a tag", "text that begins with `!` is a tag", "quote the whole value"),
    ("tag handle", "text that begins with `!` is a tag", "quote the whole value"),
    ("exceeded maximum nesting depth", TOO_DEEP, ""),  # libyaml's own bound, which its look-ahead meets first
    ("a directive", "a line that begins with `%` is a directive", "quote the whole value"),
)


def explain(error: yaml.MarkedYAMLError, position: Position, report: Report) -> tuple[Position, str, str, str]:
    """Return place, key path, message and hint of a syntax error."""
    if error.context_mark and (error.problem == "found unexpected end of stream" or error.context in _AT_START):
        position = Position(error.context_mark.line + 1, error.context_mark.column + 1)
    line = report.lines[position.line - 1] if position.line <= len(report.lines) else ""
    match = _KEY.match(line)
    key, value = (match[1] or "", line[match.end() :]) if match else ("", line)
    message, hint = _words(f"{error.context}: {error.problem}", line, position.column, value)
    if "quote" in hint or value.startswith(("[", "{", '"')):
        if key in _COMMANDS:
            hint = "quote the whole command, or write it as a list"
            if (
                value.startswith("[")
                and not message.startswith("text after")
                and position.column > len(line) - len(value) + 1
            ):
                hint = "quote it if it is meant, or use `shell:`"
        elif key in _PATTERNS:
            hint = _SINGLE
    return position, "", message, hint


def _words(said: str, line: str, column: int, value: str) -> tuple[str, str]:
    char = line[column - 1 : column]
    if "cannot start any token" in said:
        if char == "\t":
            return "a tab where spaces are expected", "indent with spaces"
        return f"text without quotes cannot begin with `{char}`", "quote the whole value"
    if "expected key" in said or "<block end>" in said:
        if value.startswith(("'", '"', "[", "{")) and column > len(line) - len(value) + 1:
            return f"text after the `{_closing(value[0])}` that ends the value", "quote the whole value"
        return "not a key of the mapping above", "check the indentation, and the quotes of the line above"
    for part, message, hint in _MESSAGES:
        if part in said:
            return message, hint
    problem = said.removeprefix("None: ")
    return f"not YAML: {problem}", ""


def _closing(char: str) -> str:
    return {"[": "]", "{": "}"}.get(char, char)
