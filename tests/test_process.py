import errno
import hashlib
import os
import resource
import signal
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import psutil
import pytest

from cmdtool.argv import Invocation
from cmdtool.errors import StartError
from cmdtool.model import Limits, Stream
from cmdtool.process import Exit, Process, Supervisor, watch
from tests.waiting import until

pytestmark = pytest.mark.anyio


def python(code: str, *, stdin: bytes = b"", env: dict[str, str] | None = None) -> Invocation:
    return Invocation(sys.executable, (sys.executable, "-c", code), env or {}, "/", stdin)


def shell(text: str) -> Invocation:
    return Invocation("/bin/sh", ("sh", "-c", text), {"PATH": os.environ["PATH"]}, "/", b"")


async def read_all(process: Process, stream: Stream = "stdout") -> bytes:
    blocks = []
    while block := await process.read(stream):
        blocks.append(block)
    return b"".join(blocks)


async def read_line(process: Process) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += await process.read("stdout")
    return line


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_output_and_exit_status_come_back() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("echo out; echo err >&2; exit 3"), grace=1) as process:
        assert await read_all(process) == b"out\n"
        assert await read_all(process, "stderr") == b"err\n"
        await process.exited()
        assert await supervisor.end(process, 1) == Exit(3, None)


async def test_a_signal_is_named() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("kill -KILL $$"), grace=1) as process:
        await process.exited()
        assert await supervisor.end(process, 1) == Exit(None, "SIGKILL")


async def test_end_of_file_is_not_exit() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("exec >&- 2>&-; sleep 0.2; exit 5"), grace=1) as process:
        assert await read_all(process) == b""
        await process.exited()
        assert await supervisor.end(process, 1) == Exit(5, None)


async def test_standard_input_holds_the_whole_text_and_then_ends() -> None:
    text = os.urandom(300_000)
    code = "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    async with Supervisor().running(python(code, stdin=text), grace=1) as process:
        assert (await read_all(process)).decode().strip() == hashlib.sha256(text).hexdigest()


async def test_without_text_standard_input_is_empty() -> None:
    async with Supervisor().running(shell("cat; echo done"), grace=1) as process:
        assert await read_all(process) == b"done\n"


async def test_the_command_gets_its_own_session_no_descriptors_and_default_signals() -> None:
    code = (
        "import os, signal; print(os.getsid(0) == os.getpid(), sorted(map(int, os.listdir('/dev/fd')))[:4],"
        " [s.name for s in signal.valid_signals() if signal.getsignal(s) == signal.SIG_IGN],"
        " signal.pthread_sigmask(0, []))"
    )
    leaky = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        async with Supervisor().running(shell(f'exec {sys.executable} -S -c "{code}"'), grace=1) as process:
            line = (await read_all(process)).decode()
    finally:
        os.close(leaky)
    # Descriptor 3 is the listing's own. Python itself ignores SIGPIPE and SIGXFSZ.
    assert line == "True [0, 1, 2, 3] ['SIGPIPE', 'SIGXFSZ'] set()\n"


async def test_the_environment_is_exactly_what_was_asked_and_the_id_of_the_run() -> None:
    async with Supervisor().running(
        Invocation("/usr/bin/env", ("env",), {"A": "1", "B": "two"}, "/", b""), grace=1
    ) as process:
        lines = sorted((await read_all(process)).splitlines())
        assert lines == [b"A=1", b"B=two", f"CMDTOOL_RUN_ID={process.run_id}".encode()]


async def test_leaving_the_block_ends_the_whole_session() -> None:
    async with Supervisor().running(shell("set -m; sleep 300 & echo $!; sleep 300"), grace=1) as process:
        child = int(await read_line(process))
        assert is_running(child)
    assert not is_running(child)
    assert process.tree.look(thorough=False) == []


async def test_a_background_process_left_after_success_is_ended() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("sleep 300 & echo $!"), grace=1) as process:
        child = int(await read_line(process))
        await process.exited()
        assert await supervisor.end(process, 1) == Exit(0, None)
        assert not is_running(child)


async def test_a_polite_command_gets_its_grace_and_says_goodbye() -> None:
    supervisor = Supervisor()
    script = "trap 'sleep 0.3; echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    async with supervisor.running(shell(script), grace=5) as process:
        await read_line(process)
        assert await supervisor.end(process, 5) == Exit(7, None)
        assert await read_all(process) == b"bye\n"


async def test_a_command_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    supervisor = Supervisor()
    async with supervisor.running(
        shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"), grace=0.1
    ) as process:
        await read_line(process)
        assert await supervisor.end(process, 0.1) == Exit(None, "SIGKILL")


async def test_a_stopped_command_is_continued_so_that_it_can_end() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("kill -STOP $$; sleep 300"), grace=30) as process:
        await until(lambda: psutil.Process(process.session).status() == psutil.STATUS_STOPPED)
        with anyio.fail_after(10):
            assert await supervisor.end(process, 30) == Exit(None, "SIGTERM")


async def test_a_process_whose_first_thread_has_ended_is_still_ended() -> None:
    code = (
        "import ctypes, signal, threading, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "threading.Thread(target=time.sleep, args=(300,)).start(); print(flush=True);"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    supervisor = Supervisor()
    async with supervisor.running(python(code), grace=0.1) as process:
        await read_line(process)
        await until(lambda: psutil.Process(process.session).status() == psutil.STATUS_ZOMBIE)
        assert [member.pid for member in process.tree.look(thorough=False)] == [process.session]
        assert await supervisor.end(process, 0.1) == Exit(None, "SIGKILL")
        assert process.tree.look(thorough=False) == []


async def test_cancellation_cannot_interrupt_the_end() -> None:
    supervisor = Supervisor()
    with anyio.CancelScope() as scope:
        async with supervisor.running(
            shell("trap 'sleep 0.2; exit' TERM; echo; while :; do sleep 0.05; done"), 5
        ) as process:
            await read_line(process)
            scope.cancel()
            await anyio.sleep_forever()
    assert process.tree.look(thorough=False) == []


async def test_hurry_shortens_a_grace_period_that_has_begun() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"), grace=30) as process:
        await read_line(process)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.end, process, 30)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(10):
                supervisor.hurry()
                await process.exited()


async def test_kill_all_does_not_wait() -> None:
    supervisor = Supervisor()
    async with supervisor.running(shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"), grace=30) as process:
        await read_line(process)
        supervisor.kill_all()
        with anyio.fail_after(10):
            await process.exited()
            assert await supervisor.end(process, 30) == Exit(None, signal.SIGKILL.name)


@pytest.mark.parametrize(
    ("invocation", "words"),
    [
        (Invocation("/no/such", ("such",), {}, "/", b""), "does not exist"),
        (Invocation("/bin/sh", ("sh",), {}, "/no/folder", b""), "working directory `/no/folder`"),
        (Invocation("/etc/passwd", ("passwd",), {}, "/", b""), "permission denied"),
        (Invocation("/bin/echo", ("echo", "x" * 200_000), {}, "/", b""), "argument list too long"),
    ],
)
async def test_a_program_that_cannot_start_is_an_error_that_says_why(invocation: Invocation, words: str) -> None:
    with pytest.raises(StartError, match=words):
        Supervisor().start(invocation)


async def test_a_script_without_a_first_line_gets_a_hint(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    with pytest.raises(StartError, match="#!/bin/sh"):
        Supervisor().start(Invocation(str(script), ("script",), {}, "/", b""))


async def test_many_runs_leak_no_descriptor_and_no_zombie() -> None:
    supervisor = Supervisor()
    me = psutil.Process()

    async def once() -> None:
        async with supervisor.running(Invocation("/bin/true", ("true",), {}, "/", b""), grace=1) as process:
            await process.exited()

    await once()
    before = me.num_fds()
    for _ in range(200):
        await once()
    assert me.num_fds() == before
    assert me.children() == []


async def test_a_command_is_ended_once_there_is_a_descriptor_again() -> None:
    supervisor = Supervisor()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with supervisor.guarding(), anyio.create_task_group() as tasks:
        process = supervisor.start(shell("trap '' TERM; while :; do sleep 1; done"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            tasks.start_soon(supervisor.end, process, 0.1)
            await anyio.sleep(1.5)  # longer than the supervisor goes without a look at its orphans
            assert not process.has_exited()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(process.has_exited)
    process.close()


def no_pidfd(pid: int) -> int:
    raise OSError(errno.ENOSYS, "an old kernel, or one that hides it")


async def test_waiting_for_many_takes_no_thread_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    supervisor = Supervisor()
    async with AsyncExitStack() as running, anyio.create_task_group() as tasks:
        for _ in range(int(anyio.to_thread.current_default_thread_limiter().total_tokens)):
            process = await running.enter_async_context(supervisor.running(shell("exec sleep 60"), grace=1))
            tasks.start_soon(process.exited)
        await anyio.sleep(0.1)
        with anyio.fail_after(5):
            await anyio.to_thread.run_sync(os.getpid)
        tasks.cancel_scope.cancel()


async def test_watching_limits_without_a_pidfd_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    async with Supervisor().running(shell("sleep 2"), grace=1) as process:
        before = threading.active_count()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, process, Limits(processes=100))
            await anyio.sleep(1.5)
            assert threading.active_count() <= before + 1
