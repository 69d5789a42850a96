"""`cmdtool parsers`: the built-in parsers, or one of them ready to paste into a manifest."""

import re
import sys
import textwrap
from difflib import get_close_matches
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cmdtool.errors import ArgumentError
from cmdtool.library import builtin_parser, builtin_parsers, builtin_text
from cmdtool.model import ParserFile
from cmdtool.needs import TERMINAL

_RULES: Final = ("rules", "stages")
_PART: Final = re.compile(r"^(?:#.*\n)*(\w+):(?:.*\n)(?:(?![\w#]).*\n)*", re.MULTILINE)
"""One key of a parser's file, with the comments above it and all that belongs to it."""


def list_parsers() -> int:
    """Print a table of the built-in parsers."""
    table = Table("parser", "programs", "reads", "needs", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for name in builtin_parsers():
        parser = builtin_parser(name)
        cells = (name, ", ".join(parser.matches), parser.about, describe_needs(parser))
        table.add_row(*map(Text, cells))
    Console().print(table)
    return 0


def show_parser(name: str) -> int:
    """Print one parser as it stands below `parsers:` in a manifest, with what else is known of it as comments.

    Raises:
        ArgumentError: there is no such parser.
    """
    if name not in builtin_parsers():
        near = get_close_matches(name, builtin_parsers(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`cmdtool parsers` lists them"
        raise ArgumentError(f"there is no parser `{name}`\nhint: {hint}")
    sys.stdout.write(write_parser(name, builtin_parser(name), builtin_text(name)))
    return 0


def write_parser(name: str, parser: ParserFile, text: str) -> str:
    """Return a parser as an entry of `parsers:`; its rules stay as they are written in `text`."""
    facts = {
        "about": parser.about,
        "programs": ", ".join(parser.matches),
        "sample": parser.sample,
        "hint": parser.hint or "",
        "needs": describe_needs(parser),
    }
    comments = "".join(f"# {key}: {line}\n" for key, fact in facts.items() for line in fact.splitlines())
    parts = (part[0] for part in _PART.finditer(text if text.endswith("\n") else f"{text}\n") if part[1] in _RULES)
    return textwrap.indent(comments, "  ") + f"  {name}:\n" + textwrap.indent("".join(parts), "    ")


def describe_needs(parser: ParserFile) -> str:
    """Return in words what the program needs, one of them, to say anything."""
    return " or ".join("a terminal" if need == TERMINAL else need for need in parser.needs)
