"""`/metrics` over HTTP: what is counted, who may read it, and that no word of a client is in it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio
import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.http_serving import HttpServer, http_server
from tests.test_auth import ALICE, BOB, bearer, write_auth
from tests.waiting import until

pytestmark = pytest.mark.anyio

MANIFEST = r"""
concurrency: 1
tools:
  hello: {command: 'echo {word}'}
  fail: {command: [sh, -c, 'echo no >&2; exit 3']}
  slow: {command: [sleep, '300'], timeout: 100ms, grace: 100ms}
  nowhere: {command: no-such-program-anywhere}
  data: {command: echo no json, output: json}
  wait: {shell: 'echo $$ > pid; until [ -e go ]; do sleep 0.02; done'}
"""


async def read(server: HttpServer, headers: dict[str, str] | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=60) as http:
        return await http.get(f"{server.root}/metrics", headers=headers)


async def samples(server: HttpServer, headers: dict[str, str] | None = None) -> dict[str, float]:
    """Return the values by name and labels, as in `cmdtool_calls_total{hello,success}`."""
    answer = await read(server, headers)
    assert answer.status_code == 200
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = sorted(sample.labels, key=lambda name: name != "tool")
            found[f"{sample.name}{{{','.join(sample.labels[name] for name in labels)}}}"] = sample.value
    return found


async def test_calls_are_counted_by_tool_and_outcome(tmp_path: Path) -> None:
    with http_server(tmp_path, MANIFEST) as server:
        call = partial(server.post, "tools/call")
        for _ in range(2):
            await call({"name": "hello", "arguments": {"word": "orchid"}})
        await call({"name": "hello", "arguments": {"wrong": "orchid"}})
        for name in ("fail", "slow", "nowhere", "data", "orchid", "<orchid>"):
            await call({"name": name, "arguments": {}})
        text = (await read(server)).text
        found = await samples(server)
    assert "orchid" not in text
    calls = {name: value for name, value in found.items() if name.startswith("cmdtool_calls_total")}
    assert calls == {
        "cmdtool_calls_total{hello,success}": 2,
        "cmdtool_calls_total{hello,arguments}": 1,
        "cmdtool_calls_total{fail,exit}": 1,
        "cmdtool_calls_total{slow,timeout}": 1,
        "cmdtool_calls_total{nowhere,start}": 1,
        "cmdtool_calls_total{data,exit}": 1,
        "cmdtool_calls_total{unknown,unknown}": 2,
    }
    assert found["cmdtool_killed_total{slow,timeout}"] == 1
    assert found["cmdtool_output_bytes_total{hello,stdout}"] == 14
    assert found["cmdtool_output_bytes_total{fail,stderr}"] == 3
    assert found["cmdtool_call_duration_seconds_count{hello}"] == 2
    assert found["cmdtool_call_duration_seconds_bucket{slow,0.05}"] == 0
    assert found["cmdtool_call_duration_seconds_sum{slow}"] >= 0.1
    assert "cmdtool_call_duration_seconds_count{nowhere}" not in found
    assert found["process_resident_memory_bytes{}"] > 0


async def test_calls_that_run_wait_and_are_cancelled_are_seen(tmp_path: Path) -> None:
    with http_server(tmp_path, MANIFEST) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(server.post, "tools/call", {"name": "wait", "arguments": {}})
            await until_found(server, {"cmdtool_calls_running{}": 1, "cmdtool_calls_waiting{}": 2})
            await until(lambda: (tmp_path / "pid").exists(), 20)
            tasks.cancel_scope.cancel()
        gone = {"cmdtool_calls_running{}": 0, "cmdtool_calls_waiting{}": 0}
        await until_found(server, gone | {"cmdtool_calls_total{wait,cancel}": 3})
        # Of those that waited no command was there to be ended; the cancel of one may have let another one start.
        assert 1 <= (await samples(server))["cmdtool_killed_total{wait,cancel}"] <= 3


async def until_found(server: HttpServer, expected: Mapping[str, float]) -> None:
    with anyio.fail_after(30):
        while not expected.items() <= (await samples(server)).items():  # noqa: ASYNC110 - another process counts
            await anyio.sleep(0.02)


@pytest.mark.parametrize(
    ("headers", "status"), [({"Host": "evil.example"}, 421), ({"Origin": "https://evil.example"}, 403), ({}, 200)]
)
async def test_foreign_hosts_and_origins_are_refused(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    with http_server(tmp_path, MANIFEST) as server:
        answer = await read(server, headers)
    assert answer.status_code == status
    assert ("cmdtool_calls" in answer.text) == (status == 200)


async def test_where_there_are_tokens_one_must_say_that_it_may(tmp_path: Path) -> None:
    write_auth(tmp_path, f"tokens: {{alice: {ALICE}, prometheus: {{token: {BOB}, tools: [], metrics: true}}}}")
    with http_server(tmp_path, MANIFEST, "--auth", "auth.yaml") as server:
        assert (await read(server)).status_code == 401
        assert (await read(server, bearer(ALICE))).status_code == 403
        assert (await read(server, bearer(BOB) | {"Host": "evil.example"})).status_code == 421
        await server.post("tools/call", {"name": "hello", "arguments": {"word": "x"}}, bearer(ALICE))
        hidden = {"name": "hello", "arguments": {"word": "x"}}
        assert (await server.post("tools/call", hidden, bearer(BOB))).status_code == 400
        found = await samples(server, bearer(BOB))
    assert found["cmdtool_calls_total{hello,success}"] == 1
    assert found["cmdtool_calls_total{unknown,unknown}"] == 1
