"""Splits a command written as one string, once, by POSIX quoting rules, and refuses what only a shell would act on."""

import re
import shlex
from typing import Final

from cmdtool.errors import BadValue

_QUOTED: Final = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.", re.DOTALL)
_SHELL: Final = re.compile(r"\|\||&&|\d?>>?|[|;&<`*]|\$\(|\$\{[^}\s]*\}?|\$[A-Za-z_][A-Za-z0-9_]*|(?<=\s)~\S*")
HINT: Final = "this is shell syntax: use `shell:`, or quote it if it is meant"


def split_command(text: str) -> list[str]:
    """Return the words of `text`.

    Raises:
        BadValue: a quote is not closed, there are no words, or an unquoted `|`, `&&`, `;`, `>`, `$NAME`, `*`, `~` ...
            would have meant something to a shell. No shell runs here, so it would silently be taken as text.
    """
    bare = _QUOTED.sub(lambda match: "_" * len(match[0]), text)
    if found := _SHELL.search(bare):
        raise BadValue(f"`{found[0]}` has no meaning here, no shell runs the command", HINT)
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise BadValue("a quote is never closed", "close it, or write the command as a list") from exc
    if not words:
        raise BadValue("the command is empty", "write a program and its arguments")
    return words
