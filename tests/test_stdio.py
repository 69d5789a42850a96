"""The end of a server, whatever ends it: its commands are dead and it is gone. In raw JSON-RPC, to hang up any time."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.test_process import is_running

MANIFEST = r"""
tools:
  stubborn: {command: [sh, -c, 'trap "" TERM INT HUP; echo $$ > pid; while :; do sleep 0.1; done'], grace: 30s}
  flood: {command: [sh, -c, 'echo $$ > pid; while :; do seq 1 100000; done'], progress: '(\d+)'}
  count:
    command: [sh, -c, 'echo $$ > pid; i=0; while :; do i=$((i+1)); echo $i; done']
    progress: '(?P<progress>\d+)'
  flood_once: {command: [seq, '100000']}
  hello:
    title: Hello
    command: echo hello
    annotations: {read_only: true}
    icons: [{src: 'https://example.org/hello.png'}]
"""

GONE = 2.0
"""Seconds that a client waits for a server before it kills it."""

SLACK = 1.5
"""Seconds that a busy machine may add."""


class Server:
    def __init__(
        self,
        folder: Path,
        revision: str = "2025-11-25",
        stderr: int | None = None,
        manifest: str = MANIFEST,
        prefix: Sequence[str] = (),
    ) -> None:
        (folder / "tools.yaml").write_text(manifest)
        self._pid_file = folder / "pid"
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "cmdtool", "serve"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        hello = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        self.send("initialize", hello, 1)
        assert self.receive()["result"]["protocolVersion"] == revision
        self.send("notifications/initialized", {})

    def send(self, method: str, params: dict[str, Any], number: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params} | ({"id": number} if number else {})
        self.write(json.dumps(message))

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        return message

    def call(self, tool: str) -> psutil.Process:
        """Call a tool and return its process once it runs."""
        self.send("tools/call", {"name": tool, "arguments": {}, "_meta": {"progressToken": "p"}}, 2)
        deadline = time.monotonic() + 10
        while not (self._pid_file.exists() and self._pid_file.read_text().strip()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return psutil.Process(int(self._pid_file.read_text()))

    def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.terminate()
        self.process.wait(10)
        for pipe in filter(None, (self.process.stdin, self.process.stdout, self.process.stderr)):
            with suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    yield started
    started.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_commands_and_the_server(server: Server, number: signal.Signals) -> None:
    command = server.call("stubborn")
    server.process.send_signal(number)
    assert server.process.wait(GONE + SLACK) == 128 + number
    assert not is_running(command.pid)


def test_the_end_of_standard_input_ends_the_commands_and_the_server(server: Server) -> None:
    command = server.call("stubborn")
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(GONE + SLACK) == 0
    assert not is_running(command.pid)


def test_a_second_signal_kills_at_once(server: Server) -> None:
    command = server.call("stubborn")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(GONE) == 143
    assert time.monotonic() - begun < 0.8
    psutil.wait_procs([command], timeout=5)
    assert not is_running(command.pid)


def test_a_client_that_has_stopped_reading_does_not_hold_up_the_end(server: Server) -> None:
    command = server.call("flood")
    time.sleep(0.5)  # the pipe to the client fills
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(GONE + SLACK) == 143
    assert not is_running(command.pid)


def test_a_client_that_closes_its_end_ends_the_commands_and_the_server(server: Server) -> None:
    command = server.call("flood")
    assert server.process.stdout is not None
    server.process.stdout.close()
    server.process.wait(10)
    assert not is_running(command.pid)


def test_an_idle_server_leaves_at_once(server: Server) -> None:
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(GONE) == 143
    assert time.monotonic() - begun < 1


def test_nothing_but_the_protocol_is_on_standard_output(server: Server) -> None:
    server.send("tools/call", {"name": "hello", "arguments": {}}, 2)
    answer = server.receive()
    assert (answer["id"], answer["result"]["content"][0]["text"]) == (2, "hello")
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.stdout is not None
    assert server.process.stdout.read() == b""


def test_a_ping_is_answered_while_a_command_floods_its_output(server: Server) -> None:
    server.call("flood")
    begun = time.monotonic()
    server.send("ping", {}, 3)
    while server.receive().get("id") != 3:
        pass
    assert time.monotonic() - begun < 1.5


def test_progress_is_for_the_clients_own_token(server: Server) -> None:
    server.call("count")
    message = server.receive()
    assert message["method"] == "notifications/progress"
    assert message["params"]["progressToken"] == "p"


def test_descriptors_of_the_server_do_not_reach_commands(server: Server) -> None:
    command = server.call("stubborn")
    assert sorted(int(fd) for fd in os.listdir(f"/proc/{command.pid}/fd") if int(fd) < 10) == [0, 1, 2]


@pytest.mark.parametrize(
    ("revision", "fields"),
    [
        ("2024-11-05", set()),
        ("2025-03-26", {"annotations"}),
        ("2025-06-18", {"annotations", "title"}),
        ("2025-11-25", {"annotations", "title", "icons"}),
    ],
)
def test_a_client_is_not_sent_fields_that_its_revision_does_not_know(
    tmp_path: Path, revision: str, fields: set[str]
) -> None:
    server = Server(tmp_path, revision)
    server.send("tools/list", {}, 2)
    hello = next(tool for tool in server.receive()["result"]["tools"] if tool["name"] == "hello")
    server.end()
    assert hello.keys() - {"name", "inputSchema"} == fields


def test_a_log_that_nobody_reads_holds_up_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path, stderr=subprocess.PIPE)
    assert server.process.stderr is not None
    fcntl.fcntl(server.process.stderr, fcntl.F_SETPIPE_SZ, 4096)
    for number in range(2, 202):  # each call logs a line of about 50 bytes
        server.send("tools/call", {"name": "hello", "arguments": {}}, number)
        assert server.receive()["id"] == number
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(GONE + SLACK) == 143
    server.end()
