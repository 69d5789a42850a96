"""Secrets as a client sees them, which is not at all: a real server and client, and programs that tell on purpose."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from cmdtool.errors import ArgumentError
from cmdtool.host import LocalHost
from cmdtool.model import Tool
from cmdtool.process import Supervisor
from cmdtool.progress import Update
from cmdtool.reporter import reporting
from cmdtool.run import prepare, run_call
from tests.serving import Seen, server_command, text_of
from tests.waiting import until

pytestmark = pytest.mark.anyio

TOKEN = "tiger-lily/2026+%"

MANIFEST = r"""
secrets: [API_KEY, '*_TOKEN']
tools:
  tell:
    arguments: {token: {type: string, secret: true, minLength: 3, maxLength: 40, pattern: '^[^ ]*$'}}
    env: {AUTH: 'Bearer {token}'}
    stdin: '{token}'
    command:
      - python3
      - -c
      - |
        import base64, json, os, sys, urllib.parse
        secret = sys.stdin.read()
        print(os.environ["AUTH"])
        print(json.dumps({"token": secret}), urllib.parse.quote(secret, safe=""))
        print(base64.b64encode(b"user:" + secret.encode()).decode())
        print("the end", file=sys.stderr)
        print(secret, file=sys.stderr)
  pieces:
    arguments: {token: {type: string, secret: true}}
    shell: for ((i = 0; i < ${#token}; i++)); do printf %s "${token:i:1}"; sleep 0.03; done; echo .
    progress: {heartbeat: 50ms}
  progress:
    arguments: {token: {type: string, secret: true}}
    shell: for i in 1 2 3; do echo "$i of 3 with $token"; sleep 0.15; done; sleep 0.5; exit 3
    progress: {rules: ['(\d+) of (\d+)'], heartbeat: 200ms}
  stage:
    arguments: {token: {type: string, secret: true}}
    shell: for i in 25 50 75; do echo "== $token"; echo "$i%"; sleep 0.15; done
    progress: ['== (?P<stage>.*)', '(\d+)%']
  environment:
    env: {API_KEY: 'literal-value', PLAIN: 'not-a-secret', GH_TOKEN: ''}
    env_file: .env
    shell: echo "$API_KEY $PLAIN $MY_TOKEN"; cat inherited
  wait:
    arguments: {token: {type: string, secret: true}, mark: {type: string}}
    env: {AUTH: '{token}'}
    stdin: '{token}'
    command: [sh, -c, 'touch started; until [ -e "$0" ]; do sleep 0.02; done', '{mark}']
"""


@asynccontextmanager
async def serving(
    folder: Path, manifest: str = MANIFEST, env: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Client, Path]]:
    """Serve the manifest; give the client, and the file that holds the server's log."""
    path, log = folder / "tools.yaml", folder / "log"
    path.write_text(manifest)
    command = server_command(path)
    parameters = StdioServerParameters(command=command.command, args=command.args, env=dict(env or {}))
    with log.open("w") as file:
        async with Client(stdio_client(parameters, errlog=file)) as client:
            yield client, log


async def test_a_secret_is_in_no_result_in_no_form(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, log):
        [tool] = [tool for tool in (await client.list_tools()).tools if tool.name == "tell"]
        assert tool.input_schema["properties"]["token"] == {
            "type": "string",
            "minLength": 3,
            "maxLength": 40,
            "pattern": "^[^ ]*$",
        }
        result = await client.call_tool("tell", {"token": TOKEN})
        lines = text_of(result).splitlines()
        assert lines[:2] == ["Bearer [masked]", '{"token": "[masked]"} [masked]']
        assert re.fullmatch(r"dXNlcjp\[masked\].==", lines[2])  # what stands around the mask is shared with other text
        assert lines[3:] == ["--- standard error ---", "the end", "[masked]"]
    assert "tiger" not in log.read_text()


async def test_a_secret_that_is_written_in_pieces_is_masked(tmp_path: Path) -> None:
    seen = Seen()
    async with serving(tmp_path) as (client, _):
        result = await client.call_tool("pieces", {"token": TOKEN}, progress_callback=seen)
    assert text_of(result) == "[masked]."
    assert seen.messages
    assert not any("tiger" in str(message) for message in seen.messages)


@pytest.mark.parametrize("tool", ["progress", "stage"])
async def test_progress_messages_stages_and_signs_of_life_hold_no_secret(tmp_path: Path, tool: str) -> None:
    seen = Seen()
    async with serving(tmp_path) as (client, log):
        await client.call_tool(tool, {"token": TOKEN}, progress_callback=seen)
    assert any("[masked]" in str(message) for message in seen.messages)
    assert not any("tiger" in str(message) for message in seen.messages)
    assert "tiger" not in log.read_text()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tiger lily", "`token`: the secret does not match the pattern `^[^ ]*$`"),
        ("ti", "`token`: the secret is too short: at least 3 characters"),
        ("tiger" * 9, "`token`: the secret is too long: at most 40 characters"),
        (["tiger"], "`token`: expected a string, found the secret"),
        ({"tiger": 1}, "`token`: expected a string, found the secret"),
        (20262026, "`token`: expected a string, found the secret"),
        ("tiger\0", "`token`: holds a NUL character, which no command can be given"),
    ],
)
async def test_what_is_wrong_with_a_secret_is_said_without_it(tmp_path: Path, value: object, message: str) -> None:
    async with serving(tmp_path) as (client, log):
        result = await client.call_tool("tell", {"token": value})
    assert result.is_error
    assert text_of(result) == message
    assert "tiger" not in log.read_text()


async def test_a_short_secret_is_warned_of_without_its_value(tmp_path: Path) -> None:
    async with serving(tmp_path, env={"MY_TOKEN": "xyzzy"}) as (client, log):
        await client.call_tool("tell", {"token": "q7q7q"})
    assert "tell: `token` has fewer than 6 characters and is not masked" in log.read_text()
    assert "`MY_TOKEN`, one of `secrets`, has fewer than 6 characters" in log.read_text()
    assert "xyzzy" not in log.read_text()
    assert "q7q7q" not in log.read_text()


async def test_named_variables_are_masked_whoever_set_them(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MY_TOKEN='set by the file'\nAPI_KEY=beaten-by-env\n")
    (tmp_path / "inherited").write_text("orchid-of-the-server beaten-by-env\n")
    async with serving(tmp_path, env={"API_KEY": "orchid-of-the-server"}) as (client, _):
        result = await client.call_tool("environment", {})
        assert text_of(result) == "[masked] not-a-secret [masked]\n[masked] beaten-by-env"
        (tmp_path / ".env").write_text("MY_TOKEN=another-one\n")
        assert "[masked] not-a-secret [masked]\n" in text_of(await client.call_tool("environment", {}))
        (tmp_path / ".env").write_text("MY_TOKEN=another-one\nanother-line\n")
        result = await client.call_tool("environment", {})
        assert result.is_error
        assert "line 2: expected `NAME=value`" in text_of(result)
        assert "another" not in text_of(result)
        (tmp_path / ".env").unlink()
        assert "`env_file`" in text_of(await client.call_tool("environment", {}))


async def test_no_command_line_holds_a_secret(tmp_path: Path) -> None:
    token = f"told-to-nobody-{os.getpid()}"  # other tests give theirs to `cmdtool run`
    async with serving(tmp_path) as (client, _), anyio.create_task_group() as tasks:
        tasks.start_soon(partial(client.call_tool, "wait", {"token": token, "mark": str(tmp_path / "go")}))
        await until(lambda: (tmp_path / "started").exists())
        lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        assert any(str(tmp_path / "go") in line for line in lines)
        assert not any(token in line for line in lines)
        (tmp_path / "go").touch()


def command(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "tools.yaml").write_text(MANIFEST)
    return subprocess.run(
        [sys.executable, "-m", "cmdtool", *words],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
    )


async def test_run_shows_no_secret_on_either_stream(tmp_path: Path) -> None:
    done = command(tmp_path, "run", "tell", f"token={TOKEN}")
    assert done.returncode == 0
    assert done.stdout.startswith("Bearer [masked]\n")
    assert "[masked]" in done.stderr
    assert "tiger" not in done.stdout + done.stderr


@pytest.mark.parametrize("token", [TOKEN, "q7q7q"])
@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_dry_run_shows_a_mask(tmp_path: Path, token: str, form: tuple[str, ...]) -> None:
    done = command(tmp_path, "run", "--dry-run", *form, "tell", f"token={token}", MY_TOKEN="xyzzy", API_KEY="orchid-1")
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr
    if form:
        facts = json.loads(done.stdout)
        assert (facts["env"]["AUTH"], facts["stdin"]) == ("Bearer [masked]", "[masked]")
    else:
        assert "  AUTH=Bearer [masked]\n" in done.stdout
        assert "stdin:   8 bytes" in done.stdout


async def test_a_dry_run_masks_named_variables(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MY_TOKEN=xyzzy\nANY=the-orchid-1-of-mine\n")
    done = command(tmp_path, "run", "--dry-run", "environment", API_KEY="orchid-1")
    assert "  API_KEY=[masked]\n" in done.stdout
    assert "  MY_TOKEN=[masked]\n" in done.stdout
    assert "  ANY=the-[masked]-of-mine\n" in done.stdout
    assert "  PLAIN=not-a-secret\n" in done.stdout


class Kept:
    def __init__(self) -> None:
        self.updates: list[Update] = []

    async def send(self, update: Update) -> None:
        self.updates.append(update)


async def test_a_number_whose_end_could_begin_a_secret_is_not_read_without_it() -> None:
    tool = Tool.model_validate(
        {
            "name": "t",
            "folder": "/",
            "arguments": {"pin": {"type": "string", "secret": True}},
            "shell": "printf 'found 51'; sleep 0.3; echo; sleep 0.3",
            "progress": r"found (?P<progress>\d+)",
        }
    )
    sink = Kept()
    with anyio.fail_after(20):
        async with reporting(tool.progress, sink) as reporter:
            assert reporter is not None
            call = prepare(tool, {"pin": "1234567"}, LocalHost())
            result = await run_call(call, Supervisor(), reporter=reporter)
            reporter.finish(success=result.success)
    assert result.stdout.text == "found 51\n"
    assert {update.progress for update in sink.updates if update.progress >= 1} == {51}


async def test_a_mask_is_no_progress() -> None:
    tool = Tool.model_validate(
        {
            "name": "t",
            "folder": "/",
            "arguments": {"pin": {"type": "string", "secret": True}},
            "shell": 'for i in 1 2 3 4 5 6; do echo "$pin"; sleep 0.03; done',
        }
    )
    sink = Kept()
    with anyio.fail_after(20):
        async with reporting(tool.progress, sink) as reporter:
            assert reporter is not None
            await run_call(prepare(tool, {"pin": "10%20%30%"}, LocalHost()), Supervisor(), reporter=reporter)
            reporter.finish(success=True)
    assert [update for update in sink.updates if update.total is not None or update.progress >= 1] == []


async def test_what_is_held_back_is_shown_where_the_output_stays_open(tmp_path: Path) -> None:
    """Somebody out of reach, here this test, holds the pipe: what could have begun a secret is shown all the same."""
    tool = Tool.model_validate(
        {
            "name": "t",
            "folder": str(tmp_path),
            "arguments": {"pin": {"type": "string", "secret": True}},
            "shell": "printf 'so far: 12'; echo $$ > pid; mv pid started; until [ -e go ]; do sleep 0.02; done",
        }
    )
    started = tmp_path / "started"
    with anyio.fail_after(20), ExitStack() as stack:
        async with anyio.create_task_group() as tasks:

            async def hold() -> None:
                await until(started.exists)
                stack.callback(os.close, os.open(f"/proc/{started.read_text().strip()}/fd/1", os.O_WRONLY))
                (tmp_path / "go").touch()

            tasks.start_soon(hold)
            result = await run_call(prepare(tool, {"pin": "1234567"}, LocalHost()), Supervisor())
    assert "still open" in str(result.outcome)
    assert result.stdout.text == "so far: 12"


@pytest.mark.parametrize("value", ["x" * 1_000_000, "password\n" * 100_000])
def test_a_secret_too_long_to_be_looked_for_is_refused_at_once(value: str) -> None:
    tool = Tool.model_validate(
        {"name": "t", "folder": "/", "command": ["cat"], "stdin": "{token}", "arguments": {"token": {"secret": True}}}
    )
    begun = time.process_time()
    with pytest.raises(ArgumentError, match="`token`: a secret of more than"):
        prepare(tool, {"token": value}, LocalHost())
    assert time.process_time() - begun < 1
