"""What a sandbox hides and keeps from being written, by bubblewrap itself; and the argv that tells it so."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from mcp_types import EmbeddedResource

from cmdtool.commands.files import read_manifest
from cmdtool.errors import ArgumentError, SandboxError
from cmdtool.host import LocalHost
from cmdtool.model import Tool
from cmdtool.process import Exit, Supervisor, require_sandbox
from cmdtool.run import Call, RunResult, prepare, run_call
from tests.serving import serving, text_of
from tests.test_argv import FakeHost
from tests.test_process import is_running
from tests.waiting import until

PYTHON = os.path.realpath(sys.executable)
"""Not that of the virtual environment, which may be in `/tmp`: a sandbox has its own."""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap runs on Linux only"),
]

PATH_ARGUMENT = {"type": "string", "format": "path"}


def tool(shell: str, folder: Path | str = "/", **keys: object) -> Tool:
    return Tool.model_validate({"name": "t", "folder": str(folder), "shell": shell, "sandbox": True, **keys})


async def run(called: Tool, **arguments: object) -> RunResult:
    with anyio.fail_after(30):
        return await run_call(prepare(called, arguments, LocalHost()), Supervisor())


async def output(called: Tool, **arguments: object) -> str:
    result = await run(called, **arguments)
    assert result.success, (result.outcome, result.stderr.text)
    return result.stdout.text


# --- real sandboxes --------------------------------------------------------------------------------------------------


async def test_it_sees_no_process_but_its_own() -> None:
    pids = await output(tool("ls /proc | grep -c '^[0-9]'"))
    assert int(pids) <= 6
    result = await run(tool(f"kill -TERM {os.getpid()}"))
    assert result.exit == Exit(1, None)


async def test_it_writes_nowhere_but_where_it_may_and_to_a_temporary_folder(tmp_path: Path) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
    script = f"""
        echo kept > {tmp_path}/open/file; echo gone > /tmp/only-here; cat /tmp/only-here
        for target in {tmp_path}/shut/x /etc/x /root/x /x /run/x /proc/sys/vm/swappiness; do
            if (: >> "$target") 2>/dev/null; then echo "wrote $target"; fi
        done
    """
    assert await output(tool(script, tmp_path, sandbox={"write": [f"{tmp_path}/open"]})) == "gone\n"
    assert (tmp_path / "open" / "file").read_text() == "kept\n"
    assert not os.path.exists("/tmp/only-here")  # noqa: ASYNC240 - it takes no time


async def test_what_is_read_only_stays_so_for_root_too(tmp_path: Path) -> None:
    script = "grep CapEff /proc/self/status; mount -o remount,rw,bind / 2>&1 || true; touch /etc/x 2>&1 || true"
    lines = (await output(tool(script, tmp_path))).splitlines()
    assert lines[0].split()[1] == "0" * 16
    assert "denied" in lines[1] or "superuser" in lines[1]
    assert "Read-only" in lines[-1]


async def test_with_read_only_what_is_named_and_the_system_is_seen(tmp_path: Path) -> None:
    for name in ("work", "seen", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    script = f"cat {tmp_path}/*/file; ls / ; ls -d /home/* /root/* /etc/shadow 2>/dev/null || true"
    sandbox = {"read": [f"{tmp_path}/seen"]}
    shown = await output(tool(script, tmp_path / "work", sandbox=sandbox))
    assert shown.startswith("seenwork")
    assert "secret" not in shown
    assert not {"home", "root", "srv", "mnt", "sys"} & set(shown.splitlines())
    assert "shadow" not in shown


async def test_what_says_what_runs_is_not_written_where_all_else_is(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(
        "tools: {t: {shell: 'echo x > tools.yaml; echo x > .env; mv tools.yaml other; echo x > note; ls -A',"
        " sandbox: {write: .}, env_file: .env, success: [0, 1]}}"
    )
    (tmp_path / ".env").write_text("A=b\n")
    tools = read_manifest([tmp_path / "tools.yaml"]).tools
    before = (tmp_path / "tools.yaml").read_text()
    called = tools["t"].model_copy(update={"shell_program": ("bash", "-c")})
    assert await output(called) == ".env\nnote\ntools.yaml\n"
    assert (tmp_path / "tools.yaml").read_text() == before
    assert (tmp_path / ".env").read_text() == "A=b\n"


async def test_a_link_hands_out_no_file_that_it_could_not_see(tmp_path: Path) -> None:
    for name in ("work", "secret", "seen"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "token").write_text("of-tiger-lily")
    (tmp_path / "seen" / "page").write_text("of a book")
    async with serving(
        tmp_path,
        """
        tools:
          t:
            cwd: work
            shell: 'ln -s ../secret a; ln -s /proc/self b; ln -s ../seen c; echo mine > d'
            sandbox: {read: [seen], write: [work]}
            output: {files: ['a/*', b/environ, c/page, d], embed: true}
        """,
    ) as client:
        result = await client.call_tool("t", {})
    hidden = f"[file {tmp_path}/work/a: hidden from the sandbox]\n[file {tmp_path}/work/b: hidden from the sandbox]"
    assert text_of(result) == f"(no output)\n{hidden}"
    texts = [block.resource.model_dump()["text"] for block in result.content if isinstance(block, EmbeddedResource)]
    assert texts == ["of a book", "mine\n"]


async def test_a_socket_in_a_private_folder_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    connect = f"{PYTHON} -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{tmp_path}/door\")'"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{tmp_path}/door")
        door.listen()
        assert (await run(tool(connect, tmp_path / "cwd", sandbox=False))).success
        refused = await run(tool(connect, tmp_path / "cwd"))
    assert "FileNotFoundError" in refused.stderr.text


async def test_without_network_there_is_only_a_loopback_of_its_own() -> None:
    script = "tail -n +3 /proc/net/dev | wc -l"
    assert await output(tool(script, sandbox={"network": False})) == "1\n"
    assert await output(tool(script)) == await output(tool(script, sandbox=False))


async def test_an_argument_can_be_what_is_read_or_written(tmp_path: Path) -> None:
    for name in ("cwd", "from", "to", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "from" / "file").write_text("content")
    (tmp_path / "other" / "file").write_text("other")
    arguments = {"source": PATH_ARGUMENT, "target": PATH_ARGUMENT}
    script = f'cp "$source/file" "$target/copy"; ls {tmp_path}; ! touch "$source/new"'
    sandbox = {"read": ["{source}"], "write": ["{target}"]}
    called = tool(script, tmp_path / "cwd", sandbox=sandbox, arguments=arguments)
    seen = await output(called, source=str(tmp_path / "from"), target="../to")
    assert seen.split() == ["cwd", "from", "to"]
    assert (tmp_path / "to" / "copy").read_text() == "content"
    with pytest.raises(ArgumentError, match=r"`target`.*does not exist"):
        await run(called, source="../from", target="../none")


async def test_a_link_is_followed_once_and_still_leads_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "cwd").mkdir()
    script = f"echo x > {tmp_path}/link/file; readlink {tmp_path}/link"
    for sandbox in ({"write": ["../link"]}, {"read": [], "write": ["../link"]}):
        assert await output(tool(script, tmp_path / "cwd", sandbox=sandbox)) == f"{tmp_path}/real\n"
        assert (tmp_path / "real" / "file").read_text() == "x\n"


async def test_a_program_of_ones_own_runs_in_its_folder(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho ran in $PWD with $1\n")
    script.chmod(0o755)
    called = Tool.model_validate(
        {"name": "t", "folder": str(tmp_path), "command": ["./job.sh", "-x"], "sandbox": {"read": ["/usr"]}}
    )
    assert await output(called) == f"ran in {tmp_path} with -x\n"


async def test_exit_statuses_come_back_and_signals_as_a_shell_tells_them() -> None:
    result = await run(tool("exit 7"))
    assert (result.exit, result.outcome) == (Exit(7, None), "exit status 7")
    result = await run(tool("kill -SEGV $$"))
    assert (result.exit, result.outcome) == (Exit(139, None), "exit status 139 (128 + SIGSEGV)")


async def test_standard_input_and_a_terminal_work_inside() -> None:
    echo = tool("cat", stdin="{text}", arguments={"text": {"type": "string"}})
    assert await output(echo, text="hello") == "hello"
    script = "test -t 1 && test -t 2 && stty size < /dev/tty; trap 'echo bye; exit' TERM HUP; kill -TERM $$"
    assert await output(tool(script, pty={"columns": 91, "rows": 33})) == "33 91\nbye\n"


# --- their end -------------------------------------------------------------------------------------------------------


async def started(call: Call, supervisor: Supervisor, mark: bytes) -> bytes:
    async with supervisor.running(call.invocation, 10) as process:
        seen = b""
        while mark not in seen:
            seen += await process.read("stdout")
        with anyio.fail_after(20):
            await supervisor.end(process, 10)
        while block := await process.read("stdout"):
            seen += block
    return seen


@pytest.mark.parametrize("pty", [False, True], ids=["pipes", "terminals"])
async def test_the_command_gets_its_grace_inside(pty: bool) -> None:
    script = "trap 'sleep 0.3; echo bye; exit 3' TERM; trap '' HUP; echo ready; while :; do sleep 0.05 || :; done"
    call = prepare(tool(script, pty=pty), {}, LocalHost())
    assert (await started(call, Supervisor(), b"ready")).split() == [b"ready", b"bye"]


async def test_who_ignores_sigterm_is_killed_with_all_in_the_sandbox() -> None:
    supervisor = Supervisor()
    call = prepare(tool("trap '' TERM; (trap '' TERM; sleep 300)& echo ready; sleep 300"), {}, LocalHost())
    async with supervisor.running(call.invocation, 0.2) as process:
        while b"ready" not in await process.read("stdout"):
            pass
        inside = [entry.pid for entry in process.tree.look(thorough=False)]
        assert len(inside) > 3
        assert await supervisor.end(process, 0.2) == Exit(None, "SIGKILL")
    assert not any(map(is_running, inside))


def running(name: str) -> list[int]:
    """Return the processes whose command line begins with `name`."""
    processes = psutil.process_iter(["cmdline"])
    return [process.pid for process in processes if (process.info["cmdline"] or [""])[0] == name]


DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for fd in range(3): os.close(fd)
os.execve(os.path.realpath(sys.executable), [sys.argv[1], "-c", "import time; time.sleep(300)"], {})
"""


@pytest.mark.parametrize("ending", ["exit", "timeout"])
async def test_a_daemon_without_parent_session_or_environment_dies_with_the_sandbox(
    tmp_path: Path, ending: str
) -> None:
    name = f"hidden-{os.getpid()}-{ending}"

    (tmp_path / "daemon.py").write_text(DAEMON)
    wait = f"while ! grep -q '^{name}' /proc/[0-9]*/cmdline 2>/dev/null; do sleep 0.02; done"
    script = f"{PYTHON} daemon.py {name}; {wait}; echo born; {'sleep 300' if ending == 'timeout' else 'exit 0'}"
    result = await run(tool(script, tmp_path, timeout="3s" if ending == "timeout" else "20s", grace="200ms"))
    assert result.ended_by == ending
    assert result.stdout.text == "born\n"
    await until(lambda: not running(name), 5)


async def test_a_killed_server_takes_its_sandboxes_along(tmp_path: Path) -> None:
    mark = f"sleeper-{os.getpid()}"
    (tmp_path / "tools.yaml").write_text(
        f'tools: {{t: {{shell: "echo ready; exec -a {mark} sleep 300", sandbox: true}}}}\n'
    )
    command = [sys.executable, "-m", "cmdtool", "run", "-f", str(tmp_path / "tools.yaml"), "t"]
    async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        assert await server.stdout.receive() == b"ready\n"
        try:
            await until(lambda: bool(running(mark)))
        finally:
            server.kill()
    await until(lambda: not running(mark))


# --- where there is none ---------------------------------------------------------------------------------------------


def test_this_machine_can_make_sandboxes() -> None:
    require_sandbox(LocalHost())
    require_sandbox(LocalHost(), network=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_make_them() -> None:
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    options = prepare(tool("id -u; ! touch /etc/x; ls /proc | grep -c '^[0-9]'"), {}, LocalHost()).invocation
    done = subprocess.run(
        [*words, options.program, *options.argv[1:]], env=dict(options.env), capture_output=True, text=True, check=False
    )
    assert done.stdout.split()[0] == "65534", done.stderr
    assert "Read-only" in done.stderr


def test_a_machine_without_bubblewrap_says_how_to_get_it() -> None:
    with pytest.raises(SandboxError, match=r"(?s)searched: /bin\nhint: install the package `bubblewrap`"):
        prepare(tool("true", sandbox={"network": False}), {}, FakeHost(paths=("/",)))


@pytest.fixture
def forbidding(tmp_path: Path) -> LocalHost:
    """A machine on which bubblewrap is installed and may not make namespaces."""
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    (tmp_path / "bash").symlink_to("/bin/bash")
    host = LocalHost()
    host.environ = {"PATH": str(tmp_path)}
    return host


async def test_one_that_permits_no_namespaces_says_so(forbidding: LocalHost) -> None:
    with pytest.raises(SandboxError, match=r"(?s)No permissions to create new namespace\nhint: user namespaces must"):
        require_sandbox(forbidding)
    result = await run_call(prepare(tool("true"), {}, forbidding), Supervisor())
    assert result.outcome == "exit status 1: the sandbox could not be made; `cmdtool check` tries what is missing"


def test_check_names_the_key_whose_sandbox_cannot_be_had(tmp_path: Path, forbidding: LocalHost) -> None:
    (tmp_path / "tools.yaml").write_text("tools:\n  t:\n    shell: ls\n    sandbox: {network: false}\n")
    words = [sys.executable, "-m", "cmdtool", "check", str(tmp_path / "tools.yaml")]
    done = subprocess.run(words, env=dict(forbidding.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tools.yaml:4:14: tools.t.sandbox: `sandbox` is not possible here: bwrap: No permissions" in done.stderr
    (tmp_path / "bwrap").unlink()
    done = subprocess.run(words, env=dict(forbidding.environ), capture_output=True, text=True, check=False)
    assert f"the program `bwrap` was not found; searched: {tmp_path}\n" in done.stderr


@pytest.mark.parametrize("command", ["check", "serve"])
def test_each_kind_of_sandbox_is_tried_once(tmp_path: Path, command: str) -> None:
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\necho >> {tmp_path}/tried\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    sandboxes = ("true", "true", "{network: false}", "{network: false, write: [/]}")
    tools = "".join(f"  t{number}: {{command: ls, sandbox: {each}}}\n" for number, each in enumerate(sandboxes))
    (tmp_path / "tools.yaml").write_text(f"tools:\n{tools}")
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = [sys.executable, "-m", "cmdtool", command, str(tmp_path / "tools.yaml")]
    subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (tmp_path / "tried").read_text() == "\n\n"


async def test_a_client_is_told_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = "tools: {t: {shell: echo inside, sandbox: {network: false}}}\n"
    async with serving(tmp_path, manifest) as client:
        assert text_of(await client.call_tool("t", {})) == "inside"
    (tmp_path / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path))
    async with serving(tmp_path, manifest) as client:
        result = await client.call_tool("t", {})
    assert result.is_error
    assert "install the package `bubblewrap`" in text_of(result)


# --- argv ------------------------------------------------------------------------------------------------------------


def mounts(sandbox: Mapping[str, Any], host: FakeHost, folder: str = "/srv/work") -> list[tuple[str, ...]]:
    called = Tool.model_validate({"name": "t", "folder": folder, "command": ["tool"], "sandbox": sandbox})
    argv = list(prepare(called, {}, host).invocation.argv)
    kinds = {"--ro-bind", "--bind", "--dev-bind", "--symlink"}
    return [tuple(argv[at : at + 3]) for at, word in enumerate(argv) if word in kinds]


def host(*paths: str, links: Mapping[str, str] | None = None) -> FakeHost:
    return FakeHost(programs=("/bin/tool", "/bin/bwrap"), paths=("/", "/srv/work", *paths), links=links)


def test_without_read_everything_is_seen_once() -> None:
    assert mounts({}, host("/bin", "/usr")) == [("--ro-bind", "/", "/")]


def test_a_folder_comes_before_what_lies_in_it_and_the_inner_one_decides() -> None:
    where = host("/a", "/a/b", "/a/b/c", "/a.b")
    given = mounts({"read": ["/a/b", "/a.b"], "write": ["/a/b/c", "/a"]}, where)
    assert [mount for mount in given if mount[1].startswith("/a")] == [
        ("--bind", "/a", "/a"),
        ("--ro-bind", "/a/b", "/a/b"),
        ("--bind", "/a/b/c", "/a/b/c"),
        ("--ro-bind", "/a.b", "/a.b"),
    ]


def test_the_working_directory_stays_writable_where_a_folder_around_it_is() -> None:
    assert ("--ro-bind", "/srv/work", "/srv/work") not in mounts({"read": [], "write": ["/srv"]}, host("/srv"))


@pytest.mark.parametrize("read", [{}, {"read": []}, {"read": ["/"]}])
def test_where_all_is_written_the_systems_own_folders_are_too(read: dict[str, Any]) -> None:
    assert mounts({**read, "write": ["/"]}, host("/usr", "/bin", "/etc/passwd")) == [("--bind", "/", "/")]


def test_a_private_folder_is_seen_only_where_that_is_said() -> None:
    where = host("/tmp/mine", "/dev/dri")
    assert mounts({"read": ["/", "/tmp/mine"], "write": ["/dev/dri"]}, where) == [
        ("--ro-bind", "/", "/"),
        ("--dev-bind", "/dev/dri", "/dev/dri"),
        ("--ro-bind", "/tmp/mine", "/tmp/mine"),
    ]


def test_relative_paths_are_the_manifests_and_home_is_known() -> None:
    given = mounts({"read": ["data", "~/media"]}, host("/srv/work/data", "/home/me/media"))
    assert ("--ro-bind", "/home/me/media", "/home/me/media") in given
    assert ("--ro-bind", "/srv/work", "/srv/work") in given  # the working directory, with all in it


@pytest.mark.parametrize("path", ["/proc", "/proc/1", "/missing"])
def test_what_cannot_be_made_writable_is_refused(path: str) -> None:
    with pytest.raises(SandboxError, match=path):
        mounts({"write": [path]}, host("/proc", "/proc/1"))
