"""Runs one call from its arguments to its result: the only place where all parts meet."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import anyio

from cmdtool.argv import (
    FilePattern,
    Invocation,
    Resolve,
    argument_texts,
    build_count,
    build_invocation,
    file_patterns,
    find_program,
)
from cmdtool.detect import NOTHING_KNOWN, Known
from cmdtool.errors import ArgumentError, SandboxError, StartError
from cmdtool.library import known_programs
from cmdtool.masking import (
    LEAST,
    MASK,
    MOST_BYTES,
    MOST_LINES,
    NO_SECRETS,
    Secrets,
    StreamMask,
    is_too_long,
    is_too_short,
    named,
)
from cmdtool.model import STREAMS, Counted, JSONValue, Output, Stream, Tool
from cmdtool.outcome import EndedBy, describe_end, hit_limit
from cmdtool.output import Capture, Excerpt, share_limit
from cmdtool.process import Exceeded, Exit, Process, Supervisor, require_sandbox, watch
from cmdtool.readings import Reading
from cmdtool.reporter import Reporter
from cmdtool.sandbox import enclose
from cmdtool.scanner import QUIET, Scanner
from cmdtool.schema import check_arguments
from cmdtool.spool import Record, RunOutput
from cmdtool.text import clean, clean_line
from cmdtool.turns import turns
from cmdtool.values import first_number

logger = logging.getLogger(__name__)

DRAIN: Final = 2.0
"""Seconds that output is awaited for after the exit, when a process out of reach holds the pipe."""

Echo: TypeAlias = Callable[[Stream, bytes], Awaitable[None]]
Keep: TypeAlias = Callable[[str], AbstractContextManager[RunOutput]]
"""Takes the id of a run that has just begun and returns what keeps its output while the run goes on."""

_LONGEST_VALUE: Final = 1000
"""Characters of an argument's value in a question."""

_MOMENT: Final = 0.05
_NOTHING: Final = Excerpt(b"", 0, b"")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool with checked arguments: everything is known that can be known before something starts."""

    tool: Tool
    invocation: Invocation
    texts: Mapping[str, str]
    """The arguments as the text that messages and totals show; secrets are not among them."""
    counts: tuple[tuple[Counted, Invocation], ...]
    """The commands that count a total while the call runs."""
    known: Known = NOTHING_KNOWN
    """What `auto` may know of the programs that run."""
    secrets: Secrets = NO_SECRETS
    """What is masked in all that the command prints."""
    files: tuple[FilePattern, ...] = ()
    """Where the files lie that the command makes and the result holds."""

    def with_variables(self, variables: Mapping[str, str]) -> "Call":
        """Return the call with more environment variables; those that its tool sets, or unsets, stay as they are."""
        kept = {name: text for name, text in variables.items() if name not in self.tool.arguments}
        return replace(self, invocation=replace(self.invocation, env={**kept, **self.invocation.env}))

    @property
    def question(self) -> str | None:
        """What the person is asked before the call starts, None if nothing; fit to be shown."""
        if self.tool.confirm is None:
            return None
        message = self.tool.confirm.message
        # A value that shows nothing must not make a question that asks nothing: such a one is not put to anybody.
        given = {name: clean_line(text, _LONGEST_VALUE) or "(empty)" for name, text in self.texts.items()}
        return clean(message.fill({name: given.get(name, "(not given)") for name in message.holes}))


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a call ended. `outcome` is one line for whoever called, None after a plain success."""

    success: bool
    outcome: str | None
    ended_by: EndedBy
    exit: Exit | None
    """None if nothing was started."""
    duration: float
    stdout: Excerpt
    stderr: Excerpt
    record: Record | None = None
    """What is kept of the output elsewhere; None if nothing was to be."""
    sizes: Mapping[Stream, int] = field(default_factory=dict)
    """Bytes that each stream gave, secrets masked, whether or not they are kept."""

    @classmethod
    def not_started(cls, error: StartError) -> "RunResult":
        """Return the result of a call whose program could not be started."""
        return cls(False, str(error), "start", None, 0.0, _NOTHING, _NOTHING)

    @property
    def left_out(self) -> int:
        """Bytes of output that are in neither excerpt."""
        return self.stdout.left_out + self.stderr.left_out


def prepare(tool: Tool, arguments: Mapping[str, JSONValue], resolve: Resolve, *, conceal: bool = False) -> Call:
    """Check the arguments of a call and build its command lines; nothing is started.

    Args:
        tool: what to call.
        arguments: as the client sent them.
        resolve: the machine.
        conceal: put a mask in place of each secret argument, for a call that is only shown.

    Raises:
        ArgumentError: the arguments do not fit the tool.
        MissingArgumentsError: they do, but required ones are missing.
        StartError: a program was not found.
    """
    checked = check_arguments(tool, arguments)
    hidden = {name: value for name, value in checked.items() if tool.arguments[name].secret}
    if conceal:
        checked |= dict.fromkeys(hidden, MASK)
    invocation = build_invocation(tool, checked, resolve)
    known = known_programs(invocation.argv) if tool.progress.detects else NOTHING_KNOWN
    secrets = _secrets(tool, hidden, invocation, resolve)
    files = file_patterns(tool, checked, invocation.cwd, resolve)
    counts = []
    for counted in tool.progress.counted_totals:
        try:
            count = build_count(tool, counted, checked, resolve)
            counts.append((counted, enclose(tool, checked, count, resolve)))
        except StartError as exc:
            logger.warning("%s: no total: %s", tool.name, exc)
    invocation = enclose(tool, checked, invocation, resolve)
    texts = argument_texts(tool, {name: value for name, value in checked.items() if name not in hidden})
    return Call(tool, invocation, texts, tuple(counts), known, secrets, files)


def named_secrets(tool: Tool, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables among `environ` that the tool's manifest calls secret."""
    return {name: environ[name] for name in named(tool.secrets, environ)}


def _secrets(tool: Tool, hidden: Mapping[str, str], invocation: Invocation, resolve: Resolve) -> Secrets:
    """Return what must not leave: secret arguments, and the values of named variables, the server's and the command's.

    An argument that is too short to be found in output is warned of, without its value.

    Raises:
        ArgumentError: one is too long to be looked for.
    """
    for name in (name for name, value in hidden.items() if is_too_long(value)):
        message = f"a secret of more than {MOST_BYTES:,} bytes or {MOST_LINES} lines cannot be masked"
        raise ArgumentError(f"`{name}`: {message}\nhint: put it into a file, and give the file's path")
    for name in (name for name, value in hidden.items() if is_too_short(value)):
        logger.warning("%s: `%s` has fewer than %d characters and is not masked", tool.name, name, LEAST)
    variables = [named_secrets(tool, environ) for environ in (resolve.environ, invocation.env)]
    return Secrets([*hidden.values(), *(value for values in variables for value in values.values())])


class Startables:
    """Finds what tools start, and tries each kind of sandbox once: whether there can be one is seen no other way."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._tried: dict[bool, SandboxError | None] = {}

    def find(self, tool: Tool, *, runs: Counted | None = None) -> str:
        """Return the absolute path of the program that a tool starts, or `runs`, one of its counted totals, does.

        Raises:
            SandboxError: the tool has a sandbox, which cannot be had here.
            StartError: there is no such program.
        """
        program = find_program(tool, self._resolve, runs)
        if tool.sandbox and runs is None and (error := self._why_no_sandbox(tool.sandbox.network)):
            raise error
        return program

    def _why_no_sandbox(self, network: bool) -> SandboxError | None:
        if network not in self._tried:
            try:
                require_sandbox(self._resolve, network=network)
            except SandboxError as exc:
                self._tried[network] = exc
            else:
                self._tried[network] = None
        return self._tried[network]


async def run_call(
    call: Call,
    supervisor: Supervisor,
    *,
    reporter: Reporter | None = None,
    echo: Echo | None = None,
    keep: Keep | None = None,
) -> RunResult:
    """Run the command to its end, and everything it started with it.

    Args:
        call: what to run.
        supervisor: starts and ends the processes.
        reporter: gets the readings; without one, output is not searched for progress.
        echo: gets every block of output as it comes.
        keep: keeps the whole output, if the tool lets it.
    """
    tool, started = call.tool, anyio.current_time()
    intake = _Intake(call, reporter, echo)
    try:
        async with supervisor.running(call.invocation, tool.grace) as process:
            with keep(process.run_id) if keep and tool.output.spool else nullcontext() as kept:
                intake.kept = kept
                async with anyio.create_task_group() as tasks:
                    for stream in STREAMS:
                        tasks.start_soon(intake.pump, process, stream)
                    for counted, invocation in call.counts if reporter else ():
                        tasks.start_soon(_count, call, counted, invocation, supervisor, intake)
                    ended_by, exceeded = await _until_ended(process, tool, intake)
                    exit_ = await _end(process, tool, ended_by, exceeded, supervisor)
                    duration = anyio.current_time() - started
                    is_drained = await intake.drain()
                    tasks.cancel_scope.cancel()
                success = ended_by == "exit" and exit_.status in tool.success
                if ended_by == "exit" and not success and hit_limit(tool, exit_):
                    ended_by = "limit"
                record = kept.finish(ended_by, exit_.status, exit_.signal) if kept else None
    except StartError as exc:
        return RunResult.not_started(exc)
    stdout, stderr = intake.excerpts(failed=not success)
    failed = () if success else (stderr, stdout)
    outcome = None if success and exit_.status == 0 else describe_end(tool, ended_by, exit_, exceeded, failed)
    if outcome is None and not is_drained:
        outcome = f"output was still open {DRAIN:g} s after the exit: what came later is not here"
    if tool.sandbox and exit_.status == 1 and stderr.head.startswith(b"bwrap: "):
        outcome = f"{outcome}: the sandbox could not be made; `cmdtool check` tries what is missing"
    return RunResult(success, outcome, ended_by, exit_, duration, stdout, stderr, record, intake.sizes)


class _Intake:
    """Where the blocks of both streams go: to whoever echoes them, into captures and spool, through the scanner."""

    def __init__(self, call: Call, reporter: Reporter | None, echo: Echo | None) -> None:
        self.idle = anyio.CancelScope()
        self.kept: RunOutput | None = None
        self._output = call.tool.output
        self._idle_timeout = call.tool.idle_timeout
        self._captures = {stream: Capture(self._output.limit) for stream in STREAMS}
        self._masks = {stream: StreamMask(call.secrets) for stream in STREAMS}
        self._ended = {stream: anyio.Event() for stream in STREAMS}
        self._echo = echo
        self._echoing: set[Stream] = set()
        self._waiting: set[Stream] = set()
        self._progress = _Progress(call, reporter) if reporter else None

    async def pump(self, process: Process, stream: Stream) -> None:
        """Read one stream to its end."""
        progress, mask = self._progress, self._masks[stream]
        while True:
            # Where the beginning of a secret is held back, the record is not whole: `1` of `51` may be missing.
            awaits_quiet = progress is not None and progress.scanner.awaits_quiet(stream) and not mask.holds
            with anyio.move_on_after(QUIET if awaits_quiet else None) as quiet:
                block = await process.read(stream)
            if quiet.cancelled_caught:
                assert progress is not None
                progress.offer(progress.scanner.quiet(stream))
                continue
            if not block:
                break
            self._waiting.add(stream)
            self._hear()
            async with turns():
                self._waiting.discard(stream)
                masked = mask.feed(block)
                self._take(stream, masked)
            self._hear()
            await self._show(stream, masked)
        rest = mask.finish()
        self._take(stream, rest)
        await self._show(stream, rest)
        if progress:
            progress.offer(progress.scanner.finish(stream))
        self._ended[stream].set()

    def _hear(self) -> None:
        """Begin to count the silence anew; who waits for a turn is not silent."""
        if self._idle_timeout is not None:
            self.idle.deadline = math.inf if self._waiting else anyio.current_time() + self._idle_timeout

    async def _show(self, stream: Stream, block: bytes) -> None:
        if self._echo and block:
            self._echoing.add(stream)
            await self._echo(stream, block)
            self._echoing.discard(stream)

    async def drain(self) -> bool:
        """Wait until both streams have ended, at most `DRAIN` seconds; return whether they have.

        The time that an echo takes does not count: whoever reads it may be a person with a pager. Nor does the time for
        which a block waits for its turn.
        """
        left = DRAIN
        while left > 0:
            with anyio.move_on_after(_MOMENT):
                for ended in self._ended.values():
                    await ended.wait()
                return True
            left -= 0 if self._echoing or self._waiting else _MOMENT
        for stream, mask in self._masks.items():
            self._take(stream, mask.finish())
        return False

    @property
    def sizes(self) -> dict[Stream, int]:
        """Bytes of each stream so far."""
        return {stream: capture.size for stream, capture in self._captures.items()}

    def set_total(self, counted: Counted, value: float) -> None:
        """Take a total that was counted while the command runs."""
        if self._progress:
            self._progress.set_total(counted, value)

    def excerpts(self, *, failed: bool) -> list[Excerpt]:
        """Return standard output and error within the limit; after a failure both, whatever the tool keeps."""
        kept = STREAMS if failed else self._output.streams
        cut = dict(zip(kept, share_limit([self._captures[stream] for stream in kept], self._output.limit), strict=True))
        return [cut.get(stream, _NOTHING) for stream in STREAMS]

    def _take(self, stream: Stream, block: bytes) -> None:
        if not block:
            return
        self._captures[stream].feed(block)
        if self.kept:
            self.kept.feed(stream, block)
        if self._progress:
            self._progress.offer(self._progress.scanner.feed(stream, block, anyio.current_time()))


class _Progress:
    """A call's scanner joined to its reporter."""

    def __init__(self, call: Call, reporter: Reporter) -> None:
        self.scanner = Scanner(call.tool.progress, call.texts, call.known)
        self._reporter = reporter
        self._reporter.weigh(call.known.stages(call.tool.progress))
        self._expect_total()

    def offer(self, readings: Sequence[Reading]) -> None:
        self._reporter.hear(self.scanner.last_record)
        for reading in readings:
            self._reporter.offer(reading)

    def set_total(self, counted: Counted, value: float) -> None:
        self.offer(self.scanner.set_total(counted, value))
        self._expect_total()

    def _expect_total(self) -> None:
        if self.scanner.total is not None:
            self._reporter.expect(self.scanner.total)


async def _until_ended(process: Process, tool: Tool, intake: _Intake) -> tuple[EndedBy, Exceeded | None]:
    """Wait for the exit, which alone decides (end of file is not exit), or for a limit; return which, if one was."""
    exceeded = None
    with anyio.move_on_after(tool.timeout) as limit, intake.idle as idle:
        if tool.idle_timeout is not None:
            idle.deadline = anyio.current_time() + tool.idle_timeout
        exceeded = await watch(process, tool.limits)
    if limit.cancelled_caught:
        return "timeout", None
    if idle.cancelled_caught:
        return "idle_timeout", None
    return "limit" if exceeded else "exit", exceeded


async def _end(
    process: Process, tool: Tool, ended_by: EndedBy, exceeded: Exceeded | None, supervisor: Supervisor
) -> Exit:
    """End what the command left behind, unless it succeeded and its tool keeps that.

    What takes too much memory, or multiplies, would go on with it through its grace, and so it gets none.
    """
    is_success = ended_by == "exit" and process.exit_status() in tool.success
    if is_success and tool.keep_background:
        return supervisor.release(process)
    at_once = exceeded is not None and exceeded.key != "cpu"
    return await supervisor.end(process, 0 if at_once else tool.grace, thorough=not is_success)


async def _count(call: Call, counted: Counted, invocation: Invocation, supervisor: Supervisor, intake: _Intake) -> None:
    """Count a total: the first number of the last line that the command prints. Its failure means no total.

    What the tool's result holds and what may outlive it is said of its own command, and not of this one.
    """
    tool = call.tool.model_copy(update={"output": Output(), "keep_background": False})
    result = await run_call(Call(tool, invocation, call.texts, (), secrets=call.secrets), supervisor)
    value = first_number(result.stdout.text.rstrip().rpartition("\n")[2])
    if value and result.outcome is None:
        intake.set_total(counted, value)
    else:
        logger.warning("%s: no total: %s", call.tool.name, result.outcome or "the last line holds no number above 0")
