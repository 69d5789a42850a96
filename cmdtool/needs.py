"""What a program must be told before it says how far it is, and whether a command line tells it."""

from collections.abc import Iterable, Sequence
from typing import Final

from cmdtool.model import Choice, Element, Group, ParserFile, ToolKeys
from cmdtool.programs import running_programs, simple_commands
from cmdtool.template import Template

TERMINAL: Final = "pty"
"""The entry of `needs` that stands for a terminal."""


def silent_without(parser: ParserFile, commands: Sequence[Sequence[str]], has_terminal: bool) -> tuple[str, ...]:
    """Return what the programs of a parser need and are not given; empty if one will speak, or none runs.

    Args:
        parser: the parser of the programs.
        commands: the words of each command that runs.
        has_terminal: whether they run on a terminal.
    """
    own = [words for words in commands if not set(running_programs(words)).isdisjoint(parser.matches)]
    speaks = has_terminal and TERMINAL in parser.needs
    if not own or speaks or any(_gives(word, need) for words in own for word in words for need in parser.needs):
        return ()
    return parser.needs


def tool_commands(tool: ToolKeys) -> list[list[str]]:
    """Return the words, as far as they are the same in each call, of the commands that a tool runs."""
    return [literal_words(tool.command)] if tool.command else simple_commands(tool.shell or "")


def literal_words(elements: Iterable[Element]) -> list[str]:
    """Return the elements of a command that are the same in each call, or are there in some."""
    words: list[str] = []
    for element in elements:
        match element:
            case Template():
                words += [] if element.holes else [element.fill({})]
            case Group():
                words += literal_words(element.root)
            case Choice():
                words += literal_words((*element.then, *element.otherwise))
    return words


def _gives(word: str, need: str) -> bool:
    name, _, value = need.partition("=")
    if word == need or word.startswith(f"{need}="):
        return True
    if value and word.startswith(f"{name}="):
        return value in word[len(name) + 1 :].split(",")
    is_letter = len(need) == 2 and need[0] == "-" and need[1] != "-"
    return is_letter and word.startswith("-") and not word.startswith("--") and need[1] in word[1:]
