"""What the log says of calls: a real client, and a server that writes one JSON object a line."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from tests.http_serving import http_server
from tests.serving import ERAS, Era, server_command
from tests.test_auth import ALICE, bearer, write_auth
from tests.waiting import until

pytestmark = pytest.mark.anyio

MANIFEST = r"""
secrets: [DATABASE_PASSWORD]
tools:
  login:
    arguments:
      user: {type: string}
      token: {type: string, secret: true, optional: true}
      tries: {type: integer, default: 3}
    env: {TOKEN: '{token}'}
    command: [sh, -c, 'echo hello; exit "$1"', sh, '{tries}', '{user}']
  data: {command: echo no json, output: json}
"""


@dataclass
class Log:
    """What the server has written."""

    path: Path

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def calls(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries() if "tool" in entry]


@asynccontextmanager
async def serving(folder: Path, *options: str, era: Era = "auto") -> AsyncIterator[tuple[Client, Log]]:
    path, log = folder / "tools.yaml", Log(folder / "log")
    path.write_text(MANIFEST)
    command = server_command(path)
    words = ["-c", 'exec "$@" 2>"$0"', str(log.path), command.command, *command.args, "--log-format", "json", *options]
    env = {**(command.env or {}), "DATABASE_PASSWORD": "tiger-lily"}
    async with Client(StdioServerParameters(command="sh", args=words, env=env), mode=era) as client:
        yield client, log


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_is_a_line_with_its_facts_and_no_argument(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, era=era) as (client, log):
        await client.call_tool("login", {"user": "orchid", "token": "snapdragon"})
        await client.call_tool("login", {"orchid": "orchid"})
        await client.call_tool("data", {})
        await until(lambda: len(log.calls()) == 3)
        run, refused, misfit = log.calls()
        assert "orchid" not in log.path.read_text()
        assert "snapdragon" not in log.path.read_text()
    assert re.fullmatch(r"login: \d+\.\d s, exit status 3", run["message"])
    assert (run["level"], run["logger"], run["caller"]) == ("INFO", "cmdtool.server.calls", None)
    assert (run["ended_by"], run["exit_status"], run["success"], run["stdout_bytes"]) == ("exit", 3, False, 6)
    assert run["uri"].startswith("cmdtool://runs/")
    assert 0 <= run["duration"] < 60
    assert (refused["message"], refused["ended_by"]) == ("login: arguments refused", "arguments")
    assert (misfit["ended_by"], misfit["exit_status"], misfit["success"]) == ("exit", 0, False)


async def test_arguments_are_logged_where_that_is_asked_for_but_never_secrets(tmp_path: Path) -> None:
    async with serving(tmp_path, "--log-arguments") as (client, log):
        await client.call_tool("login", {"user": "orchid snapdragon tiger-lily\n\u001b[1m", "token": "snapdragon"})
        await client.call_tool("login", {"user": "x" * 5000})
        await until(lambda: len(log.calls()) == 4)
        called, _, long, _ = log.calls()
        text = log.path.read_text()
    assert json.loads(called["arguments"]) == {
        "user": "orchid [masked] [masked]\n\u001b[1m",
        "token": "[masked]",
        "tries": "3",
    }
    assert called["message"] == f"login: called with {called['arguments']}"
    assert len(long["arguments"]) == 1000
    assert "snapdragon" not in text
    assert "tiger-lily" not in text


async def test_over_http_a_line_names_the_caller_and_an_unknown_tool_is_not_named(tmp_path: Path) -> None:
    write_auth(tmp_path, f"tokens: {{alice: {ALICE}}}")
    with http_server(tmp_path, MANIFEST, "--auth", "auth.yaml", "--log-format", "json") as server:
        for name in ("data", "orchid"):
            await server.post("tools/call", {"name": name, "arguments": {}}, bearer(ALICE))
        await until(lambda: server.log.count('"caller": "alice"') == 2)
        entries = [json.loads(line) for line in server.log.splitlines()]
    assert [entry["tool"] for entry in entries if "tool" in entry] == ["data", "unknown"]
    assert "orchid" not in server.log
