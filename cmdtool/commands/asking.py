"""What a person at the terminal is asked before a tool starts: for arguments, and whether it may start."""

import sys
from collections.abc import Mapping
from getpass import getpass

from cmdtool.commands.arguments import parse_arguments
from cmdtool.commands.list import show_argument
from cmdtool.errors import ArgumentError, MissingArgumentsError
from cmdtool.model import Argument, JSONValue, Tool
from cmdtool.schema import check_arguments
from cmdtool.text import clean_line


def is_possible() -> bool:
    """Whether there is a terminal to ask at."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def complete(tool: Tool, arguments: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """Return `arguments` with what the person answers where they leave out what the tool asks for.

    Raises:
        ArgumentError: they are wrong, or one is missing that is not asked for, or there was no answer.
    """
    missing = None
    try:
        check_arguments(tool, arguments)
    except MissingArgumentsError as exc:
        missing = exc
        if not all(tool.ask or tool.arguments[name].ask for name in exc.names):
            raise
    given = {name: value for name, value in arguments.items() if value is not None}
    for name, argument in tool.arguments.items():
        if name not in given and (argument.ask or (missing and name in missing.names)):
            given |= _ask(tool, name, argument)
    return given


def confirm(tool: Tool, question: str) -> None:
    """Ask whether the call may start.

    Raises:
        ArgumentError: the answer is no, or there is nobody to ask.
    """
    if not is_possible():
        if tool.confirm and tool.confirm.otherwise == "allow":
            return
        raise ArgumentError(f"not confirmed, and this is no terminal to ask at: {question}\nhint: `--yes` says yes")
    if _read(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise ArgumentError("not confirmed: nothing was started")


def _ask(tool: Tool, name: str, argument: Argument) -> dict[str, JSONValue]:
    """Ask for an argument until the answer fits; where it may be left out, no answer leaves it out."""
    alone = tool.model_copy(update={"arguments": {name: argument}})
    is_list = argument.property_schema.get("type") == "array"
    description = clean_line(argument.property_schema.get("description", ""))
    about = (show_argument(name, argument), description, "an empty line ends it" if is_list else "")
    question = f"{' · '.join(filter(None, about))} > "
    while True:
        words = []
        while text := _answer(question, is_secret=argument.secret):
            words.append(f"{name}={'@' if text.startswith('@') else ''}{text}")
            if not is_list:
                break
        try:
            return check_arguments(alone, parse_arguments(alone, words))
        except ArgumentError as exc:
            sys.stderr.write(f"{exc}\n")


def _answer(question: str, *, is_secret: bool) -> str:
    try:
        line = f"{getpass(question, sys.stderr)}\n" if is_secret else _read(question)
    except EOFError:
        line = ""
    if not line:
        raise ArgumentError("not answered: nothing was started")
    return line.removesuffix("\n")


def _read(question: str) -> str:
    """Return the next line, empty if there is none."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()
