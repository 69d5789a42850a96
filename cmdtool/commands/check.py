"""`cmdtool check`: every mistake of a manifest with its line; without mistakes, what each tool runs."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cmdtool import manifest
from cmdtool.argv import find_program
from cmdtool.commands.files import read_files
from cmdtool.commands.list import show_progress
from cmdtool.host import LocalHost
from cmdtool.library import builtin_parsers
from cmdtool.model import Tool

FAILED: Final = 1


def check(paths: Sequence[Path]) -> int:
    """Print problems on standard error; without errors, a line for each tool on standard output.

    Raises:
        CmdtoolError: a file cannot be read.
    """
    find = partial(find_program, resolve=LocalHost())
    checked, problems = manifest.check(read_files(paths), builtin_parsers(), find)
    for problem in problems:
        sys.stderr.write(f"{problem}\n\n")
    if checked is None:
        errors = sum(problem.severity == "error" for problem in problems)
        sys.stderr.write(f"{errors} error{'s' if errors > 1 else ''}\n")
        return FAILED
    for tool in checked.tools.values():
        sys.stdout.write(f"{tool.name}: {find(tool)}{_show_holes(tool)}, progress: {show_progress(tool)}\n")
    return 0


def _show_holes(tool: Tool) -> str:
    hole = "{{{}}}" if tool.shell is None else "${}"
    return "".join(f" {hole.format(name)}" for name in tool.arguments)
