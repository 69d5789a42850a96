"""`cmdtool check`: every mistake of a manifest with its line; without mistakes, what each tool runs."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cmdtool import manifest
from cmdtool.argv import find_path, find_program, read_env_file
from cmdtool.commands.files import read_files
from cmdtool.commands.list import show_progress
from cmdtool.host import LocalHost
from cmdtool.library import builtin_parser, builtin_parsers
from cmdtool.model import Choice, Element, Group, Tool
from cmdtool.run import Startables
from cmdtool.text import clean
from cmdtool.trust import who_else_writes

FAILED: Final = 1


def check(paths: Sequence[Path], *, trust: bool = False) -> int:
    """Print problems on standard error; without errors, a line for each tool on standard output.

    Raises:
        CmdtoolError: a file cannot be read, or, without `trust`, others could have written it.
    """
    host = LocalHost(trust=trust)
    facts = manifest.Facts(
        find_program=Startables(host).find,
        find_parser=builtin_parser,
        read_env_file=partial(read_env_file, resolve=host),
        find_path=partial(find_path, resolve=host),
    )
    checked, problems = manifest.check(read_files(paths, trust=trust), builtin_parsers(), facts)
    for problem in problems:
        sys.stderr.write(f"{problem}\n\n")
    if checked is None:
        errors = sum(problem.severity == "error" for problem in problems)
        sys.stderr.write(f"{errors} error{'s' if errors > 1 else ''}\n")
        return FAILED
    for tool in checked.tools.values():
        arguments = f"; arguments: {', '.join(tool.arguments)}" if tool.arguments else ""
        program = find_program(tool, host)
        if who := who_else_writes(os.stat(program)):
            warning = f"{tool.name}: {program}: {who}, so others could choose what runs"
            sys.stderr.write(f"warning: {clean(warning)}\n")
        command = f"{program}{_show_command(tool)}"
        sys.stdout.write(clean(f"{tool.name}: {command}{arguments}; progress: {show_progress(tool)}") + "\n")
    return 0


def _show_command(tool: Tool) -> str:
    """Return the elements after the program, with their holes."""
    return "".join(f" {_show_element(element)}" for element in (tool.command or ())[1:])


def _show_element(element: Element) -> str:
    match element:
        case Group():
            return f"[{' '.join(map(_show_element, element.root))}]"
        case Choice():
            branches = [" ".join(map(_show_element, elements)) for elements in (element.then, element.otherwise)]
            return f"[{element.condition}? {' : '.join(filter(None, branches))}]"
    return str(element)
