"""Starts a command: in a session of its own, on pipes or on terminals, with nothing inherited but what it is given.

A command with limits, or on terminals, is what `launch` becomes; others are started as they are.
"""

import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeAlias

from cmdtool.argv import Invocation
from cmdtool.errors import StartError
from cmdtool.model import STREAMS, Stream, Terminal
from cmdtool.process import launch
from cmdtool.process.child import Process
from cmdtool.process.control_group import ControlGroup
from cmdtool.process.limits import Rlimit, rlimits
from cmdtool.pseudo_terminal import open_terminal
from cmdtool.sandbox import OWN_PROCESSES
from cmdtool.trees import machine
from cmdtool.trees.entry import RUN_ID, mark_of_run

Started: TypeAlias = tuple[subprocess.Popen[bytes], dict[Stream, IO[bytes]]]


def start_process(invocation: Invocation, run_id: str, delegated: Path | None = None) -> Process:
    """Start a command in a session of its own: short environment, no inherited descriptors, default signals.

    It and all that it starts carry `run_id` in their environment and bear its mark. Its output goes to pipes, or to the
    terminals of the invocation, of which one is the session's own. With limits on the run as a whole it has a control
    group in the one that is `delegated`, if there is one.

    Raises:
        StartError: the kernel refused; the message says why.
    """
    invocation = replace(invocation, env={**invocation.env, RUN_ID: run_id})
    since = machine.clock()
    group = _control_group(invocation, delegated / run_id) if delegated else None
    try:
        with _standard_input(invocation.stdin) as stdin, machine.marking(mark_of_run(run_id)):
            if invocation.terminal:
                popen, outputs = _start_on_terminals(invocation, group, stdin, invocation.terminal)
            elif invocation.limits:
                popen, outputs = _launch(invocation, group, stdin, subprocess.PIPE, subprocess.PIPE), {}
            else:
                popen, outputs = _start_on_pipes(invocation, stdin), {}
    except OSError as exc:
        if group:
            group.remove()
        raise StartError(_why_not_started(invocation, exc)) from exc
    if popen.stdout and popen.stderr:
        outputs = {"stdout": popen.stdout, "stderr": popen.stderr}
    return Process(popen, outputs, invocation, run_id, since, group)


def _control_group(invocation: Invocation, path: Path) -> ControlGroup | None:
    """Make a group for a run that has limits as a whole.

    Raises:
        StartError: the kernel refused.
    """
    if invocation.limits is None or not invocation.limits.hold_a_run:
        return None
    try:
        return ControlGroup(path, invocation.limits, spare=OWN_PROCESSES if invocation.is_sandboxed else 0)
    except OSError as exc:
        raise StartError(f"`{invocation.program}` cannot be held to its `limits` by {path}: {exc.strerror}") from exc


@contextmanager
def _standard_input(text: bytes) -> Iterator[int | IO[bytes]]:
    """A file that holds the whole text: the command reads it at its own pace, and nobody has to write.

    Where there can be such files it is only in memory, for the text may be a secret.
    """
    if not text:
        yield subprocess.DEVNULL
        return
    with machine.memory_file() as file:
        file.write(text)
        file.seek(0)
        yield file


def _start_on_pipes(invocation: Invocation, stdin: int | IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        invocation.argv,
        executable=invocation.program,
        cwd=invocation.cwd,
        env=dict(invocation.env),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _start_on_terminals(
    invocation: Invocation, group: ControlGroup | None, stdin: int | IO[bytes], terminal: Terminal
) -> Started:
    """Start a command with a pseudo-terminal for each stream, so that they stay apart; one is its controlling one."""
    with ExitStack() as on_error, ExitStack() as always:
        outputs: dict[Stream, IO[bytes]] = {}
        ends: dict[Stream, IO[bytes]] = {}
        for stream in STREAMS:
            ours, theirs = open_terminal(terminal.columns, terminal.rows)
            outputs[stream] = on_error.enter_context(open(ours, "rb", buffering=0))
            ends[stream] = always.enter_context(open(theirs, "wb", buffering=0))
        controlling = {"stdout": 1, "stderr": 2}[terminal.controlling]
        popen = _launch(invocation, group, stdin, ends["stdout"], ends["stderr"], controlling)
        on_error.pop_all()
    return popen, outputs


def _launch(
    invocation: Invocation,
    group: ControlGroup | None,
    stdin: int | IO[bytes],
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    *controlling: int,
) -> subprocess.Popen[bytes]:
    """Start `launch`, in this process's own environment, and wait until it has become the command.

    Raises:
        OSError: the kernel refused.
    """
    channel, launched = socket.socketpair()
    with channel, launched:
        descriptors = launched.fileno(), *controlling
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", launch.__file__, *map(str, descriptors)],
            cwd=invocation.cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[launched.fileno()],
            start_new_session=True,
        )
        launched.close()
        try:
            _become(popen, channel, invocation, group)
        except OSError:
            for output in filter(None, (popen.stdout, popen.stderr)):
                output.close()
            raise
    return popen


def _become(
    popen: subprocess.Popen[bytes], channel: socket.socket, invocation: Invocation, group: ControlGroup | None
) -> None:
    """Tell `launch` what to become, and wait until it has.

    Raises:
        OSError: the kernel refused.
    """
    env = {os.fsencode(name): os.fsencode(text) for name, text in invocation.env.items()}
    limits: Iterable[Rlimit] = rlimits(invocation.limits) if invocation.limits else ()
    entrance = group.entrance if group else None
    request = (os.fsencode(invocation.program), [*map(os.fsencode, invocation.argv)], env, [*limits], entrance)
    number = b""
    with suppress(ConnectionError):  # it was killed already: that is then how the command has ended
        channel.sendall(marshal.dumps(request))
        channel.shutdown(socket.SHUT_WR)
        number = channel.recv(16)
    if number:
        popen.wait()
        raise OSError(int(number), os.strerror(int(number)))


def _why_not_started(invocation: Invocation, exc: OSError) -> str:
    program = invocation.program
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        if not os.path.isdir(invocation.cwd):
            return f"cannot start `{program}`: the working directory `{invocation.cwd}` does not exist"
        return f"cannot start `{program}`: it, or the interpreter its first line names, does not exist"
    if isinstance(exc, PermissionError):
        return f"cannot start `{program}`: permission denied\nhint: is it executable (`chmod +x`)?"
    hints = {
        "Exec format error": "\nhint: a script needs a first line such as `#!/bin/sh`",
        "Argument list too long": "\nhint: pass large values through `stdin:` or a file",
    }
    reason = exc.strerror or str(exc)
    return f"cannot start `{program}`: {reason.lower()}{hints.get(reason, '')}"
