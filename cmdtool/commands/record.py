"""`cmdtool record`: run a command and keep all that it prints, with the times."""

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from errno import ESPIPE
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import anyio

from cmdtool.commands.foreground import (
    NOT_STARTED,
    Interrupt,
    PassThrough,
    command_tool,
    exit_status,
    run_interruptibly,
    say,
)
from cmdtool.errors import CmdtoolError, StartError
from cmdtool.host import LocalHost
from cmdtool.model import NONE, Stream
from cmdtool.process import Supervisor
from cmdtool.recording import Chunk, Recording, dump_chunk, dump_head, is_recording
from cmdtool.run import Call, RunResult, prepare, run_call

_LONGEST_HEAD: Final = 1 << 20


def record(words: Sequence[str], output: Path, *, pty: bool) -> int:
    """Run a command line as `run` does, into the file `output`; return the exit status.

    Raises:
        CmdtoolError: the file cannot be written.
    """
    tool = command_tool(words, NONE, pty=pty)
    try:
        call = prepare(tool, {}, LocalHost())
    except StartError as exc:
        say(str(exc))
        return NOT_STARTED
    recording = Recording(
        id=output.name.removesuffix(".jsonl"),
        program=os.path.basename(words[0]),
        version="",
        argv=tuple(words),
        mode="pty" if pty else "pipe",
        exit_code=None,
        duration=None,
    )
    with _Writer(output, recording) as writer:
        begun = time.monotonic()
        result, interrupted = anyio.run(run_interruptibly, partial(_run, call, writer))
        # The last block may be read after the exit, with which the run's own time ends.
        duration = max(result.duration if result else time.monotonic() - begun, writer.last)
        writer.end(replace(recording, exit_code=_exit_code(result, interrupted), duration=duration))
    if result and result.outcome:
        say(result.outcome)
    say(f"recorded; see what is read: cmdtool parse {shlex.quote(str(output))}")
    if interrupted is not None:
        return interrupted
    assert result is not None
    return exit_status(result)


def _exit_code(result: RunResult | None, interrupted: int | None) -> int | None:
    """Return the exit status as recordings have it: -N for signal N."""
    if interrupted is not None:
        return 128 - interrupted
    if result is None or result.exit is None:
        return None
    status = exit_status(result)
    return 128 - status if result.exit.signal else status


async def _run(call: Call, writer: "_Writer", supervisor: Supervisor, interrupt: Interrupt) -> RunResult:
    screen = PassThrough(interrupt)
    begun = anyio.current_time()

    async def echo(stream: Stream, block: bytes) -> None:
        if not writer.take(Chunk(anyio.current_time() - begun, stream, block)):
            interrupt(0)
        await screen.echo(stream, block)

    return await run_call(call, supervisor, echo=echo)


def _refuse_other(path: Path) -> None:
    """Refuse to write over a file that is not a recording.

    Raises:
        CmdtoolError: it is something else.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            head = file.readline(_LONGEST_HEAD)
    except OSError:  # writing will say what is wrong
        return
    if head and not is_recording(head):
        raise CmdtoolError(f"{path}: there is a file that is no recording\nhint: name another one, or remove it first")


class _Writer:
    """Writes a recording block by block, so that none of it is lost if this process is killed; a context manager."""

    def __init__(self, path: Path, recording: Recording) -> None:
        self._path = path
        self._failure: OSError | None = None
        self.last = 0.0
        """When the last block came, in seconds."""
        _refuse_other(path)
        try:
            self._file: BinaryIO = open(path, "wb", buffering=0)
            self._overwrite(recording)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, chunk: Chunk) -> bool:
        """Write a block of output; return whether that went well, and if not do nothing more."""
        self.last = chunk.t
        try:
            if self._failure is None:
                self._file.write(dump_chunk(chunk).encode())
        except OSError as exc:
            self._failure = exc
        return self._failure is None

    def end(self, recording: Recording) -> None:
        """Write over the first line, now that the end is known.

        Raises:
            CmdtoolError: something could not be written.
        """
        try:
            self._overwrite(recording)
        except OSError as exc:
            self._failure = exc
        if self._failure:
            raise self._unwritable(self._failure) from self._failure

    def _overwrite(self, recording: Recording) -> None:
        self._file.seek(0)
        self._file.write(dump_head(recording).encode())

    def _unwritable(self, exc: OSError) -> CmdtoolError:
        hint = "\nhint: its first line is written once more at the end, so it must be a file" * (exc.errno == ESPIPE)
        return CmdtoolError(f"{self._path}: cannot be written: {(exc.strerror or str(exc)).lower()}{hint}")
