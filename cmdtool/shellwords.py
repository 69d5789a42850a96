"""Splits a command written as one string, once, by POSIX quoting rules, and refuses what only a shell would act on."""

import re
from typing import Final

from cmdtool.errors import BadValue

HINT: Final = "this is shell syntax: use `shell:`, or quote it if it is meant"

_OPERATOR: Final = r"\|\|?|&&|&|;|\d?>>?|<"
_EXPANSION: Final = r"`|\$\(|\$\{[^}\s]*\}?|\$[A-Za-z_]\w*"
_TOKEN: Final = re.compile(
    rf"""
      (?P<quoted> '[^']*' | "(?:\\.|[^"\\])*" | \\. )
    | (?P<open> ['"] | \\\Z )
    | (?P<shell> {_OPERATOR} | {_EXPANSION} | \* | (?<!\S)~/? )
    | (?P<end> \n )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_WORD: Final = re.compile(r"""(?:[^\s'"\\]|'[^']*'|"(?:\\.|[^"\\])*"|\\.)+""", re.DOTALL)
_QUOTE: Final = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\([$`\"\\\n])")
_CONTINUED: Final = "\\\n"


def split_command(text: str) -> list[str]:
    """Return the words of `text`.

    Raises:
        BadValue: a quote is not closed, there are no words, or an unquoted `|`, `&&`, `;`, `>`, `$NAME`, `*`, `~` or
            line end would have meant something to a shell. No shell runs here: it would silently be taken as text.
    """
    text = text.rstrip("\n")
    for token in _TOKEN.finditer(text):
        _check(token, text)
    words = [_unquote(word[0]) for word in _WORD.finditer(text) if word[0] != _CONTINUED]
    if not words or not words[0]:
        raise BadValue("the command is empty", "write a program and its arguments")
    return words


def _unquote(word: str) -> str:
    return _QUOTE.sub(_content, word)


def _content(quoted: re.Match[str]) -> str:
    single, double, char = quoted.groups()
    if double is not None:  # here a backslash is one except before what it would have to protect
        return _ESCAPE.sub(lambda escape: escape[1].strip("\n"), double)
    return single if single is not None else char.strip("\n")


def find_shell_syntax(element: str, *, is_program: bool) -> str | None:
    """Return what only a shell would act on in one element of a list that was written without quotes."""
    if not is_program and element.startswith("~/"):
        return element
    found = re.fullmatch(_OPERATOR, element, re.ASCII) or re.search(_EXPANSION, element, re.ASCII)
    return found[0] if found else None


def _check(token: re.Match[str], text: str) -> None:
    start = token.start()
    is_first = not text[:start].strip()
    if token["open"]:
        message = "a single backslash ends the command" if token[0] == "\\" else "a quote is never closed"
        raise BadValue(message, "close or double it, or write the command as a list", start)
    if token["end"] and not is_first:
        hint = "fold the lines with `>-`; or use `shell:`, where each line is a command"
        raise BadValue("a line ends inside the command, and no shell runs it", hint, start)
    if token["shell"] and not (is_first and token[0] == "~/"):
        raise BadValue(f"`{token[0]}` has no meaning here, no shell runs the command", HINT, start)
