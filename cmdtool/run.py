"""Runs one call from its arguments to its result: the only place where all parts meet."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import anyio

from cmdtool.argv import Invocation, Resolve, argument_texts, build_count, build_invocation
from cmdtool.errors import StartError
from cmdtool.model import Counted, JSONValue, Stream, Tool
from cmdtool.output import Capture, Excerpt, share_limit
from cmdtool.process import Exit, Process, Supervisor
from cmdtool.progress import format_elapsed
from cmdtool.readings import Reader, Reading
from cmdtool.records import RecordSplitter
from cmdtool.reporter import Reporter
from cmdtool.schema import check_arguments
from cmdtool.values import parse_number

logger = logging.getLogger(__name__)

QUIET: Final = 0.02
"""Seconds without output after which a record is read though its end has not come."""

GLANCE: Final = 0.1
"""Seconds between two looks at a record that keeps growing, such as a row of dots."""

TURN: Final = 0.005
"""Seconds of reading after which the rest of the server gets as long a turn: a flood must not starve it."""

DRAIN: Final = 2.0
"""Seconds that output is awaited for after the exit, when a process out of reach holds the pipe."""

_NUMBER: Final = re.compile(r"\d[\d.,]*", re.ASCII)
_UNFINISHED_NUMBER: Final = re.compile(rb"\d[\d.,:]*\Z")

STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr")

COUNT_LIMIT: Final = 4096
"""Bytes of a counting command's last output that are looked at."""

EndedBy: TypeAlias = Literal["start", "exit", "timeout", "idle_timeout"]
Echo: TypeAlias = Callable[[Stream, bytes], None]

_NOTHING: Final = Excerpt(b"", 0, b"")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool with checked arguments: everything is known that can be known before something starts."""

    tool: Tool
    invocation: Invocation
    texts: Mapping[str, str]
    """The arguments as the text that messages and totals show."""
    counts: tuple[tuple[Counted, Invocation], ...]
    """The commands that count a total while the call runs."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a call ended. `outcome` is one line for whoever called, None after a plain success."""

    success: bool
    outcome: str | None
    ended_by: EndedBy
    exit: Exit
    duration: float
    stdout: Excerpt
    stderr: Excerpt

    @property
    def left_out(self) -> int:
        """Bytes of output that are in neither excerpt."""
        return self.stdout.left_out + self.stderr.left_out


def prepare(tool: Tool, arguments: Mapping[str, JSONValue], resolve: Resolve) -> Call:
    """Check the arguments of a call and build its command lines; nothing is started.

    Raises:
        ArgumentError: the arguments do not fit the tool.
        StartError: a program was not found.
    """
    checked = check_arguments(tool, arguments)
    invocation = build_invocation(tool, checked, resolve)
    counts = []
    for total in (tool.progress.total, *(rule.total for rule in tool.progress.rules)):
        if isinstance(total, Counted):
            try:
                counts.append((total, build_count(tool, total, checked, resolve)))
            except StartError as exc:
                logger.warning("%s: no total: %s", tool.name, exc)
    return Call(tool, invocation, argument_texts(tool, checked), tuple(counts))


async def run_call(
    call: Call, supervisor: Supervisor, *, reporter: Reporter | None = None, echo: Echo | None = None
) -> RunResult:
    """Run the command to its end, and everything it started with it.

    Args:
        call: what to run.
        supervisor: starts and ends the processes.
        reporter: gets the readings; without one, output is not searched for progress.
        echo: gets every block of output as it comes.
    """
    tool, started = call.tool, anyio.current_time()
    intake = _Intake(call, reporter, echo)
    try:
        async with supervisor.running(call.invocation, tool.grace) as process:
            async with anyio.create_task_group() as tasks:
                for stream in STREAMS:
                    tasks.start_soon(intake.pump, process, stream)
                for counted, invocation in call.counts if reporter else ():
                    tasks.start_soon(_count, counted, invocation, tool.grace, supervisor, intake)
                ended_by = await _until_ended(process, tool, intake)
                exit_ = await supervisor.end(process, tool.grace)
                duration = anyio.current_time() - started
                with anyio.move_on_after(DRAIN) as drain:
                    await intake.drained()
                tasks.cancel_scope.cancel()
    except StartError as exc:
        return RunResult(False, str(exc), "start", Exit(None, None), 0.0, _NOTHING, _NOTHING)
    success = ended_by == "exit" and exit_.status in tool.success
    outcome = None if success and exit_.status == 0 else _outcome(tool, ended_by, exit_)
    if outcome is None and drain.cancelled_caught:
        outcome = f"output was still open {DRAIN:g} s after the exit: what came later is not here"
    stdout, stderr = intake.excerpts(failed=not success)
    return RunResult(success, outcome, ended_by, exit_, duration, stdout, stderr)


class _Intake:
    """Where the blocks of both streams go: into the captures, to whoever echoes them, through the reader."""

    def __init__(self, call: Call, reporter: Reporter | None, echo: Echo | None) -> None:
        self.idle = anyio.CancelScope()
        self._output = call.tool.output
        self._idle_timeout = call.tool.idle_timeout
        self._captures = {stream: Capture(self._output.limit) for stream in STREAMS}
        self._splitters = {stream: RecordSplitter() for stream in STREAMS}
        self._open = {stream: anyio.Event() for stream in STREAMS}
        self._glanced_at = 0.0
        self._echo = echo
        self._reporter = reporter
        self._reader = Reader(call.tool.progress, call.texts)
        self._expect_total()

    async def pump(self, process: Process, stream: Stream) -> None:
        """Read one stream to its end. A record that stops growing is read before its end has come."""
        is_pending = False
        while True:
            with anyio.move_on_after(QUIET if is_pending else None) as quiet:
                block = await process.read(stream)
            if quiet.cancelled_caught:
                self._glance(stream, self._splitters[stream].pending)
                is_pending = False
                continue
            if not block:
                break
            begun = anyio.current_time()
            self._take(stream, block)
            if (busy := anyio.current_time() - begun) > TURN:
                await anyio.sleep(busy)  # the answers to other requests take many short turns
            is_pending = self._reporter is not None and bool(self._splitters[stream].pending)
        self._read(stream, self._splitters[stream].finish())
        self._open[stream].set()

    async def drained(self) -> None:
        """Wait until both streams have ended."""
        for closed in self._open.values():
            await closed.wait()

    def set_total(self, counted: Counted, value: float) -> None:
        """Take a total that was counted while the command runs."""
        self._offer(self._reader.set_total(counted, value))
        self._expect_total()

    def excerpts(self, *, failed: bool) -> list[Excerpt]:
        """Return standard output and error within the limit; after a failure both, whatever the tool keeps."""
        kept = STREAMS if failed or self._output.stream == "both" else (self._output.stream,)
        cut = dict(zip(kept, share_limit([self._captures[stream] for stream in kept], self._output.limit), strict=True))
        return [cut.get(stream, _NOTHING) for stream in STREAMS]

    def _take(self, stream: Stream, block: bytes) -> None:
        if self._idle_timeout is not None:
            self.idle.deadline = anyio.current_time() + self._idle_timeout
        self._captures[stream].feed(block)
        if self._echo is not None:
            self._echo(stream, block)
        if self._reporter is None:
            return
        splitter = self._splitters[stream]
        self._read(stream, splitter.feed(block))
        now = anyio.current_time()
        if splitter.pending and now >= self._glanced_at + GLANCE:
            self._glanced_at = now
            self._glance(stream, _UNFINISHED_NUMBER.sub(b"", splitter.pending))

    def _read(self, stream: Stream, records: list[bytes]) -> None:
        if self._reporter is not None and records:
            self._reporter.hear(records[-1])
            self._offer(self._reader.feed(stream, records))

    def _glance(self, stream: Stream, pending: bytes) -> None:
        if self._reporter is not None and pending:
            self._reporter.hear(pending)
            self._offer(self._reader.preview(stream, pending))

    def _offer(self, reading: Reading | None) -> None:
        if self._reporter is not None and reading is not None:
            self._reporter.offer(reading)

    def _expect_total(self) -> None:
        if self._reporter is not None and self._reader.total is not None:
            self._reporter.expect(self._reader.total)


async def _until_ended(process: Process, tool: Tool, intake: _Intake) -> EndedBy:
    """Wait for the exit, which alone decides (end of file is not exit), or for a time limit."""
    with anyio.move_on_after(tool.timeout) as limit, intake.idle as idle:
        if tool.idle_timeout is not None:
            idle.deadline = anyio.current_time() + tool.idle_timeout
        await process.exited()
    if limit.cancelled_caught:
        return "timeout"
    return "idle_timeout" if idle.cancelled_caught else "exit"


async def _count(
    counted: Counted, invocation: Invocation, grace: float, supervisor: Supervisor, intake: _Intake
) -> None:
    """Count a total: the first number of the last line that the command prints. Its failure means no total."""
    output = Capture(COUNT_LIMIT)
    try:
        async with supervisor.running(invocation, grace) as process:
            while block := await process.read("stdout"):
                output.feed(block)
            await process.exited()
            exit_ = await supervisor.end(process, grace)
    except StartError as exc:
        logger.warning("no total: %s", exc)
        return
    last_line = output.excerpt(COUNT_LIMIT).text.rstrip().rpartition("\n")[2]
    number = _NUMBER.search(last_line)
    value = parse_number(number[0]) if number else None
    if exit_.status == 0 and value:
        intake.set_total(counted, value)
    else:
        logger.warning("no total: `%s` ended with %s and printed no number", invocation.program, exit_)


def _outcome(tool: Tool, ended_by: EndedBy, exit_: Exit) -> str:
    """Return the line that says how the command ended."""
    if ended_by == "timeout":
        limit = _limit(tool.timeout)
        return f"timed out after {limit}: `timeout` of tool `{tool.name}` sets how long it may run"
    if ended_by == "idle_timeout":
        limit = _limit(tool.idle_timeout)
        return (
            f"ended after {limit} without output: `idle_timeout` of tool `{tool.name}` sets how long it may be silent"
        )
    return f"killed by {exit_.signal}" if exit_.signal is not None else f"exit status {exit_.status}"


def _limit(seconds: float | None) -> str:
    assert seconds is not None, "only a limit that is set ends a command"
    return f"{seconds:g}s" if seconds < 60 else format_elapsed(seconds)
