"""`cmdtool run`: a tool, or any command, at a terminal: a bar on standard error, its output on standard output."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import anyio
from rich.console import Console

from cmdtool.argv import absolute_paths
from cmdtool.commands.files import read_manifest
from cmdtool.errors import ArgumentError, StartError
from cmdtool.host import LocalHost
from cmdtool.library import builtin_parsers
from cmdtool.manifest import resolve_progress
from cmdtool.model import JSONValue, Stream, Tool
from cmdtool.process import Supervisor
from cmdtool.reporter import reporting
from cmdtool.run import Call, RunResult, prepare, run_call
from cmdtool.sinks.terminal import TerminalSink
from cmdtool.template import Template
from cmdtool.text import clean_line

TIMED_OUT: Final = 124
"""Exit status after a time limit, as timeout(1)."""

NOT_STARTED: Final = 127
"""Exit status when the program could not be started, as in sh(1)."""

_LONGEST_LINE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """How `run` shows what it does."""

    as_json: bool = False
    dry_run: bool = False


def run_tool(paths: Sequence[Path], name: str, words: Sequence[str], options: Options) -> int:
    """Run a tool of the manifest with `name=value` words; return the exit status.

    Raises:
        CmdtoolError: the manifest, the tool's name or an argument is wrong.
    """
    tools = read_manifest(paths).tools
    tool = tools.get(name)
    if tool is None:
        raise ArgumentError(f"there is no tool `{name}`\nhint: the tools are {', '.join(tools)}")
    arguments = absolute_paths(tool, parse_arguments(tool, words), os.getcwd())
    return _run(tool, arguments, options)


def run_command(words: Sequence[str], progress: str | None, options: Options) -> int:
    """Run any command line, in the caller's folder and environment; return the exit status."""
    tool = Tool.model_validate(
        {
            "name": os.path.basename(words[0]),
            "command": [Template((word,)) for word in words],
            "arguments": {},
            "timeout": "none",
            "progress": resolve_progress(progress or "none", builtin_parsers()),
            "folder": os.getcwd(),
            "path": (),
            "inherit_env": ("*",),
        }
    )
    return _run(tool, {}, options)


def parse_arguments(tool: Tool, words: Sequence[str]) -> dict[str, JSONValue]:
    """Return the arguments that `name=value` words give: text for strings, JSON for other types.

    A name that is repeated gives an array its items. `name=@FILE` and `name=@-` read the value from a file or standard
    input; `name=@@x` is the text `@x`.

    Raises:
        ArgumentError: a word has no `=`, or its value is not what the argument's type needs.
    """
    arguments: dict[str, JSONValue] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ArgumentError(f"`{word}`: arguments are written `name=value`")
        schema = tool.arguments[name].property_schema if name in tool.arguments else {}
        text = _read_value(name, text)
        if schema.get("type") == "array":
            item = _parse_value(name, text, schema.get("items", {}).get("type", "string"))
            arguments.setdefault(name, []).append(item)
        elif name in arguments:
            raise ArgumentError(f"`{name}` is given twice, and it takes one value")
        else:
            arguments[name] = _parse_value(name, text, schema.get("type", "string"))
    return arguments


def _read_value(name: str, text: str) -> str:
    if not text.startswith("@"):
        return text
    source = text[1:]
    if source.startswith("@"):
        return source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ArgumentError(
            f"`{name}`: cannot read `{source}`: {exc}\nhint: for the text itself write `@@...`"
        ) from exc


def _parse_value(name: str, text: str, kind: object) -> JSONValue:
    if kind == "string" or (isinstance(kind, list) and "string" in kind):
        return text
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ArgumentError(f"`{name}`: expected {kind} as JSON, found `{clean_line(text, 80)}`") from exc


def _run(tool: Tool, arguments: Mapping[str, JSONValue], options: Options) -> int:
    try:
        call = prepare(tool, arguments, LocalHost())
    except StartError as exc:
        _say(str(exc))
        return NOT_STARTED
    if options.dry_run:
        _show_call(call, options)
        return 0
    result, interrupted = anyio.run(_run_interruptibly, call, options)
    if interrupted is not None:
        return 128 + interrupted
    assert result is not None
    if options.as_json:
        sys.stdout.write(json.dumps(_json_result(tool, result), ensure_ascii=False) + "\n")
    if result.outcome and (not result.success or not options.as_json):
        _say(result.outcome)
    return _exit_status(result)


def _say(words: str) -> None:
    sys.stderr.write(f"cmdtool: {words}\n")


async def _run_interruptibly(call: Call, options: Options) -> tuple[RunResult | None, signal.Signals | None]:
    """Run the call; the first SIGINT or SIGTERM ends it and its processes, a second one kills them at once.

    So does SIGPIPE, which stands for a reader of standard output that has gone.
    """
    supervisor = Supervisor()
    interrupted: list[signal.Signals] = []
    result: RunResult | None = None

    def interrupt(number: signal.Signals) -> None:
        if interrupted:
            supervisor.kill_all()
        interrupted.append(number)
        scope.cancel()

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                interrupt(number)

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(watch)
            result = await _run_with_bar(call, supervisor, options, lambda: interrupt(signal.SIGPIPE))
        tasks.cancel_scope.cancel()
    return result, interrupted[0] if interrupted else None


async def _run_with_bar(call: Call, supervisor: Supervisor, options: Options, hang_up: Callable[[], None]) -> RunResult:
    console = Console(stderr=True)
    with TerminalSink(console, call.tool.name) as sink:
        printer = None if options.as_json else _Printer(sink, console, hang_up)
        async with reporting(call.tool.progress, sink) as reporter:
            assert reporter is not None
            result = await run_call(call, supervisor, reporter=reporter, echo=printer.echo if printer else None)
            reporter.finish(success=result.success)
        if printer:
            printer.flush()
    return result


class _Printer:
    """The command's output: its bytes where they go to a file or a pipe, whole lines above the bar on a terminal."""

    def __init__(self, sink: TerminalSink, console: Console, hang_up: Callable[[], None]) -> None:
        self._sink = sink
        self._hang_up = hang_up
        self._files = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
        self._on_screen = {
            stream for stream, file in self._files.items() if console.is_terminal and os.isatty(file.fileno())
        }
        self._unfinished = {"stdout": b"", "stderr": b""}

    def echo(self, stream: Stream, block: bytes) -> None:
        """Show a block of output."""
        if stream not in self._on_screen:
            self._write(self._files[stream], block)
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

    def _write(self, file: BinaryIO, block: bytes) -> None:
        try:
            file.write(block)
            file.flush()
        except BrokenPipeError:
            # What is still buffered would fail again at exit (Python docs, "Note on SIGPIPE").
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
            self._hang_up()

    def _print(self, line: bytes) -> None:
        if text := clean_line(line.decode("utf-8", "replace"), limit=_LONGEST_LINE):
            self._sink.print(text)


def _exit_status(result: RunResult) -> int:
    if result.ended_by == "start":
        return NOT_STARTED
    if result.ended_by != "exit":
        return TIMED_OUT
    if result.exit.signal is not None:
        return 128 + getattr(signal, result.exit.signal, 0)
    return 0 if result.success else result.exit.status or 1


def _json_result(tool: Tool, result: RunResult) -> dict[str, Any]:
    return {
        "tool": tool.name,
        "success": result.success,
        "outcome": result.outcome,
        "exit_status": result.exit.status,
        "signal": result.exit.signal,
        "duration": round(result.duration, 3),
        "stdout": result.stdout.text,
        "stderr": result.stderr.text,
        "bytes_left_out": result.left_out,
    }


def _show_call(call: Call, options: Options) -> None:
    invocation = call.invocation
    if options.as_json:
        facts = {
            "program": invocation.program,
            "argv": invocation.argv,
            "cwd": invocation.cwd,
            "env": dict(invocation.env),
            "stdin": invocation.stdin.decode("utf-8"),
        }
        sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
        return
    write: Callable[[str], object] = sys.stdout.write
    write(f"program: {invocation.program}\n")
    write(f"argv:    {shlex.join(invocation.argv)}\n")
    write(f"folder:  {invocation.cwd}\n")
    write(f"stdin:   {len(invocation.stdin)} bytes\n" if invocation.stdin else "stdin:   empty\n")
    write("environment:\n")
    for name, value in sorted(invocation.env.items()):
        write(f"  {name}={value}\n")
