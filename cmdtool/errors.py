"""Everything cmdtool raises on purpose: one base class, and one kind for each thing a caller would do differently."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class CmdtoolError(Exception):
    """Base of all errors raised on purpose; `str(error)` is fit to be shown to a person."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a manifest and where it stands.

    `line` and `column` count from 1; 0 means the file as a whole. `key` is the path to the value, as in
    `tools.backup.progress[0].pattern`, empty for the file itself. `source` is the text of the line.
    """

    file: str
    line: int
    column: int
    key: str
    message: str
    hint: str = ""
    source: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        lines = [f"{self.severity}: {where}:{key} {self.message}"]
        if self.source:
            margin = f"  {self.line} | "
            lines.append(margin + self.source)
            lines.append(" " * (len(margin) - 2) + "| " + " " * (self.column - 1) + "^")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class ManifestError(CmdtoolError):
    """The manifest cannot be used; `problems` holds every mistake found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.problems))


class BadValue(ValueError):
    """A value that a manifest, a call or a program gives and that cannot be used, with a hint at what could.

    A `ValueError`, so that pydantic reports it with the place where the value stands. `offset` is where in the value,
    if it is text, the mistake begins.
    """

    def __init__(self, message: str, hint: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset


class ArgumentError(CmdtoolError):
    """A call's arguments cannot be used; the message says which one and what to change."""


class MissingArgumentsError(ArgumentError):
    """Nothing is wrong with a call but that the required arguments `names` are missing."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)


class StartError(CmdtoolError):
    """The program could not be started: not found, not executable, too long a command line."""
