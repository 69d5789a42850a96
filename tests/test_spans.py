"""Spans and traces of calls: a real client, `cmdtool serve` as a process, and a collector that takes what it says."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cmdtool.output import Excerpt
from cmdtool.process import Exit
from cmdtool.run import RunResult
from cmdtool.server.calls import Calls
from cmdtool.server.capabilities import TASKS
from tests.http_serving import http_server
from tests.serving import ERAS, Era, server_command, text_of
from tests.waiting import until

pytestmark = pytest.mark.anyio

MANIFEST = r"""
tools:
  trace: {command: [sh, -c, 'echo "$TRACEPARENT|$TRACESTATE"']}
  own: {command: [sh, -c, 'echo "$TRACEPARENT"'], env: {TRACEPARENT: mine}}
  fail: {arguments: {word: {type: string}}, shell: 'echo "$word"; echo oops >&2; exit 3'}
  slow: {command: [sleep, '300'], timeout: 200ms, grace: 100ms}
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector:
    """Takes spans as an OpenTelemetry collector does (OTLP over HTTP)."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(
                        {each.key: each.value.string_value for each in group.resource.attributes}
                    )
                    collector.spans += [span for scope in group.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    def find(self, name: str) -> Span | None:
        """Return the span of that name, if it has come."""
        return next((span for span in self.spans if span.name == name), None)

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    started = Collector()
    yield started
    started.end()


@asynccontextmanager
async def serving(
    folder: Path, variables: dict[str, str], era: Era = "auto", log: Path | None = None
) -> AsyncIterator[Client]:
    path = folder / "tools.yaml"
    path.write_text(MANIFEST)
    command = server_command(path)
    env = {**(command.env or {}), "NO_PROXY": "127.0.0.1", **variables}
    words = [command.command, *command.args]
    if log:
        words = ["sh", "-c", 'exec "$@" 2>"$0"', str(log), *words]
    server = StdioServerParameters(command=words[0], args=words[1:], env=env)
    async with Client(server, mode=era) as client:
        yield client


def trace_meta(state: str | None = None) -> Any:
    """Return the `_meta` of a request that belongs to a trace."""
    return {"traceparent": PARENT} | ({"tracestate": state} if state else {})


def facts(span: Span) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in span.attributes}


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_is_a_span_with_the_facts_of_its_run_that_leaves_before_the_server(
    tmp_path: Path, collector: Collector, era: Era
) -> None:
    async with serving(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, era) as client:
        await client.call_tool("fail", {"word": "orchid"}, meta=trace_meta())
    await until(lambda: collector.find("tools/call fail") is not None)
    span = collector.find("tools/call fail")
    assert span
    told = facts(span)
    assert told["gen_ai.tool.name"] == "fail"
    assert told["cmdtool.ended_by"] == "exit"
    assert told["cmdtool.exit_status"] == 3
    assert told["cmdtool.success"] is False
    assert (told["cmdtool.stdout_bytes"], told["cmdtool.stderr_bytes"], told["cmdtool.bytes_left_out"]) == (7, 5, 0)
    assert 0 <= told["cmdtool.duration"] < 60
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    assert "orchid" not in str(collector.spans)
    assert collector.resources[0]["service.name"] == "cmdtool"


async def test_a_timeout_is_told_and_the_service_has_the_name_that_it_was_given(
    tmp_path: Path, collector: Collector
) -> None:
    asked = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "media"}
    async with serving(tmp_path, asked) as client:
        await client.call_tool("slow", {})
    await until(lambda: collector.find("tools/call slow") is not None)
    span = collector.find("tools/call slow")
    assert span
    assert facts(span)["cmdtool.ended_by"] == "timeout"
    assert "cmdtool.exit_status" not in facts(span)
    assert collector.resources[0]["service.name"] == "media"


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}], ids=str)
async def test_the_usual_variables_turn_it_off(tmp_path: Path, collector: Collector, variables: dict[str, str]) -> None:
    async with serving(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}) as client:
        assert text_of(await client.call_tool("trace", {})) == "|"
    assert collector.spans == []


async def test_a_collector_that_is_away_holds_up_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as client:
        assert "|" in text_of(await client.call_tool("trace", {}))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "nowhere"}, "no exporter `nowhere` is installed"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"}, "no exporter `pigeon`"),
    ],
)
async def test_what_is_wrong_is_logged_and_the_server_serves(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    log = tmp_path / "log"
    async with serving(tmp_path, variables, log=log) as client:
        assert text_of(await client.call_tool("trace", {})) == "|"
    assert f"asks for spans, which cannot be had: {said}" in log.read_text()


# --- the command's environment ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_command_gets_the_trace_of_the_request(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, {}, era) as client:
        meta = trace_meta("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
        assert (
            text_of(await client.call_tool("trace", {}, meta=meta))
            == f"{PARENT}|congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
        )
        assert text_of(await client.call_tool("own", {}, meta=meta)) == "mine"
        assert text_of(await client.call_tool("trace", {})) == "|"


@pytest.mark.parametrize(
    "parent",
    [
        PARENT.upper(),
        PARENT[:-1],
        f"ff{PARENT[2:]}",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"{PARENT}-more",
        f"{PARENT}\nLD_PRELOAD=x",
        "x" * 10_000,
        5,
        [5, PARENT],
        {"a": PARENT},
        None,
    ],
    ids=lambda parent: str(parent)[:40],
)
async def test_a_trace_that_is_malformed_is_dropped(tmp_path: Path, parent: Any) -> None:
    meta: Any = {"traceparent": parent, "tracestate": "a=b"}
    with http_server(tmp_path, MANIFEST) as server:
        params = {"name": "trace", "arguments": {}}
        answer = await server.post("tools/call", params, meta=meta)
    assert '"text":"|"' in answer.text, answer.text


async def test_a_tracestate_that_is_malformed_is_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path, {}) as client:
        result = await client.call_tool("trace", {}, meta=trace_meta("a=\x1b[1m\nB"))
    assert text_of(result) == f"{PARENT}|"


async def test_with_spans_the_command_is_a_child_of_the_servers(tmp_path: Path, collector: Collector) -> None:
    async with serving(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as client:
        printed = text_of(await client.call_tool("trace", {}, meta=trace_meta()))
    await until(lambda: collector.find("tools/call trace") is not None)
    span = collector.find("tools/call trace")
    assert span
    assert printed == f"00-{TRACE}-{span.span_id.hex()}-01|"


# --- tasks -----------------------------------------------------------------------------------------------------------


async def test_the_run_of_a_task_is_a_span_below_that_of_its_request(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    script = "until [ -e go ]; do sleep 0.02; done; echo $TRACEPARENT | tee seen; exit 3"
    manifest = f"tools: {{work: {{shell: '{script}', task: always}}}}"
    with http_server(tmp_path, manifest) as server:
        capable: Any = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}
        params = {"name": "work", "arguments": {}}
        answer = await server.post("tools/call", params, meta=capable | trace_meta())
        assert answer.json()["result"]["resultType"] == "task"
        (tmp_path / "go").touch()
        await until(lambda: collector.find("task work") is not None)
    request, run = collector.find("tools/call work"), collector.find("task work")
    assert request
    assert run
    assert (run.trace_id, run.parent_span_id) == (request.trace_id, request.span_id)
    assert run.end_time_unix_nano > request.end_time_unix_nano
    told = facts(run)
    assert (told["gen_ai.tool.name"], told["cmdtool.ended_by"], told["cmdtool.exit_status"]) == ("work", "exit", 3)
    assert (told["cmdtool.stdout_bytes"], told["cmdtool.success"]) == (56, False)
    assert (run.status.code, request.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
    assert (tmp_path / "seen").read_text() == f"00-{TRACE}-{run.span_id.hex()}-01\n"


# --- in this process -------------------------------------------------------------------------------------------------


def test_a_span_that_has_ended_takes_nothing_and_no_argument_is_told() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("tests").start_span("call")
    nothing = Excerpt(b"", 0, b"")
    result = RunResult(True, None, "exit", Exit(0, None), 1.0, Excerpt(b"a", 7, b"b"), nothing, sizes={"stdout": 9})
    with trace.use_span(span, end_on_exit=True), Calls().one("copy", "alice") as record:
        record.take(result)
    with trace.use_span(span), Calls().one("copy", "alice") as record:
        record.ended_by = "arguments"
    [ended] = exporter.get_finished_spans()
    assert dict(ended.attributes or {}) == {
        "cmdtool.ended_by": "exit",
        "cmdtool.success": True,
        "cmdtool.exit_status": 0,
        "cmdtool.duration": 1.0,
        "cmdtool.stdout_bytes": 9,
        "cmdtool.stderr_bytes": 0,
        "cmdtool.bytes_left_out": 7,
    }


def test_nothing_of_it_is_imported_without_being_asked() -> None:
    script = "import sys, cmdtool.commands.serve, cmdtool.server.spans as s; s.set_up_spans(); print(*sys.modules)"
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "opentelemetry.trace" in modules
    assert [name for name in modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))] == []


def test_without_opentelemetry_the_log_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry_gone.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    script = (
        "import logging, opentelemetry_gone, cmdtool.server.spans as spans\n"
        "logging.basicConfig(format='%(message)s')\nspans.set_up_spans()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OTEL_TRACES_EXPORTER": "otlp"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http" in done.stderr
    assert "Traceback" not in done.stderr
