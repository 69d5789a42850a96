"""`cmdtool serve --http`: both eras with the SDK's client, wrong requests, health, the end, and several replicas."""

import signal
import socket
import ssl
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import httpx2
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequestParams, ElicitResult

from bench.discover import MANIFEST as FIFTY
from bench.discover import measure
from tests.http_serving import ACCEPT, HttpServer, headers_for, http_server, request
from tests.serving import ERAS, Era, Seen, serving, text_of
from tests.test_auth import ALICE, bearer, write_auth
from tests.test_process import is_running
from tests.waiting import until

pytestmark = pytest.mark.anyio

MANIFEST = r"""
tools:
  hello: {command: echo hello}
  count: {shell: 'for i in 1 2 3 4 5; do echo "$i of 5"; sleep 0.15; done', progress: '(\d) of (\d)'}
  wait: {shell: 'echo $$ > pid; until [ -e go ]; do sleep 0.02; done; echo went'}
  stubborn: {command: [sh, -c, 'trap "" TERM INT HUP; echo $$ > pid; while :; do sleep 0.1; done'], grace: 30s}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A server for all tests that leave it as it was."""
    with http_server(tmp_path_factory.mktemp("shared"), MANIFEST) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    with http_server(tmp_path, MANIFEST) as server:
        yield server


async def command_of(folder: Path) -> psutil.Process:
    """Wait until the tool has written its process id."""
    file = folder / "pid"
    await until(lambda: file.exists() and file.read_text().endswith("\n"), 20)
    return psutil.Process(int(file.read_text()))


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_lists_and_calls_and_is_told_the_progress(shared: HttpServer, era: Era) -> None:
    seen = Seen()
    async with shared.client(era) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["hello", "count", "wait", "stubborn"]
        result = await client.call_tool("count", {}, progress_callback=seen)
    assert text_of(result).splitlines()[-1] == "5 of 5"
    seen.assert_increasing()
    assert len(seen.values) >= 3
    assert seen.updates[-1][:2] == (5.0, 5.0)


@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_tool_is_a_protocol_error(shared: HttpServer, era: Era) -> None:
    async with shared.client(era) as client:
        with pytest.raises(MCPError) as error:
            await client.call_tool("nothing", {})
    assert error.value.error.code == -32602


async def test_clients_of_both_eras_are_served_side_by_side(shared: HttpServer) -> None:
    done = []

    async def call(era: Era) -> None:
        async with shared.client(era) as client:
            done.append(text_of(await client.call_tool("count", {})))

    async with anyio.create_task_group() as tasks:
        for era in ERAS * 3:
            tasks.start_soon(call, era)
    assert len(done) == 6
    assert set(done) == {"1 of 5\n2 of 5\n3 of 5\n4 of 5\n5 of 5"}


async def test_a_result_without_progress_is_not_held_open_and_progress_is_an_event_stream(shared: HttpServer) -> None:
    quick = await shared.post("tools/list")
    assert (quick.status_code, quick.headers["content-type"]) == (200, "application/json")
    slow = await shared.post("tools/call", {"name": "count", "arguments": {}})
    assert slow.headers["content-type"] == "text/event-stream"
    assert slow.headers["x-accel-buffering"] == "no"
    assert slow.text.count('"method":"notifications/progress"') >= 3
    assert slow.text.rstrip().splitlines()[-1].startswith('data: {"jsonrpc":"2.0","id":1,"result"')


async def test_a_silent_stream_is_kept_alive_by_a_comment(tmp_path: Path) -> None:
    """Nothing but time passes until the SDK sends one, after 15 s."""
    call = {"name": "silent", "arguments": {}}
    body, headers = request("tools/call", call), headers_for("tools/call", call)
    manifest = "tools: {silent: {command: sleep 60, progress: {heartbeat: 1m}}}"
    with http_server(tmp_path, manifest) as server, anyio.fail_after(40):
        async with (
            httpx2.AsyncClient(timeout=60) as http,
            http.stream("POST", server.url, json=body, headers=headers) as answer,
        ):
            assert answer.headers["content-type"] == "text/event-stream"
            assert await anext(answer.aiter_lines()) == ": ping"


async def test_a_request_is_answered_soon_beside_fifty_calls_and_beside_fifty_floods(
    tmp_path: Path,
) -> None:
    """`bench/discover.py` has the figures; here only a server that stalls fails."""
    with http_server(tmp_path, FIFTY) as server:
        measured = await measure(server, 40)
    assert len(measured) == 3
    assert max(statistics.quantiles(times, n=20)[-1] for times in measured.values()) < 1500


@pytest.mark.parametrize("era", ERAS)
async def test_who_has_no_name_sees_the_runs_of_http_and_none_of_stdio(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST) as client:
        await client.call_tool("hello", {})
        [own] = (await client.list_resources()).resources
    with http_server(tmp_path, MANIFEST) as server:
        async with server.client(era) as client:
            assert (await client.list_resources()).resources == []
            with pytest.raises(MCPError, match="not found"):
                await client.read_resource(own.uri)
            await client.call_tool("hello", {})
        async with server.client(era) as client:
            [other] = (await client.list_resources()).resources
    assert other.uri != own.uri
    async with serving(tmp_path, MANIFEST) as client:
        assert [resource.uri for resource in (await client.list_resources()).resources] == [own.uri]


# --- requests that no client should send -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"MCP-Protocol-Version": "2099-01-01"}, 400, -32020),
        ({"Mcp-Method": "tools/list"}, 400, -32020),
        ({"Mcp-Method": ""}, 400, -32020),
        ({"Mcp-Name": "count"}, 400, -32020),
        ({"Mcp-Name": ""}, 400, -32020),
    ],
)
async def test_headers_that_do_not_fit_the_body_are_refused(
    shared: HttpServer, headers: dict[str, str], status: int, code: int
) -> None:
    answer = await shared.post("tools/call", {"name": "hello", "arguments": {}}, headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_method_that_is_not_there_is_404(shared: HttpServer) -> None:
    answer = await shared.post("tools/nothing")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, -32601)


async def test_an_unknown_tool_is_400(shared: HttpServer) -> None:
    answer = await shared.post("tools/call", {"name": "nothing", "arguments": {}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Host": "127.0.0.1.evil"}])
async def test_a_foreign_host_is_refused(shared: HttpServer, headers: dict[str, str]) -> None:
    answer = await shared.post("tools/call", {"name": "hello", "arguments": {}}, headers)
    assert answer.status_code == 421
    assert "hello" not in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"])
@pytest.mark.parametrize("modern", [True, False])
async def test_a_foreign_origin_is_refused(shared: HttpServer, origin: str, modern: bool) -> None:
    headers = {"Origin": origin} if modern else {"Origin": origin, "MCP-Protocol-Version": ""}
    answer = await shared.post("tools/call", {"name": "hello", "arguments": {}}, headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_no_page_of_another_origin_is_allowed_to_ask(shared: HttpServer) -> None:
    async with httpx2.AsyncClient() as http:
        ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for path in ("/mcp", "/healthz", "/readyz"):
            answer = await http.options(shared.root + path, headers=ask)
            assert "access-control-allow-origin" not in answer.headers


async def test_a_body_over_four_mebibytes_is_refused_before_it_is_read(shared: HttpServer) -> None:
    answer = await shared.post("tools/call", {"name": "hello", "arguments": {"x": "a" * (4 << 20)}})
    assert answer.status_code == 413
    small = await shared.post("tools/call", {"name": "hello", "arguments": {"x": "a" * (3 << 20)}})
    assert small.json()["result"]["isError"] is True


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b'{"id": 1}', -32600),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "method": "notifications/progress"}', -32600),
    ],
)
async def test_a_body_that_is_no_request_is_400(shared: HttpServer, body: bytes, code: int) -> None:
    async with httpx2.AsyncClient() as http:
        headers = {**headers_for("tools/list"), "Content-Type": "application/json"}
        answer = await http.post(shared.url, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_a_session_that_is_not_there_is_404(shared: HttpServer) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(shared.url, json=request("tools/list"), headers={**ACCEPT, "Mcp-Session-Id": "none"})
    assert answer.status_code == 404


# --- options ---------------------------------------------------------------------------------------------------------


async def test_other_hosts_and_origins_can_be_allowed(tmp_path: Path) -> None:
    options = ("--allow-host", "tools.example.org", "--allow-origin", "https://app.example.org")
    with http_server(tmp_path, MANIFEST, *options) as server:
        for host in ("tools.example.org", "tools.example.org:8443", "localhost"):
            headers = {"Host": host, "Origin": "https://app.example.org"}
            answer = await server.post("tools/list", None, headers)
            assert answer.status_code == 200, host
            assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
        assert (await server.post("tools/list", None, {"Host": "example.org"})).status_code == 421
        assert (await server.post("tools/list", None, {"Origin": "https://example.org"})).status_code == 403
        async with httpx2.AsyncClient() as http:
            ask = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
            answer = await http.options(server.url, headers=ask)
        assert answer.headers["access-control-allow-origin"] == "https://app.example.org"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--http", "0.0.0.0:0"], "error: `--http 0.0.0.0:0`: others on the network could run these tools\nhint: "),
        (["--http", "[::]:0"], "error: `--http [::]:0`: others on the network could run these tools\nhint: "),
        (["--http", "80000"], "error: `--http 80000`: expected `[HOST:]PORT`"),
        (["--http", "http://localhost:80"], "error: `--http http://localhost:80`: expected `[HOST:]PORT`"),
        (["--http", "no-such-host.invalid:0"], "error: `no-such-host.invalid` is no address of this machine"),
        (["--http", "0", "--allow-host", "*"], "error: `--allow-host *`: expected one such as"),
        (["--http", "0", "--allow-origin", "*"], "error: `--allow-origin *`: expected one such as"),
        (["--http", "0", "--allow-origin", "https://a.b/c"], "error: `--allow-origin https://a.b/c`: expected"),
        (["--http", "0", "--tls-cert", "tools.yaml"], "error: no TLS with tools.yaml: "),
        (["--http", "0", "--tls-cert", "none.pem"], "error: no TLS with none.pem: no such file"),
        (["--http", "0", "--auth", "none.yaml"], "error: none.yaml: no such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_server_that_cannot_be_or_would_be_open_to_all_does_not_start(
    tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "cmdtool", "serve", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith(said), done.stderr


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "cmdtool", "serve", "--http", address]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr == f"error: `--http {address}`: cannot listen: address already in use\n"


@pytest.mark.parametrize("option", [["--drain", "5s"], ["--auth", "a"], ["--tls-key", "a"], ["--allow-host", "a"]])
def test_options_of_http_are_refused_without_it(tmp_path: Path, option: list[str]) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "cmdtool", "serve", *option]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"`{option[0]}` is for `--http`" in done.stderr


async def test_tls(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    with http_server(tmp_path, MANIFEST, "--tls-cert", "cert.pem", "--tls-key", "key.pem") as server:
        assert server.url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        async with (
            httpx2.AsyncClient(verify=trust) as http,
            Client(streamable_http_client(server.url, http_client=http)) as client,
        ):
            assert text_of(await client.call_tool("hello", {})) == "hello"
        async with httpx2.AsyncClient() as http:
            with pytest.raises(httpx2.HTTPError):
                await http.get(server.url.replace("https:", "http:"))


def write_certificate(folder: Path) -> None:
    """Write `cert.pem` and `key.pem` of 127.0.0.1, signed by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))


# --- health and the end ----------------------------------------------------------------------------------------------


async def test_health(shared: HttpServer) -> None:
    async with httpx2.AsyncClient() as http:
        for path, said in (("/healthz", "alive\n"), ("/readyz", "ready\n")):
            answer = await http.get(shared.root + path, headers={"Host": "10.1.2.3:8000"})  # as load balancers ask
            assert (answer.status_code, answer.text) == (200, said)


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_under_way_finishes_before_the_server_ends(server: HttpServer, tmp_path: Path, era: Era) -> None:
    results: list[str] = []

    async def call(client: Client) -> None:
        results.append(text_of(await client.call_tool("wait", {})))

    async with server.client(era) as client, httpx2.AsyncClient() as http, anyio.create_task_group() as tasks:
        tasks.start_soon(call, client)
        await command_of(tmp_path)
        server.process.terminate()
        await until(lambda: "ending on SIGTERM" in server.log)
        ready = await http.get(f"{server.root}/readyz")
        assert (ready.status_code, ready.text) == (503, "ending\n")
        assert (await http.get(f"{server.root}/healthz")).status_code == 200
        assert (await server.post("tools/call", {"name": "hello", "arguments": {}})).status_code == 503
        (tmp_path / "go").touch()
        await until(lambda: bool(results))
    assert results == ["went"]
    assert server.process.wait(10) == 128 + signal.SIGTERM


async def test_a_session_gets_no_new_calls_once_the_server_ends(server: HttpServer, tmp_path: Path) -> None:
    async with server.client("legacy") as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.call_tool, "wait", {})
        await command_of(tmp_path)
        server.process.send_signal(signal.SIGINT)
        await until(lambda: "ending on SIGINT" in server.log)
        with pytest.raises(MCPError, match="the server is ending"):
            await client.call_tool("hello", {})
        (tmp_path / "go").touch()
    assert server.process.wait(10) == 128 + signal.SIGINT


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_outlasts_the_drain_is_ended_with_its_tree(tmp_path: Path, era: Era) -> None:
    with http_server(tmp_path, MANIFEST, "--drain", "300ms") as server:
        async with server.client(era) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(_call_in_vain, client, "stubborn")
            command = await command_of(tmp_path)
            server.process.terminate()
            with anyio.fail_after(15):
                assert await anyio.to_thread.run_sync(server.process.wait) == 128 + signal.SIGTERM
            assert not is_running(command.pid)
            tasks.cancel_scope.cancel()
        assert "Traceback" not in server.log


async def _call_in_vain(client: Client, tool: str) -> None:
    with suppress(MCPError):
        await client.call_tool(tool, {})


async def test_a_second_signal_kills_at_once(server: HttpServer, tmp_path: Path) -> None:
    async with httpx2.AsyncClient(timeout=60) as http, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(_until_cut, http, server))
        command = await command_of(tmp_path)
        server.process.terminate()
        await until(lambda: "ending on SIGTERM" in server.log)
        server.process.terminate()
        with anyio.fail_after(10):
            await anyio.to_thread.run_sync(server.process.wait)
        await until(lambda: not command.is_running())


async def _until_cut(http: httpx2.AsyncClient, server: HttpServer) -> None:
    params = {"name": "stubborn", "arguments": {}}
    with pytest.raises(httpx2.HTTPError):
        await http.post(server.url, json=request("tools/call", params), headers=headers_for("tools/call", params))


async def test_an_idle_server_leaves_at_once_though_streams_are_open(server: HttpServer) -> None:
    async with server.client("legacy") as client:
        assert (await client.list_tools()).tools
        server.process.terminate()
        with anyio.fail_after(10):
            await anyio.to_thread.run_sync(server.process.wait)
    assert server.process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in server.log


async def test_a_hangup_reads_the_manifest_again(server: HttpServer, tmp_path: Path) -> None:
    for text, said in (("tools: {other: {command: echo}}", "serving other\n"), ("tools: [", "was not reloaded")):
        (tmp_path / "tools.yaml").write_text(text)
        server.process.send_signal(signal.SIGHUP)
        await until(lambda said=said: said in server.log)  # type: ignore[misc]
        answer = await server.post("tools/list")
        assert [tool["name"] for tool in answer.json()["result"]["tools"]] == ["other"]


# --- several replicas ------------------------------------------------------------------------------------------------


async def test_replicas_behind_a_plain_load_balancer_share_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    manifest = MANIFEST.replace("echo hello", "pwd")
    with http_server(folders[0], manifest) as one, http_server(folders[1], manifest) as two:
        async with balancer(one, two) as url:
            async with httpx2.AsyncClient(headers={"Connection": "close"}) as http:
                async with Client(streamable_http_client(url, http_client=http)) as client:
                    answers = [text_of(await client.call_tool("hello", {})) for _ in range(6)]
                    seen = Seen()
                    await client.call_tool("count", {}, progress_callback=seen)
    assert set(answers) == {str(folder) for folder in folders}
    assert seen.values[-1] == 5.0


CONFIRM = "tools: {wipe: {command: touch wiped, confirm: Really?}}"


@pytest.mark.parametrize("keys", ["k" * 32, "k" * 32 + ", " + "n" * 32, None], ids=["same", "turned over", "none"])
async def test_an_answer_may_reach_another_replica_where_they_share_a_key(tmp_path: Path, keys: str | None) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, ring in zip(folders, (keys, keys and ", ".join(reversed(keys.split(", ")))), strict=True):
        folder.mkdir()
        write_auth(folder, f"tokens: {{alice: {ALICE}}}\n" + (f"state_keys: [{ring}]\n" if ring else ""))
    option = ("--auth", "auth.yaml")

    async def say_yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={})

    with http_server(folders[0], CONFIRM, *option) as one, http_server(folders[1], CONFIRM, *option) as two:
        async with balancer(one, two) as url:
            headers = {"Connection": "close", **bearer(ALICE)}
            async with httpx2.AsyncClient(headers=headers) as http:
                transport = streamable_http_client(url, http_client=http)
                async with Client(transport, elicitation_callback=say_yes) as client:
                    if keys:
                        assert not (await client.call_tool("wipe", {})).is_error
                    else:
                        with pytest.raises(MCPError, match="Invalid or expired requestState"):
                            await client.call_tool("wipe", {})
        asked = [server for server in (one, two) if "wipe: asked" in server.log]
    assert len(asked) == 1
    wiped = [folder for folder in folders if (folder / "wiped").exists()]
    assert wiped == ([folders[1] if asked == [one] else folders[0]] if keys else [])


@asynccontextmanager
async def balancer(*servers: HttpServer) -> AsyncIterator[str]:
    """A proxy that hands each connection to the next server and looks at nothing."""
    ports = cycle([httpx2.URL(server.url).port for server in servers])

    async def hand_on(stream: anyio.abc.SocketStream) -> None:
        port = next(ports)
        assert port is not None
        async with stream, await anyio.connect_tcp("127.0.0.1", port) as upstream:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_copy, stream, upstream, tasks.cancel_scope)
                await _copy(upstream, stream, tasks.cancel_scope)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hand_on)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/mcp"
        tasks.cancel_scope.cancel()


async def _copy(source: Any, target: Any, end: anyio.CancelScope) -> None:
    try:
        async for block in source:
            await target.send(block)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    end.cancel()


async def test_an_older_client_is_told_that_the_list_of_tools_can_change(shared: HttpServer) -> None:
    async with shared.client("legacy") as client:
        assert client.server_capabilities.tools
        assert client.server_capabilities.tools.list_changed


async def test_a_manifest_that_is_a_circle_of_links_changes_nothing(server: HttpServer, tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").unlink()
    (tmp_path / "tools.yaml").symlink_to("tools.yaml")
    server.process.send_signal(signal.SIGHUP)
    await until(lambda: "the old one stays" in server.log)
    async with server.client() as client:
        assert (await client.list_tools()).tools
