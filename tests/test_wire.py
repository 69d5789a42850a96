"""The connection itself: a client that stops reading, one that asks without end, one that hangs up."""

import array
import fcntl
import json
import socket
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from cmdtool.server.messages import MAX_LINE
from cmdtool.server.wire import BUSY, MAX_OPEN
from tests.http_serving import HttpServer, headers_for, http_server, request
from tests.test_process import is_running
from tests.test_stdio import GONE, SLACK, Server

MANIFEST = r"""
concurrency: 16
tools:
  flood:
    shell: |
      i=0; while [ ! -e go ]; do i=$((i+1)); echo $i; done
      seq 1000000000 1003000000
      echo > "$done"
    arguments: {done: {type: string}}
    progress: '(?P<progress>\d+)'
  silent: {command: [sh, -c, 'echo $$ > pid; exec sleep 1000'], progress: none}
"""
PIPE = 4096
GROWTH = 50 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path, manifest=MANIFEST)
    assert started.process.stdout is not None
    fcntl.fcntl(started.process.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    yield started
    started.end()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def unread(server: Server) -> int:
    """Return the bytes that wait in the pipe to the client."""
    waiting = array.array("i", [0])
    assert server.process.stdout is not None
    fcntl.ioctl(server.process.stdout, termios.FIONREAD, waiting)
    return waiting[0]


def memory(server: Server | HttpServer) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def call(server: Server, number: int) -> None:
    arguments = {"name": "flood", "arguments": {"done": f"done-{number}"}, "_meta": {"progressToken": number}}
    server.send("tools/call", arguments, number)


@pytest.mark.parametrize("calls", [1, 12])
def test_a_client_that_stops_reading_slows_no_command_and_gets_the_newest(
    server: Server, tmp_path: Path, calls: int
) -> None:
    before = memory(server)
    for number in range(1, calls + 1):
        call(server, number)
    until(lambda: unread(server) > PIPE - 200)  # no room for another message
    (tmp_path / "go").touch()
    most = 0

    def are_done() -> bool:
        nonlocal most
        most = max(most, memory(server))
        return all((tmp_path / f"done-{number}").exists() for number in range(1, calls + 1))

    until(are_done)
    assert most - before < GROWTH
    progress: dict[int, list[float]] = {number: [] for number in range(1, calls + 1)}
    results: dict[int, Any] = {}
    while len(results) < calls:
        message = server.receive()
        if "method" in message:
            progress[message["params"]["progressToken"]].append(message["params"]["progress"])
        else:
            results[message["id"]] = message["result"]
    assert sum(map(len, progress.values())) < PIPE / 80 + 3 * calls
    for number, result in results.items():
        assert progress[number][-1] == 1003000000
        assert result["content"][0]["text"].splitlines()[-1] == "1003000000"
        assert result["isError"] is False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel holds more for a client that does not read")
def test_over_http_a_client_that_stops_reading_slows_no_command_and_gets_the_newest(tmp_path: Path) -> None:
    """Its connection holds some 100 KB, which messages as long as can be fill within 5 s."""
    manifest = r"""
    tools:
      flood:
        shell: for i in $(seq 55); do echo $i; sleep 0.1; done; seq 1000000000 1000300000; echo > done
        progress: [{pattern: '(?P<progress>\d+)', message: MESSAGE}]
    """
    call = {"name": "flood", "arguments": {}}
    with http_server(tmp_path, manifest.replace("MESSAGE", "😀" * 3000)) as server:
        address = urlsplit(server.url)
        assert address.hostname is not None
        assert address.port is not None
        with closing(HTTPConnection(address.hostname, address.port)) as http, socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # as little as there is
            narrow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            narrow.connect((address.hostname, address.port))
            http.sock = narrow
            before = memory(server)
            headers = headers_for("tools/call", call) | {"Content-Type": "application/json"}
            http.request("POST", "/mcp", json.dumps(request("tools/call", call)), headers)
            until((tmp_path / "done").exists)
            assert memory(server) - before < GROWTH
            lines = http.getresponse().read().decode().splitlines()
    *progress, answer = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    values = [each["params"]["progress"] for each in progress]
    assert values[-1] == 1000300000
    assert values[-2] < 1000000000  # no more found room
    assert answer["result"]["content"][0]["text"].splitlines()[-1] == "1000300000"
    assert answer["result"]["isError"] is False


def test_a_client_that_asks_without_reading_is_held_up_and_then_answered(server: Server) -> None:
    total, padding = 3 * MAX_OPEN, "x" * 8000
    before = memory(server)

    def ask() -> None:
        for number in range(total):
            server.send("ping", {"a": padding}, number + 100)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: unread(server) > PIPE - 200)
    answers = []
    for _ in range(total):
        answers.append(server.receive())
        assert memory(server) - before < GROWTH
    asking.join()
    assert Counter(answer["id"] for answer in answers) == Counter(range(100, total + 100))
    assert {answer["error"]["code"] for answer in answers if "error" in answer} <= {BUSY}
    assert not -32768 <= BUSY <= -32000


def test_a_client_that_has_closed_its_end_is_noticed_while_nothing_is_written(server: Server) -> None:
    command = server.call("silent")
    assert server.process.stdout is not None
    server.process.stdout.close()
    assert server.process.wait(GONE + SLACK) == 0
    assert not is_running(command.pid)


def test_an_id_that_is_still_in_use_is_refused_and_free_after_a_cancel(server: Server) -> None:
    command = server.call("silent")
    server.send("ping", {}, 2)
    answer = server.receive()
    assert (answer["id"], answer["error"]["code"]) == (2, -32600)
    server.send("notifications/cancelled", {"requestId": 2})
    until(lambda: not command.is_running())
    server.send("ping", {}, 2)
    assert server.receive() == {"jsonrpc": "2.0", "id": 2, "result": {}}


def test_a_line_without_end_costs_little_and_is_answered(server: Server) -> None:
    before = memory(server)
    assert server.process.stdin is not None
    server.process.stdin.write(b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"a":"')
    for _ in range(30):
        server.process.stdin.write(b"x" * MAX_LINE)
    server.write('"}}')
    answer = server.receive()
    assert (answer["id"], answer["error"]["code"]) == (9, -32600)
    assert memory(server) - before < GROWTH
    server.send("ping", {}, 10)
    assert server.receive()["id"] == 10


def test_what_stands_before_the_first_request_is_answered_too(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "cmdtool", "serve"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"nonsense\n" * 20 + b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(21)]
        process.stdin.close()
    assert [answer["id"] for answer in answers] == [None] * 20 + [1]
    assert {answer["error"]["code"] for answer in answers[:20]} == {-32700}


def test_requests_that_are_piped_in_are_answered_though_the_input_has_ended(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("tools: {say: {command: 'echo {word}'}}")
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    calls: list[tuple[str, dict[str, object]]] = [
        ("server/discover", {}),
        ("tools/list", {}),
        ("tools/call", {"name": "say", "arguments": {"word": "hello"}}),
    ]
    requests = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}
        for number, (method, params) in enumerate(calls)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "cmdtool", "serve", str(tmp_path / "tools.yaml")],
        input="\n".join(map(json.dumps, requests)).encode(),  # the last line has no end
        capture_output=True,
        check=True,
    )
    answers = {answer["id"]: answer["result"] for answer in map(json.loads, done.stdout.splitlines())}
    assert answers.keys() == {0, 1, 2}
    assert answers[2]["content"][0]["text"] == "hello"
