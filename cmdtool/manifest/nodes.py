"""A manifest file as nodes that know where they stand, and the problems found in it."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cmdtool.errors import Problem
from cmdtool.model import JSONValue
from cmdtool.values import describe

Step: TypeAlias = str | int

_LINE_END: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_LONGEST_LINE: Final = 1000
_LONGEST_KEY: Final = 64
_LONGEST_MESSAGE: Final = 300


@dataclass(frozen=True, slots=True)
class Source:
    """A manifest file: the name that problems show, the absolute folder it stands in, its text."""

    name: str
    folder: str
    text: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One YAML value, its place, and the key path that leads to it.

    `key` is where the key of a mapping's entry stands, for other nodes their own start. `written` is the text of a
    scalar without quotes. A `broken` node has been reported already; `dropped` names the children that were left out
    because they are broken, so that nothing is said of their absence.
    """

    path: str
    start: Position
    end: Position
    key: Position
    value: "bool | int | float | str | Mapping[str, Node] | tuple[Node, ...] | None"
    written: str | None = None
    broken: bool = False
    dropped: frozenset[Step] = frozenset()

    @property
    def entries(self) -> "Mapping[str, Node]":
        """The children of a mapping; empty for every other node."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def items(self) -> "tuple[Node, ...]":
        """The children of a list; empty for every other node."""
        return self.value if isinstance(self.value, tuple) else ()

    def child(self, step: Step) -> "Node | None":
        """Return the child that a key or an index leads to."""
        if isinstance(step, str):
            return self.entries.get(step)
        return self.items[step] if step < len(self.items) else None

    def data(self) -> JSONValue:
        """Return the value without places, as `json.loads` would."""
        if isinstance(self.value, Mapping):
            return {key: child.data() for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.data() for child in self.value]
        return self.value

    @property
    def is_damaged(self) -> bool:
        """Whether something in this node was left out."""
        children = (*self.entries.values(), *self.items)
        return bool(self.dropped) or any(child.is_damaged for child in children)

    def describe(self) -> str:
        """Return what this is, in the words of an error."""
        said = describe(self.data())
        if self.written is None or f"`{self.written}`" in said:
            return said
        return f"`{self.written}`, which YAML reads as {said}" if self.written else said


def join(path: str, step: Step) -> str:
    """Return the key path of a child."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    shown = _printable(_shorten(step, _LONGEST_KEY))
    return f"{path}.{shown}" if path else shown


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return which of the `known` names was probably meant."""
    found = difflib.get_close_matches(name[:_LONGEST_KEY], list(known), n=1)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that was probably meant, or at all of the few there are."""
    names = list(known)
    if near := nearest(name, names):
        return f"did you mean `{near}`?"
    return f"known here: {', '.join(names)}" if 0 < len(names) <= 12 else ""


class Report:
    """Collects the problems of one file; its own text supplies their source lines."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text.removeprefix("\ufeff")
        self.lines = _LINE_END.split(self.text)
        self.errors = 0
        """How many of the problems are errors."""
        self._problems: dict[tuple[int, int, str], Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """All problems, in file order."""
        return sorted(self._problems.values(), key=lambda problem: (problem.line, problem.column))

    def at(
        self,
        node: Node,
        message: str,
        hint: str = "",
        *,
        on_key: bool = False,
        offset: int | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Report a problem of `node`: at its value, at its key, or `offset` characters into its text."""
        position = node.key if on_key else node.start
        if offset is not None:
            position = self._inside(node, offset)
        self.add(position, node.path, message, hint, severity)

    def add(
        self,
        position: Position | None,
        path: str,
        message: str,
        hint: str = "",
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Report a problem at a place, or of the file as a whole.

        What an alias or `defaults` brings to several places is one mistake, so it is reported once.
        """
        line, column = (position.line, position.column) if position else (0, 0)
        source = self._line(line) if line else ""
        message, hint = (_printable(_shorten(text, _LONGEST_MESSAGE)) for text in (message, hint))
        problem = Problem(self.file, line, column, path, message, hint, source, severity)
        if (line, column, message) not in self._problems:
            self._problems[line, column, message] = problem
            self.errors += severity == "error"

    def source(self, node: Node) -> str | None:
        """Return the text of a node as it is written, where that is on one line."""
        if node.start.line != node.end.line:
            return None
        return self.lines[node.start.line - 1][node.start.column - 1 : node.end.column - 1]

    def char(self, node: Node) -> str:
        """Return the character that a node begins with in the file."""
        return self.lines[node.start.line - 1][node.start.column - 1 : node.start.column]

    def comment(self, node: Node) -> str:
        """Return the comment behind text without quotes: it may have been meant as part of it."""
        if node.written is None or node.end.line > len(self.lines):
            return ""
        rest = self.lines[node.end.line - 1][node.end.column - 1 :].strip()
        return rest if rest.startswith("#") else ""

    def _inside(self, node: Node, offset: int) -> Position:
        source = self.source(node)
        if source == node.value:
            return Position(node.start.line, node.start.column + offset)
        if source is not None and source[1:-1] == node.value:
            return Position(node.start.line, node.start.column + 1 + offset)
        return node.start  # escapes, or several lines: the value's text is not the file's

    def _line(self, number: int) -> str:
        line = self.lines[number - 1] if number <= len(self.lines) else ""
        return _printable(line) if len(line) <= _LONGEST_LINE else ""


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "…"


def _printable(text: str) -> str:
    """Return `text` with a mark in place of each character that could not be seen, so that columns stay."""
    return text if text.isprintable() else "".join(char if char.isprintable() or char == "\t" else "�" for char in text)
