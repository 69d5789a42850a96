"""`cmdtool list`: a table of the tools, their arguments and how their progress is read."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cmdtool.commands.files import read_manifest
from cmdtool.library import builtin_parser, known_programs
from cmdtool.model import Argument, Tool
from cmdtool.needs import silent_without, tool_commands
from cmdtool.text import clean


def list_tools(paths: Sequence[Path], *, trust: bool = False) -> int:
    """Print the table on standard output."""
    table = Table("tool", "arguments", "progress", "description", box=None, header_style="bold", pad_edge=False)
    for tool in read_manifest(paths, trust=trust).tools.values():
        arguments = "\n".join(show_argument(name, argument) for name, argument in tool.arguments.items())
        table.add_row(tool.name, arguments, show_progress(tool), clean(tool.description or tool.title or ""))
    Console().print(table, markup=False)
    return 0


def show_argument(name: str, argument: Argument) -> str:
    """Return an argument's name, type and default, and whether it may be left out."""
    schema = argument.property_schema
    kind = "|".join(map(str, schema["enum"])) if "enum" in schema else schema.get("type", "any")
    default = f" = {json.dumps(schema['default'], ensure_ascii=False)}" if "default" in schema else ""
    secret = " (secret)" if argument.secret else ""
    return f"{name}{'' if argument.is_required else '?'}: {clean(str(kind))}{clean(default)}{secret}"


def show_progress(tool: Tool) -> str:
    """Return how a tool's progress is read."""
    patterns = ", ".join(rule.pattern for rule in tool.progress.rules)
    if not tool.progress.detects:
        return tool.progress.parser or patterns or "signs of life only"
    commands = tool_commands(tool)
    known = dict.fromkeys(name for words in commands for name in known_programs(words).parsers)
    shown = ", ".join(filter(None, (patterns, "auto"))) + (f" ({', '.join(known)})" if known else "")
    silent = [silent_without(builtin_parser(name), commands, has_terminal=tool.pty is not None) for name in known]
    needs = " or ".join(dict.fromkeys(need for missing in silent for need in missing))
    return f"{shown}, silent without {needs}" if needs else shown
