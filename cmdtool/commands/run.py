"""`cmdtool run`: a tool, or any command, at a terminal: a bar on standard error, its output on standard output."""

import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import anyio
from rich.console import Console

from cmdtool.argv import absolute_paths
from cmdtool.commands.files import find_tool, read_manifest
from cmdtool.errors import ArgumentError, StartError
from cmdtool.host import LocalHost
from cmdtool.library import builtin_parsers
from cmdtool.manifest import resolve_progress
from cmdtool.masking import MASK
from cmdtool.model import AUTO, JSONValue, Stream, Tool
from cmdtool.outcome import show_limits
from cmdtool.process import Supervisor, reset_signals
from cmdtool.reporter import reporting
from cmdtool.run import Call, RunResult, named_secrets, prepare, run_call
from cmdtool.sinks.terminal import TerminalSink
from cmdtool.template import Template
from cmdtool.text import clean, clean_line

TIMED_OUT: Final = 124
"""Exit status after a time limit, as timeout(1)."""

NOT_STARTED: Final = 127
"""Exit status when the program could not be started, as in sh(1)."""

_LONGEST_LINE: Final = 64 * 1024

Interrupt: TypeAlias = Callable[[int], None]
"""Ends the command, and this process with the exit status that is given."""


@dataclass(frozen=True, slots=True)
class Options:
    """How `run` shows what it does, and whether it trusts a manifest that others could have written."""

    as_json: bool = False
    dry_run: bool = False
    yes: bool = False
    """Whether what a tool asks first is answered with yes."""
    trust: bool = False


def run_tool(paths: Sequence[Path], name: str, words: Sequence[str], options: Options) -> int:
    """Run a tool of the manifest with `name=value` words; return the exit status.

    Raises:
        CmdtoolError: the manifest, the tool's name or an argument is wrong, or the person did not confirm.
    """
    tool = find_tool(
        read_manifest(paths, trust=options.trust).tools, name, f"a command is run by `cmdtool run -- {name}`"
    )
    arguments = absolute_paths(tool, parse_arguments(tool, words), os.getcwd())
    return _run(tool, arguments, options)


def run_command(words: Sequence[str], progress: str | None, pty: bool, options: Options) -> int:
    """Run any command line, in the caller's folder and environment, and with `pty` under a terminal of its own.

    Returns:
        The exit status.
    """
    return _run(command_tool(words, progress or AUTO, pty=pty), {}, options)


def command_tool(words: Sequence[str], progress: str, *, pty: bool = False) -> Tool:
    """Return the tool that a command line is, in the caller's folder and environment and without a time limit."""
    return Tool.model_validate(
        {
            "name": os.path.basename(words[0]),
            "command": [Template((word,)) for word in words],
            "timeout": "none",
            "pty": pty,
            "progress": resolve_progress(progress, builtin_parsers()),
            "folder": os.getcwd(),
            "inherit_env": ("*",),
        }
    )


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
            items = schema.get("items", {})
            item = _parse_value(name, text, items if isinstance(items, Mapping) else {})
            arguments.setdefault(name, []).append(item)
        elif name in arguments:
            raise ArgumentError(f"`{name}` is given twice, and it takes one value")
        else:
            arguments[name] = _parse_value(name, text, schema)
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


def _parse_value(name: str, text: str, schema: Mapping[str, JSONValue]) -> JSONValue:
    kind = schema.get("type", "string" if _takes_text(schema) else "a value")
    if kind == "string" or (isinstance(kind, list) and "string" in kind):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ArgumentError(f"`{name}`: expected {kind} as JSON, found `{clean_line(text, 80)}`") from exc


def _takes_text(schema: Mapping[str, JSONValue]) -> bool:
    return "enum" not in schema or any(isinstance(value, str) for value in schema["enum"])


def _run(tool: Tool, arguments: Mapping[str, JSONValue], options: Options) -> int:
    try:
        call = prepare(tool, arguments, LocalHost(trust=options.trust), conceal=options.dry_run)
    except StartError as exc:
        return _finish(tool, RunResult.not_started(exc), options)
    if options.dry_run:
        _show_call(call, options)
        return 0
    if call.question and not options.yes:
        _confirm(tool, call.question)
    result, interrupted = anyio.run(run_interruptibly, partial(_run_with_bar, call, options))
    if interrupted is not None:
        return interrupted
    assert result is not None
    return _finish(tool, result, options)


def _confirm(tool: Tool, question: str) -> None:
    """Ask at the terminal whether the call may start.

    Raises:
        ArgumentError: the answer is no, or there is nobody to ask.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        if tool.confirm and tool.confirm.otherwise == "allow":
            return
        raise ArgumentError(f"not confirmed, and this is no terminal to ask at: {question}\nhint: `--yes` says yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ArgumentError("not confirmed: nothing was started")


def _finish(tool: Tool, result: RunResult, options: Options) -> int:
    if options.as_json:
        sys.stdout.write(json.dumps(_json_result(tool, result), ensure_ascii=False) + "\n")
    elif result.outcome:
        say(result.outcome)
    return exit_status(result)


def say(words: str) -> None:
    """Say something on standard error, where it can be told from what the command says."""
    sys.stderr.write(f"cmdtool: {clean(words)}\n")


async def run_interruptibly(
    run: Callable[[Supervisor, Interrupt], Awaitable[RunResult]],
) -> tuple[RunResult | None, int | None]:
    """Run a call with `run`; return its result, or the exit status that interrupted it.

    The first SIGINT, SIGTERM or SIGHUP ends the command, a second one kills it at once. Output that nobody takes any
    more ends it too.
    """
    supervisor = Supervisor()
    statuses: list[int] = []
    result: RunResult | None = None

    def interrupt(status: int) -> None:
        if statuses:
            supervisor.kill_all()
        statuses.append(status)
        scope.cancel()

    async def watch(signals: AsyncIterator[signal.Signals]) -> None:
        async for number in signals:
            if number == signal.SIGHUP and is_detached:
                continue
            say(f"ending the command on {number.name}")
            interrupt(128 + number)

    is_detached = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup(1)
    reset_signals()

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with supervisor.guarding(), anyio.create_task_group() as tasks:
            tasks.start_soon(watch, signals)
            with anyio.CancelScope() as scope:
                result = await run(supervisor, interrupt)
            tasks.cancel_scope.cancel()
    return result, statuses[0] if statuses else None


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


class PassThrough:
    """The command's output, byte for byte, on the streams of this process."""

    def __init__(self, interrupt: Interrupt) -> None:
        """`interrupt` is called when nobody takes the output any more."""
        self._interrupt = interrupt
        self.files = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}

    async def echo(self, stream: Stream, block: bytes) -> None:
        """Pass a block on. A reader that is slow holds up the command, as in a shell, but nothing else."""
        write = partial(self._write, self.files[stream], block)
        await anyio.to_thread.run_sync(write, abandon_on_cancel=True)

    def _write(self, file: BinaryIO, block: bytes) -> None:
        try:
            file.write(block)
            file.flush()
        except OSError as exc:
            # What is still buffered would fail again at exit (Python docs, "Note on SIGPIPE").
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
            if not isinstance(exc, BrokenPipeError):
                say(f"cannot write the output: {(exc.strerror or str(exc)).lower()}")
            anyio.from_thread.run_sync(self._interrupt, 128 + signal.SIGPIPE)


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


def exit_status(result: RunResult) -> int:
    """Return what to exit with after a call: the command's own status, or what a shell would make of its end."""
    if result.exit is None:
        return NOT_STARTED
    if result.ended_by != "exit":
        return TIMED_OUT
    if result.exit.signal is not None:
        return 128 + getattr(signal, result.exit.signal, 0)
    assert result.exit.status is not None
    return result.exit.status


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


def _show_call(call: Call, options: Options) -> None:
    invocation = call.invocation
    env = {**invocation.env, **dict.fromkeys(named_secrets(call.tool, invocation.env), MASK)}
    if options.as_json:
        facts = {
            "program": invocation.program,
            "argv": invocation.argv,
            "cwd": invocation.cwd,
            "env": env,
            "stdin": invocation.stdin.decode("utf-8"),
            "pty": invocation.terminal and invocation.terminal.model_dump(),
            "limits": invocation.limits and invocation.limits.model_dump(exclude_none=True),
        }
        sys.stdout.write(call.secrets.mask(json.dumps(facts, ensure_ascii=False)) + "\n")
        return

    def write(text: str) -> None:
        sys.stdout.write(clean(call.secrets.mask(text)))

    write(f"program: {invocation.program}\n")
    write(f"argv:    {shlex.join(invocation.argv)}\n")
    write(f"folder:  {invocation.cwd}\n")
    write(f"stdin:   {len(invocation.stdin)} bytes\n" if invocation.stdin else "stdin:   empty\n")
    if invocation.terminal:
        terminal = invocation.terminal
        write(f"pty:     {terminal.columns} columns, {terminal.rows} rows, {terminal.controlling} is controlling\n")
    if invocation.limits:
        write(f"limits:  {', '.join(show_limits(invocation.limits))}\n")
    write("environment:\n")
    for name, value in sorted(env.items()):
        write(f"  {name}={value}\n")
