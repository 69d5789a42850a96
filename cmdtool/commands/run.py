"""`cmdtool run`: a tool, or any command, at a terminal: a bar on standard error, its output on standard output."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from rich.console import Console

from cmdtool.argv import absolute_paths
from cmdtool.commands import asking
from cmdtool.commands.arguments import parse_arguments
from cmdtool.commands.dry_run import show_call
from cmdtool.commands.files import find_tool, read_manifest
from cmdtool.commands.foreground import Interrupt, PassThrough, command_tool, exit_status, run_interruptibly, say
from cmdtool.errors import StartError
from cmdtool.host import LocalHost
from cmdtool.model import AUTO, JSONValue, Stream, Tool
from cmdtool.process import Supervisor
from cmdtool.reporter import reporting
from cmdtool.run import Call, RunResult, prepare, run_call
from cmdtool.sinks.terminal import TerminalSink
from cmdtool.text import clean_line

_LONGEST_LINE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """How `run` shows what it does, and whether it trusts a manifest that others could have written."""

    as_json: bool = False
    dry_run: bool = False
    yes: bool = False
    """Whether nothing is asked, and what a tool asks first is answered with yes."""
    trust: bool = False


def run_tool(paths: Sequence[Path], name: str, words: Sequence[str], options: Options) -> int:
    """Run a tool of the manifest with `name=value` words; return the exit status.

    Raises:
        CmdtoolError: the manifest, the tool's name or an argument is wrong, or the person did not confirm.
    """
    tool = find_tool(
        read_manifest(paths, trust=options.trust).tools, name, f"a command is run by `cmdtool run -- {name}`"
    )
    arguments = parse_arguments(tool, words)
    if asking.is_possible() and not (options.yes or options.dry_run):
        arguments = asking.complete(tool, arguments)
    return _run(tool, absolute_paths(tool, arguments, os.getcwd()), options)


def run_command(words: Sequence[str], progress: str | None, pty: bool, options: Options) -> int:
    """Run any command line, in the caller's folder and environment, and with `pty` under a terminal of its own.

    Returns:
        The exit status.
    """
    return _run(command_tool(words, progress or AUTO, pty=pty), {}, options)


def _run(tool: Tool, arguments: Mapping[str, JSONValue], options: Options) -> int:
    try:
        call = prepare(tool, arguments, LocalHost(trust=options.trust), conceal=options.dry_run)
    except StartError as exc:
        return _finish(tool, RunResult.not_started(exc), options)
    if options.dry_run:
        show_call(call, as_json=options.as_json)
        return 0
    if call.question and not options.yes:
        asking.confirm(tool, call.question)
    result, interrupted = anyio.run(run_interruptibly, partial(_run_with_bar, call, options))
    if interrupted is not None:
        return interrupted
    assert result is not None
    return _finish(tool, result, options)


def _finish(tool: Tool, result: RunResult, options: Options) -> int:
    if options.as_json:
        sys.stdout.write(json.dumps(_json_result(tool, result), ensure_ascii=False) + "\n")
    elif result.outcome:
        say(result.outcome)
    return exit_status(result)


async def _run_with_bar(call: Call, options: Options, supervisor: Supervisor, interrupt: Interrupt) -> RunResult:
    console = Console(stderr=True)
    with TerminalSink(console, call.tool.name) as sink:
        printer = None if options.as_json else _Printer(sink, console, interrupt)
        async with reporting(call.tool.progress, sink) as reporter:
            assert reporter is not None
            result = await run_call(call, supervisor, reporter=reporter, echo=printer.echo if printer else None)
            reporter.finish(success=result.success)
        if printer:
            printer.flush()
    return result


class _Printer(PassThrough):
    """The command's output: its bytes where they go to a file or a pipe, whole lines above the bar on a terminal."""

    def __init__(self, sink: TerminalSink, console: Console, interrupt: Interrupt) -> None:
        super().__init__(interrupt)
        self._sink = sink
        self._on_screen = {
            stream for stream, file in self.files.items() if console.is_terminal and os.isatty(file.fileno())
        }
        self._unfinished = {"stdout": b"", "stderr": b""}

    async def echo(self, stream: Stream, block: bytes) -> None:
        """Show a block of output."""
        if stream not in self._on_screen:
            await super().echo(stream, block)
            return
        *lines, rest = (self._unfinished[stream] + block).split(b"\n")
        for line in lines:
            self._print(line)
        # Redraws stay until their line ends; of a bar only the last state is wanted.
        self._unfinished[stream] = rest[-_LONGEST_LINE:]

    def flush(self) -> None:
        """Show what no line end has followed."""
        for rest in self._unfinished.values():
            self._print(rest)

    def _print(self, line: bytes) -> None:
        if text := clean_line(line.decode("utf-8", "replace"), limit=_LONGEST_LINE):
            self._sink.print(text)


def _json_result(tool: Tool, result: RunResult) -> dict[str, Any]:
    return {
        "tool": tool.name,
        "success": result.success,
        "outcome": result.outcome,
        "exit_status": result.exit and result.exit.status,
        "signal": result.exit and result.exit.signal,
        "duration": round(result.duration, 3),
        "stdout": result.stdout.text,
        "stderr": result.stderr.text,
        "bytes_left_out": result.left_out,
    }
