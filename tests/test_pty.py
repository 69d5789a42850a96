"""A command under pseudo-terminals: what it sees, what it is answered, and how it ends."""

import json
import os
import signal
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import anyio
import psutil
import pytest

from cmdtool.argv import Invocation
from cmdtool.errors import StartError
from cmdtool.model import STREAMS, Stream, Terminal
from cmdtool.process import Exit, Supervisor
from cmdtool.pseudo_terminal import Responder
from tests.test_process import is_running, read_all, read_line
from tests.waiting import until

pytestmark = pytest.mark.anyio

SIZE = Terminal(columns=91, rows=17)


def python(code: str, *, stdin: bytes = b"", env: dict[str, str] | None = None) -> Invocation:
    return Invocation(sys.executable, (sys.executable, "-c", code), env or {}, "/", stdin, SIZE)


def shell(text: str) -> Invocation:
    return Invocation("/bin/sh", ("sh", "-c", text), {"PATH": os.environ["PATH"]}, "/", b"", SIZE)


async def output_of(invocation: Invocation, stream: Stream = "stdout") -> str:
    async with Supervisor().running(invocation, grace=1) as process:
        return (await read_all(process, stream)).decode()


# --- what the command sees -------------------------------------------------------------------------------------------


async def test_output_and_errors_are_terminals_of_that_size_and_input_is_none() -> None:
    code = (
        "import json, os; print(json.dumps([[os.isatty(fd) for fd in (0, 1, 2)],"
        " os.get_terminal_size(1), os.get_terminal_size(2), os.read(0, 1).decode()]))"
    )
    assert json.loads(await output_of(python(code))) == [[False, True, True], [91, 17], [91, 17], ""]


async def test_standard_input_is_the_text_as_without_a_terminal() -> None:
    assert await output_of(python("import sys; print(len(sys.stdin.read()))", stdin=b"x" * 200_000)) == "200000\n"


async def test_standard_output_is_the_controlling_terminal_and_the_command_in_its_foreground() -> None:
    code = (
        "import os; terminal = os.open('/dev/tty', os.O_RDWR);"
        "print(os.getsid(0) == os.getpid(), os.tcgetpgrp(terminal) == os.tcgetpgrp(1) == os.getpgrp(), flush=True);"
        "os.write(terminal, b'drawn')"
    )
    assert await output_of(python(code)) == "True True\ndrawn"


async def test_standard_error_can_be_the_controlling_terminal() -> None:
    invocation = replace(shell("exec > /dev/tty; echo drawn"), terminal=Terminal(controlling="stderr"))
    assert await output_of(invocation, "stderr") == "drawn\n"


async def test_the_streams_stay_apart_and_their_lines_end_as_they_were_written() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("printf 'out\\n\\r1%%\\n'; echo err >&2; exit 3"), grace=1) as process:
        assert await read_all(process) == b"out\n\r1%\n"
        assert await read_all(process, "stderr") == b"err\n"
        await process.exited()
        assert await supervisor.end(process, 1) == Exit(3, None)


async def test_the_command_gets_no_descriptors_and_default_signals() -> None:
    code = (
        "import os, signal; print(sorted(map(int, os.listdir('/dev/fd')))[:4],"
        " [s.name for s in signal.valid_signals() if signal.getsignal(s) == signal.SIG_IGN],"
        " signal.pthread_sigmask(0, []))"
    )
    leaky = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        # Descriptor 3 is the listing's own. Python itself ignores SIGPIPE and SIGXFSZ.
        assert await output_of(python(code)) == "[0, 1, 2, 3] ['SIGPIPE', 'SIGXFSZ'] set()\n"
        assert await output_of(shell("kill -PIPE $$; echo survived")) == ""
    finally:
        os.close(leaky)


async def test_argv_environment_and_folder_are_exactly_what_was_asked(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/sh\n")
    argv = (
        "another name",
        "-c",
        'printf "%s|" "$0" "$@"; pwd; env -u PWD -u _ -u SHLVL -u CMDTOOL_RUN_ID',
        "x y",
        "\udcff",
    )
    env = {"PATH": "/usr/bin:/bin", "B": "\udcfe", "PYTHONHOME": "/nowhere", "LD_LIBRARY_PATH": ""}
    async with Supervisor().running(Invocation("/bin/sh", argv, env, str(tmp_path), b"", SIZE), grace=1) as process:
        words, *variables = (await read_all(process)).splitlines()
    assert words == b"x y|\xff|" + os.fsencode(tmp_path)
    assert sorted(variables) == [b"B=\xfe", b"LD_LIBRARY_PATH=", b"PATH=/usr/bin:/bin", b"PYTHONHOME=/nowhere"]


@pytest.mark.parametrize(
    ("program", "argv", "folder", "words"),
    [
        ("/no/such", ("such",), "/", "does not exist"),
        ("/bin/sh", ("sh",), "/no/folder", "working directory `/no/folder`"),
        ("/etc/passwd", ("passwd",), "/", "permission denied"),
        ("/bin/echo", ("echo", "x" * 200_000), "/", "argument list too long"),
    ],
)
async def test_a_program_that_cannot_start_is_an_error_that_says_why(
    program: str, argv: tuple[str, ...], folder: str, words: str
) -> None:
    with pytest.raises(StartError, match=words):
        Supervisor().start(Invocation(program, argv, {}, folder, b"", SIZE))
    assert psutil.Process().children() == []


# --- what it is answered ---------------------------------------------------------------------------------------------

ASK = r"""
import os, termios

terminal = os.open("/dev/tty", os.O_RDWR)
attributes = termios.tcgetattr(terminal)
attributes[3] &= ~termios.ICANON  # whether it echoes stays as it was
termios.tcsetattr(terminal, termios.TCSADRAIN, attributes)
for number, query, end in ((1, b"[6n", b"R"), (2, b"[5n", b"n"), (1, b"[c", b"c")):
    os.write(number, b"\x1b" + query)
    answer = b""
    while not answer.endswith(end):
        answer += os.read(terminal, 1)
    print(answer, flush=True)
"""


async def test_what_a_program_asks_its_terminal_is_answered_there_and_not_echoed() -> None:
    printed: dict[Stream, bytes] = {}

    async def read(stream: Stream) -> None:
        printed[stream] = await read_all(process, stream)

    with anyio.fail_after(30):
        async with Supervisor().running(python(ASK), grace=1) as process, anyio.create_task_group() as tasks:
            for stream in STREAMS:
                tasks.start_soon(read, stream)
    assert (
        printed["stdout"]
        == rb"""<[6n>b'\x1b[1;1R'
b'\x1b[0n'
<[c>b'\x1b[?1;2c'
""".replace(b"<", b"\x1b").replace(b">", b"")
    )
    assert printed["stderr"] == b"\x1b[5n"


async def test_a_program_that_asks_a_million_times_and_never_reads_only_wastes_its_own_time() -> None:
    code = "import sys\nfor _ in range(100): sys.stdout.write('\\x1b[6n' * 10_000)\nprint('done')"
    with anyio.fail_after(60):
        printed = await output_of(python(code))
    assert len(printed) == 4_000_005
    assert printed.endswith("done\n")


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"\x1b[6n", b"\x1b[1;1R"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"\x1b[c", b"\x1b[?1;2c"),
        (b"\x1b[0c", b"\x1b[?1;2c"),
        (b"\x1b[?25l\x1b[31m12%\x1b[K\x1b[>c\x1b[6", b""),
    ],
)
async def test_a_query_is_found_however_it_is_split(query: bytes, answer: bytes) -> None:
    data = b"\x1b" + query + b"\x1b[1mn" + query + b"c"
    cuts = [(i, j) for i in range(len(data) + 1) for j in range(i, len(data) + 1)]
    for cut in cuts:
        responder = Responder()
        parts = [data[start:end] for start, end in pairwise((0, *cut, len(data)))]
        assert b"".join(map(responder.answers, parts)) == answer * 2


# --- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_read_late", [False, True])
async def test_everything_printed_comes_out_however_soon_the_command_exits(is_read_late: bool) -> None:
    supervisor = Supervisor()
    for _ in range(20):
        async with supervisor.running(shell("seq 1 1500; echo last >&2"), grace=1) as process:
            if is_read_late:  # all of it fits into what the kernel keeps
                await process.exited()
            assert (await read_all(process)).split() == [b"%d" % number for number in range(1, 1501)]
            assert await read_all(process, "stderr") == b"last\n"


@pytest.mark.parametrize("number", ["TERM", "HUP"])
async def test_a_cancel_asks_to_end_and_hangs_up(number: str) -> None:
    other = "HUP" if number == "TERM" else "TERM"
    text = f"trap '' {other}; trap 'echo bye; exit 7' {number}; echo ready; while :; do sleep 0.05; done"
    supervisor = Supervisor()
    async with supervisor.running(shell(text), grace=30) as process:
        await read_line(process)
        with anyio.fail_after(20):
            assert await supervisor.end(process, 30) == Exit(7, None)
            assert await read_all(process) == b"bye\n"


async def test_a_command_that_ignores_all_of_it_is_killed_with_its_session() -> None:
    text = "trap '' TERM HUP; sleep 300 & echo $!; while :; do sleep 0.05; done"
    supervisor = Supervisor()
    async with supervisor.running(shell(text), grace=0.1) as process:
        child = int(await read_line(process))
        assert await supervisor.end(process, 0.1) == Exit(None, "SIGKILL")
    assert not is_running(child)
    assert process.tree.look(thorough=False) == []


async def test_what_it_leaves_in_the_background_ends_with_it() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("trap '' HUP; sleep 300 & echo $!"), grace=1) as process:
        child = int(await read_line(process))
        await process.exited()
        assert await supervisor.end(process, 1) == Exit(0, None)
        assert not is_running(child)


async def test_a_stopped_command_is_continued_so_that_it_can_end() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("kill -STOP $$; sleep 300"), grace=30) as process:
        await until(lambda: psutil.Process(process.session).status() == psutil.STATUS_STOPPED)
        with anyio.fail_after(20):
            exit_ = await supervisor.end(process, 30)
    assert exit_.signal in (signal.SIGTERM.name, signal.SIGHUP.name)


async def test_many_runs_leak_no_descriptor_and_no_zombie() -> None:
    supervisor = Supervisor()
    me = psutil.Process()

    async def once() -> None:
        async with supervisor.running(Invocation("/bin/true", ("true",), {}, "/", b"", SIZE), grace=1) as process:
            await process.exited()
        for program, folder in (("/no/such", "/"), ("/bin/true", "/no/such")):
            with pytest.raises(StartError):
                supervisor.start(Invocation(program, (program,), {}, folder, b"", SIZE))

    await once()
    before = me.num_fds()
    for _ in range(50):
        await once()
    assert me.num_fds() == before
    assert me.children() == []
