"""What a program must be told before it says how far it is, and whether a command line tells it."""

import posixpath
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from cmdtool.model import Choice, Element, Group, ParserFile
from cmdtool.template import Template

TERMINAL: Final = "pty"
"""The entry of `needs` that stands for a terminal."""


def silent_without(parser: ParserFile, words: Sequence[str], has_terminal: bool) -> tuple[str, ...]:
    """Return what the program of `parser` needs and `words` have none of; empty if it will speak."""
    if has_terminal and TERMINAL in parser.needs:
        return ()
    return () if any(_gives(word, need) for word in words for need in parser.needs) else parser.needs


def runs(parser: ParserFile, words: Iterable[str]) -> bool:
    """Whether one of `words`, where a program can stand, is a program of `parser`."""
    return any(posixpath.basename(word) in parser.matches for word in words)


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


def script_words(script: str) -> list[str]:
    """Return the words of a shell script, as far as they can be told without running it."""
    try:
        words = list(shlex.shlex(script, posix=True, punctuation_chars=True))
    except ValueError:  # a quote of another kind than shlex knows, such as in a here-document
        words = script.split()
    return words


def _gives(word: str, need: str) -> bool:
    name, _, value = need.partition("=")
    if word == need or word.startswith(f"{need}="):
        return True
    if value and word.startswith(f"{name}="):
        return value in word[len(name) + 1 :].split(",")
    is_letter = len(need) == 2 and need[0] == "-" and need[1] != "-"
    return is_letter and word.startswith("-") and not word.startswith("--") and need[1] in word[1:]
