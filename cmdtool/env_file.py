"""The text of an `env_file` -> variables: a strict part of what other programs take in such files. Pure.

A line is `NAME=value`, with `export` before it or not, a comment that begins with `#`, or empty. A value without quotes
ends at the line's end or at ` #`. Between single quotes everything is as it stands; between double quotes `\\n`, `\\r`,
`\\t`, `\\"`, `\\\\` and `\\$` are escapes. Nothing is replaced: a `$` is a `$`.
"""

import re
from typing import Final

from cmdtool.errors import BadValue

_LINE: Final = re.compile(r"(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<rest>.*)", re.DOTALL)
_QUOTED: Final = re.compile(
    r"""(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")[ \t]*(?P<after>#.*)?""", re.DOTALL
)
_COMMENT: Final = re.compile(r"(?:^|[ \t])#.*", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse_env_file(text: str) -> dict[str, str]:
    """Return the variables, in order.

    Raises:
        BadValue: a line cannot be read; the message names it and quotes nothing, for it may hold a secret.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        try:
            name, value = _parse_line(line)
            if name in variables:
                raise BadValue(f"`{name}` is set twice")
        except BadValue as exc:
            raise BadValue(f"line {number}: {exc.message}", exc.hint) from None
        variables[name] = value
    return variables


def _parse_line(line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadValue("expected `NAME=value`", "a comment begins with `#`")
    if "\0" in line:
        raise BadValue("a NUL character cannot stand in a variable")
    rest = match["rest"]
    if not rest.startswith(("'", '"')):
        return match["name"], _COMMENT.sub("", rest).rstrip()
    quoted = _QUOTED.fullmatch(rest)
    if quoted is None:
        hint = r"close the quote on the same line; a line break is written `\n` between double quotes"
        raise BadValue("the value does not end with its quote", hint)
    return match["name"], quoted["plain"] or _ESCAPE.sub(_unescape, quoted["escaped"] or "")


def _unescape(match: "re.Match[str]") -> str:
    if match[1] not in _ESCAPES:
        raise BadValue("a backslash between double quotes begins no escape", "use single quotes, or write it twice")
    return _ESCAPES[match[1]]
