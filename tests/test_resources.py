"""The output of runs as a client reads it: a real server process, the SDK's client over stdio, both protocol eras."""

import json
import re
import stat
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ReadResourceResult, ResourceLink, TextResourceContents

from cmdtool.host import LocalHost
from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, load
from cmdtool.process import Supervisor
from cmdtool.server import app, resources
from cmdtool.server.catalogue import Catalogue
from cmdtool.spool import Spool
from cmdtool.spool.store import EXPIRY
from tests.serving import ERAS, Era, server_command, serving, text_of
from tests.test_stdio import Server
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]

MANIFEST = r"""
tools:
  say: {arguments: {text: {type: string}}, command: [printf, '%s', '{text}']}
  count: {command: [seq, '60000']}
  both: {shell: 'seq 9 | tee /dev/stderr', output: {limit: 10}}
  failing: {shell: 'seq 60000; exit 3'}
  private: {command: [seq, '60000'], output: {spool: false}}
  silent: {command: 'true'}
"""

COUNTED = "".join(f"{number}\n" for number in range(1, 60001))


async def read(client: Client, uri: str) -> tuple[str, dict[str, Any], str]:
    """Return the text of a part, its place, and the note about it."""
    result: ReadResourceResult = await client.read_resource(uri)
    assert all(isinstance(part, TextResourceContents) for part in result.contents)
    texts = [part.text for part in result.contents if isinstance(part, TextResourceContents)]
    assert result.meta is not None
    return texts[0], result.meta["cmdtool/part"], "".join(texts[1:])


async def read_whole(client: Client, uri: str) -> str:
    """Read a stream part by part, as its answers say."""
    parts = []
    at: int | None = 0
    while at is not None:
        text, place, _ = await read(client, f"{uri}?from={at}")
        assert place["from"] == at
        parts.append(text)
        at = place["next"]
    return "".join(parts)


def uri_of(result: CallToolResult) -> str:
    assert result.meta is not None
    uri = result.meta["cmdtool/run"]["uri"]
    assert isinstance(uri, str)
    return uri


def error_code(era: Era) -> int:
    return -32602 if era == "auto" else -32002


# --- results ----------------------------------------------------------------------------------------------------------


async def test_a_result_that_leaves_something_out_links_to_all_of_it(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        for tool in ("count", "failing"):
            result = await client.call_tool(tool, {})
            (link,) = [block for block in result.content if isinstance(block, ResourceLink)]
            assert link.uri == f"{uri_of(result)}/stdout"
            assert (link.name, link.mime_type, link.size) == (f"stdout of {tool}", "text/plain", len(COUNTED))
            assert link.description is not None
            assert await read_whole(client, link.uri) == COUNTED


async def test_both_streams_are_kept_apart(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        result = await client.call_tool("both", {})
        links = [block for block in result.content if isinstance(block, ResourceLink)]
        assert [link.name for link in links] == ["stdout of both", "stderr of both"]
        for link in links:
            assert await read_whole(client, link.uri) == "1\n2\n3\n4\n5\n6\n7\n8\n9\n"


async def test_a_whole_result_has_no_link_but_its_output_can_be_read(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        result = await client.call_tool("say", {"text": "hello"})
        assert [block.type for block in result.content] == ["text"]
        text, place, note = await read(client, f"{uri_of(result)}/stdout")
    assert (text, note) == ("hello", "")
    assert place == {"from": 0, "to": 5, "size": 5, "running": False, "next": None}


@pytest.mark.parametrize("tool", ["private", "silent"])
async def test_where_nothing_is_kept_nothing_is_said_of_it(tmp_path: Path, era: Era, tool: str) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        result = await client.call_tool(tool, {})
        assert [block.type for block in result.content] == ["text"]
        assert result.meta is not None
        assert "uri" not in result.meta["cmdtool/run"]
        assert (await client.list_resources()).resources == []


async def test_the_facts_of_a_run_can_be_read(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        uri = uri_of(await client.call_tool("failing", {}))
        (part,) = (await client.read_resource(uri)).contents
    assert isinstance(part, TextResourceContents)
    facts = json.loads(part.text)
    assert facts["output"] == {"stdout": {"uri": f"{uri}/stdout", "size": len(COUNTED)}}
    assert (facts["tool"], facts["ended_by"], facts["exit_status"]) == ("failing", "exit", 3)
    assert facts["started"] <= facts["ended"]
    assert "caller" not in facts


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_runs_are_listed_page_by_page_newest_first(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        uris = [f"{uri_of(await client.call_tool('say', {'text': str(number)}))}/stdout" for number in range(60)]
        first = await client.list_resources()
        assert len(first.resources) == 50
        second = await client.list_resources(cursor=first.next_cursor)
        assert second.next_cursor is None
        assert [resource.uri for resource in (*first.resources, *second.resources)] == uris[::-1]
        assert (first.resources[0].name, first.resources[0].size) == ("stdout of say", 2)
        with pytest.raises(MCPError, match="cursor"):
            await client.list_resources(cursor="nonsense")


async def test_the_template_names_what_can_be_asked(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        assert client.server_capabilities.resources is not None
        assert client.server_capabilities.resources.subscribe
        (template,) = (await client.list_resource_templates()).resource_templates
    assert template.uri_template == "cmdtool://runs/{id}/{stream}{?from,to,search,pattern}"
    assert template.mime_type == "text/plain"


async def test_a_later_server_of_the_same_manifest_has_the_runs_of_the_earlier_one(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        uri = uri_of(await client.call_tool("count", {}))
    async with serving(tmp_path, MANIFEST, era) as client:
        assert [resource.uri for resource in (await client.list_resources()).resources] == [f"{uri}/stdout"]
        assert await read_whole(client, f"{uri}/stdout") == COUNTED
    (tmp_path / "other").mkdir()
    async with serving(tmp_path / "other", MANIFEST, era) as client:
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match="not found"):
            await client.read_resource(f"{uri}/stdout")


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_parts_end_with_lines_and_say_where_to_go_on(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        uri = f"{uri_of(await client.call_tool('count', {}))}/stdout"
        text, place, note = await read(client, uri)
        size = len(COUNTED)
        assert COUNTED.startswith(text)
        assert text.endswith("\n")
        assert 60_000 < len(text) <= 65_536
        assert note == f"[bytes 0 to {len(text):,} of {size:,}; go on with {uri}?from={len(text)}]"
        text, place, note = await read(client, f"{uri}?from=-12")
        assert (text, place["to"], place["next"]) == ("59999\n60000\n", size, None)
        assert note == f"[bytes {size - 12:,} to {size:,} of {size:,}]"
        assert (await read(client, f"{uri}?from=2&to=-6"))[1]["next"] is not None
        assert (await read(client, f"{uri}?from=2&to=5"))[0] == "2\n3"
        assert (await read(client, f"{uri}?from={size + 5}"))[0] == ""
        assert (await read(client, f"{uri}?from=5&to=2"))[0] == ""


async def test_a_part_is_cut_between_characters(tmp_path: Path, era: Era) -> None:
    words = "aé日本🎉" * 20
    size = len(words.encode())
    async with serving(tmp_path, MANIFEST, era) as client:
        uri = f"{uri_of(await client.call_tool('say', {'text': words}))}/stdout"
        for step in (1, 5, 7):
            borders = [*range(0, size, step), size]
            parts = [(await read(client, f"{uri}?from={start}&to={end}"))[0] for start, end in pairwise(borders)]
            assert "".join(parts) == words


async def test_what_is_read_is_clean(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        result = await client.call_tool("say", {"text": "\x1b[31mred\x1b[0m 10%\r20%\u202e\x07"})
        assert (await read(client, f"{uri_of(result)}/stdout"))[0] == "20%<U+202E>"


async def test_a_search_gives_the_lines_that_match_with_their_offsets(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        uri = f"{uri_of(await client.call_tool('count', {}))}/stdout"
        text, place, note = await read(client, f"{uri}?search=5999")
        assert text.splitlines()[0] == f"{COUNTED.index('5999')}: 5999"
        assert len(text.splitlines()) == 16  # 5999 to 55999, and 59990 to 59999
        assert (place["to"], place["next"], note) == (
            len(COUNTED),
            None,
            f"[lines that match in bytes 0 to {len(COUNTED):,} of {len(COUNTED):,}]",
        )
        text, _, _ = await read(client, f"{uri}?pattern={quote('^(7|60)0{3}$', safe='')}")
        assert text == f"{COUNTED.index('7000')}: 7000\n{COUNTED.index('60000')}: 60000"
        text, _, note = await read(client, f"{uri}?search=nothing&from=-100")
        assert text == ""
        assert note.startswith("[no line matches in bytes")


async def test_a_search_with_many_matches_goes_on_where_it_says(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        uri = f"{uri_of(await client.call_tool('count', {}))}/stdout"
        asked = f"{uri}?search=77"
        found: list[str] = []
        while True:
            text, place, note = await read(client, asked)
            lines = text.splitlines()
            assert len(lines) <= 100
            found += [line.partition(": ")[2] for line in lines]
            if place["next"] is None:
                break
            match = re.search(r"go on with (\S+)\]$", note)
            assert match is not None
            asked = match[1]
    assert found == [line for line in COUNTED.splitlines() if "77" in line]


async def test_a_pattern_that_takes_long_stops_where_it_says_and_holds_up_nobody(tmp_path: Path, era: Era) -> None:
    manifest = "tools: {xs: {shell: 'head -c 1000000 /dev/zero | tr \"\\0\" x'}}"
    async with serving(tmp_path, manifest, era) as client:
        uri = f"{uri_of(await client.call_tool('xs', {}))}/stdout"
        async with anyio.create_task_group() as tasks:
            places: list[dict[str, Any]] = []

            async def search() -> None:
                pattern = quote("(?:x?){1000}x{1000}y")
                places.append((await read(client, f"{uri}?pattern={pattern}"))[1])

            tasks.start_soon(search)
            while not places:
                with anyio.fail_after(5):
                    await client.list_tools()
    assert places[0]["next"] == places[0]["to"]
    assert 0 < places[0]["to"] < 1_000_000


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=x", "offset in bytes"),
        ("from=1&from=2", "each once"),
        ("frm=1", "`from`, `to`"),
        ("search=a&pattern=b", "`search` or `pattern`"),
        ("search=", "empty"),
        ("pattern=(", "never closed"),
        ("pattern=" + "x" * 1001, "longer than"),
        ("pattern=" + quote("(?=x)"), "look-around"),
        ("=", "each once"),
        ("from", "cannot be read"),
        ("from=9" + "9" * 50, "offset in bytes"),
    ],
)
async def test_a_query_that_makes_no_sense_is_told_what_would(tmp_path: Path, era: Era, query: str, words: str) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        uri = f"{uri_of(await client.call_tool('say', {'text': 'x'}))}/stdout"
        with pytest.raises(MCPError, match=re.escape(words)) as caught:
            await client.read_resource(f"{uri}?{query}")
    assert caught.value.error.code == -32602


async def test_what_is_not_there_is_not_found(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, MANIFEST, era) as client:
        run = uri_of(await client.call_tool("say", {"text": "x"}))
        (tmp_path / "secret").write_text("secret")
        wrong = [
            f"cmdtool://runs/{'0' * 32}/stdout",
            f"cmdtool://runs/{'0' * 32}",
            f"{run}/stderr",
            f"{run}/meta.json",
            f"{run}/../{run[-32:]}/stdout",
            f"{run}/stdout/",
            f"{run}%2Fstdout",
            f"cmdtool://runs/../../{tmp_path}/secret",
            f"cmdtool://runs/%2e%2e/{run[-32:]}/stdout",
            f"{run.upper()}/stdout",
            "file:///etc/passwd",
            "",
        ]
        for uri in wrong:
            with pytest.raises(MCPError, match="not found") as caught:
                await client.read_resource(uri)
            assert caught.value.error.code == error_code(era), uri
            assert caught.value.error.data == {"uri": uri}


async def test_what_one_caller_started_another_cannot_read(
    tmp_path: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = "ann"
    for module in (app, resources):
        monkeypatch.setattr(module, "caller_of", lambda ctx: caller)
    manifest = load([Source("tools.yaml", str(tmp_path), MANIFEST)], builtin_parsers())
    served = app.App(Catalogue(manifest), LocalHost(), Supervisor(), Spool(tmp_path / "runs", "a")).server()
    async with Client(served, mode=era) as client:
        uri = f"{uri_of(await client.call_tool('say', {'text': 'mine'}))}/stdout"
        assert (await read(client, uri))[0] == "mine"
        caller = "bob"
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match="not found"):
            await client.read_resource(uri)
        caller = "ann"
        assert [resource.uri for resource in (await client.list_resources()).resources] == [uri]


# --- the folder, and older clients ------------------------------------------------------------------------------------


async def test_an_idle_server_removes_what_has_expired(
    tmp_path: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "TIDY_EVERY", 0.01)
    manifest = load([Source("tools.yaml", str(tmp_path), MANIFEST)], builtin_parsers())
    runs = tmp_path / "runs"
    with Spool(runs, "a", now=lambda: time.time() - EXPIRY - 60).begin("0" * 32, "say", None) as output:
        output.feed("stdout", b"x")
    assert list(runs.iterdir())
    served = app.App(Catalogue(manifest), LocalHost(), Supervisor(), Spool(runs, "a")).server()
    async with Client(served, mode=era):
        await until(lambda: not list(runs.iterdir()))


async def test_the_folder_can_be_chosen(tmp_path: Path, era: Era) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    command = server_command(tmp_path / "tools.yaml")
    chosen = command.model_copy(update={"args": [*command.args, "--spool", str(tmp_path / "chosen")]})
    async with Client(chosen, mode=era) as client:
        uri = uri_of(await client.call_tool("say", {"text": "hello"}))
    folder = tmp_path / "chosen" / uri[-32:]
    assert (folder / "stdout").read_text() == "hello"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_folder_that_cannot_be_used_fails_no_call(tmp_path: Path, era: Era) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    (tmp_path / "file").touch()
    command = server_command(tmp_path / "tools.yaml")
    chosen = command.model_copy(update={"args": [*command.args, "--spool", str(tmp_path / "file" / "spool")]})
    async with Client(chosen, mode=era) as client:
        result = await client.call_tool("count", {})
        assert not result.is_error
        assert text_of(result).endswith("\n60000\n[not all of the output was kept: not a directory]")
        assert (await client.list_resources()).resources == []


async def test_a_full_disk_fails_no_call_and_what_was_kept_can_be_read(tmp_path: Path, era: Era) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    command = server_command(tmp_path / "tools.yaml")
    script = f'ulimit -f 100; exec {command.command} "$@"'  # files of the server may have 100 KiB
    limited = command.model_copy(update={"command": "bash", "args": ["-c", script, "bash", *command.args]})
    async with Client(limited, mode=era) as client:
        result = await client.call_tool("count", {})
        assert not result.is_error
        assert text_of(result).endswith("\n60000\n[not all of the output was kept: file too large]")
        whole = await read_whole(client, f"{uri_of(result)}/stdout")
    assert whole == COUNTED[: 100 * 1024]


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
async def test_a_client_that_knows_no_links_gets_the_uri_as_text(tmp_path: Path, era: Era, revision: str) -> None:
    if era == "auto":
        pytest.skip("older revisions only")
    server = Server(tmp_path, revision)
    server.send("tools/call", {"name": "flood_once", "arguments": {}}, 2)
    result = server.receive()["result"]
    server.end()
    uri = f"{result['_meta']['cmdtool/run']['uri']}/stdout"
    kinds = [block["type"] for block in result["content"]]
    if revision < "2025-06-18":
        assert kinds == ["text"]
        assert result["content"][0]["text"].endswith(f"\n[all of stdout of flood_once: {uri}]")
    else:
        assert kinds == ["text", "resource_link"]
        assert result["content"][1]["uri"] == uri
