"""Results that are data, and the files that come with a result: the pure part, and with real clients of both eras."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mcp_types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from cmdtool.made_files import MadeFile
from cmdtool.masking import Secrets
from cmdtool.model import Tool
from cmdtool.output import Capture, Excerpt
from cmdtool.process import Exit
from cmdtool.run import RunResult
from cmdtool.schema import output_schema
from cmdtool.server.answers import data_result, file_blocks
from cmdtool.server.results import list_tool
from cmdtool.spool import Record
from tests.serving import ERAS, Era, Seen, serving, text_of

pytestmark = pytest.mark.anyio

VERSION = "2025-11-25"
RESULT_SIZE = "anthropic/maxResultSizeChars"
OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def tool(**output: Any) -> Tool:
    return Tool.model_validate({"name": "t", "folder": "/", "output": output})


def data_of(printed: bytes, version: str = VERSION, *, outcome: str | None = None, **output: Any) -> CallToolResult:
    made = tool(**output)
    capture = Capture(made.output.limit)
    capture.feed(printed)
    excerpt = capture.excerpt(made.output.limit)
    result = RunResult(True, outcome, "exit", Exit(0, None), 1.0, excerpt, Excerpt(b"", 0, b""))
    return data_result(made, result, version)


@pytest.mark.parametrize(
    ("printed", "schema", "data"),
    [
        (b'{"n": 1}\n', None, {"n": 1}),
        (b"[1, 2]", None, {"result": [1, 2]}),
        (b"null", None, {"result": None}),
        (b'{"n": 1}', OBJECT, {"n": 1}),
        (b"[1]", {"type": "array"}, {"result": [1]}),
        (b'{"n": 1}', {"anyOf": [OBJECT, {"type": "null"}]}, {"result": {"n": 1}}),
        (b"\xef\xbb\xbf{}", None, {}),
        ('{"é": "\u202e\\u001b[1mx\\r\\n"}'.encode(), None, {"é": "<U+202E>x\n"}),
        (b'"\\ud800"', None, {"result": "<U+D800>"}),
        (b"[" * 100 + b"]" * 100, None, {"result": json.loads("[" * 100 + "]" * 100)}),
    ],
)
def test_json_is_an_object_or_stands_under_result(printed: bytes, schema: Any, data: Any) -> None:
    result = data_of(printed, format="json", schema=schema)
    assert not result.is_error, text_of(result)
    assert result.structured_content == data
    assert json.loads(text_of(result)) == data
    assert json.loads(result.model_dump_json(by_alias=True))["structuredContent"] == data


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (b"", "is not JSON: expecting value at line 1, column 1"),
        (b'{"n": 1}\nstray', "is not JSON: extra data at line 2, column 1"),
        (b'{"n": NaN}', "a number is infinite, far too long, or none at all"),
        (b'{"n": 1e999}', "a number is infinite"),
        (b"9" * 5000, "a number is infinite, far too long"),
        (b"[" * 101 + b"]" * 101, "nested more than 100 deep"),
        (b"[" * 200_000, "nested more than 100 deep"),
        (b"[" + b"0," * 100_000 + b"0]", "holds more than 100,000 values"),
        (b'{"n": "x"}', 'does not fit `output.schema` of tool `t`: `n`: expected an integer, found "x"'),
        (b"{}", "does not fit `output.schema` of tool `t`: 'n' is a required property"),
        (b"[]", "does not fit `output.schema` of tool `t`: expected an object, found []"),
    ],
)
def test_what_is_not_the_json_that_was_promised_is_an_error_with_the_text(printed: bytes, words: str) -> None:
    result = data_of(printed, format="json", schema=OBJECT)
    assert result.is_error
    assert result.structured_content is None
    text = text_of(result)
    assert "[standard output " in text
    assert words in text
    assert text.startswith(printed[:20].decode() or "[")
    assert len(text) < 70_000


def test_json_that_was_cut_names_the_key_to_raise() -> None:
    result = data_of(b'"' + b"x" * 5000 + b'"', format="json", limit=1000)
    assert result.is_error
    words = "is no whole JSON, 4,002 bytes are left out: raise `output.limit` of tool `t` (1,000)"
    assert text_of(result).endswith(f"[standard output {words}]")


@pytest.mark.parametrize(
    ("printed", "data"),
    [
        (b"", {"lines": []}),
        (b"a\nb\n", {"lines": ["a", "b"]}),
        (b"a\r\n\n\x1b[1mb\x1b[m", {"lines": ["a", "", "b"]}),
        (b"\n", {"lines": [""]}),
    ],
)
def test_lines_are_texts(printed: bytes, data: Any) -> None:
    assert data_of(printed, format="lines").structured_content == data


@pytest.mark.parametrize("schema", [None, {}])
def test_lines_without_end_are_refused(schema: Any) -> None:
    result = data_of(b"0\n" * 100_001, format="lines", schema=schema)
    assert text_of(result).endswith("[standard output holds more than 100,000 values]")


def test_lines_with_a_schema_are_json() -> None:
    result = data_of(b'{"n": 1}\r\n\n{"n": 2}\n', format="lines", schema=OBJECT)
    assert result.structured_content == {"lines": [{"n": 1}, {"n": 2}]}
    assert data_of(b"1\n[]\n", format="lines", schema={}).structured_content == {"lines": [1, []]}
    wrong = data_of(b'{"n": 1}\n{"n": "x"}\n', format="lines", schema=OBJECT)
    assert '`lines[1].n`: expected an integer, found "x"' in text_of(wrong)
    broken = data_of(b'{"n": 1}\n\n{"n\n', format="lines", schema=OBJECT)
    assert "[standard output line 3 is not JSON: unterminated string" in text_of(broken)


def test_of_lines_that_were_cut_whole_ones_are_left() -> None:
    printed = b"".join(b"%04d\n" % number for number in range(1000))
    data: Any = data_of(printed, format="lines", limit=103).structured_content
    lines = data["lines"]
    assert lines[:2] == ["0000", "0001"]
    assert lines[-1] == "0999"
    assert all(len(line) == 4 for line in lines)
    assert data["bytes_left_out"] == len(printed) - 5 * len(lines)


def test_an_outcome_stands_beside_the_data() -> None:
    result = data_of(b"{}", format="json", outcome="exit status 3")
    assert [block.text for block in result.content if isinstance(block, TextContent)] == ["{}", "[exit status 3]"]


def test_a_client_from_before_structured_results_gets_the_text_only() -> None:
    result = data_of(b"{}", "2025-03-26", format="json")
    assert (text_of(result), result.structured_content) == ("{}", None)
    assert list_tool(tool(format="json"), "2025-03-26").output_schema is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_json_comes_through_and_fits_what_was_listed(value: Any) -> None:
    made = tool(format="json")
    result = data_of(json.dumps(value).encode(), format="json")
    schema = output_schema(made)
    assert schema is not None
    assert not result.is_error
    Draft202012Validator(schema).validate(result.structured_content)
    assert json.loads(result.model_dump_json(by_alias=True))["structuredContent"] == result.structured_content


@pytest.mark.parametrize(
    ("output", "size"),
    [({}, None), ({"limit": "64KiB"}, None), ({"limit": 100_000}, 101_024), ({"format": "json"}, 1024 * 1025)],
)
def test_a_tool_says_how_long_its_results_can_be_where_that_is_unusual(output: Any, size: int | None) -> None:
    meta = list_tool(tool(**output), VERSION).meta
    assert meta == (size and {RESULT_SIZE: size})
    assert list_tool(tool(**output), "2025-03-26").meta is None


# --- with real clients -----------------------------------------------------------------------------------------------

TOOLS = """
tools:
  facts:
    shell: 'echo "$text"; echo noise >&2; exit "$status"'
    arguments: {text: {type: string}, status: {type: integer, default: 0}}
    success: [0, 3]
    output:
      format: json
      schema: {type: object, properties: {n: {type: integer, minimum: 1}}, required: [n]}
  free: {command: 'cat {path}', arguments: {path: {type: string}}, output: json}
  names: {command: 'printf "%s\\n" a b', output: lines}
  records: {command: 'printf %s "{{}}\\n"', output: {format: lines, schema: {type: object}}}
"""


@pytest.mark.parametrize("era", ERAS)
async def test_data_reaches_a_client_that_checks_it(tmp_path: Path, era: Era) -> None:
    seen = Seen()
    async with serving(tmp_path, TOOLS, era) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        fine = await client.call_tool("facts", {"text": '{"n": 2}'})
        warned = await client.call_tool("facts", {"text": '{"n": 2}', "status": 3})
        unfit = await client.call_tool("facts", {"text": '{"n": 0}'}, progress_callback=seen)
        failed = await client.call_tool("facts", {"text": '{"n": 2}', "status": 1})
        names = await client.call_tool("names")
    assert listed["facts"].output_schema == {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1}},
        "required": ["n"],
    }
    assert listed["free"].output_schema == {"type": "object"}
    assert (fine.structured_content, text_of(fine)) == ({"n": 2}, '{"n": 2}')
    assert (warned.is_error, text_of(warned)) == (False, '{"n": 2}\n[exit status 3]')
    assert unfit.is_error
    assert "`n`: 0 is less than the minimum of 1" in text_of(unfit)
    assert not any(total is not None and value >= total for value, total, _ in seen.updates)
    assert failed.is_error
    assert failed.structured_content is None
    assert text_of(failed) == '{"n": 2}\n--- standard error ---\nnoise\n[exit status 1]'
    assert names.structured_content == {"lines": ["a", "b"]}


async def test_large_json_is_whole_and_stalls_nobody(tmp_path: Path) -> None:
    value = [{"name": f"file {number}", "size": number} for number in range(20_000)]
    (tmp_path / "large.json").write_text(json.dumps(value))
    async with serving(tmp_path, TOOLS) as client:
        result = await client.call_tool("free", {"path": "large.json"})
    assert result.structured_content == {"result": value}


# --- files -----------------------------------------------------------------------------------------------------------


def png() -> bytes:
    """A picture of one grey pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\x00\x80")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


FILES = """
tools:
  render:
    arguments: {output: {type: string, format: path}, status: {type: integer, default: 0}}
    shell: 'cp source.png "$output"; echo text > notes.txt; echo made; exit $status'
    output: {files: ['{output}', 'notes.*', missing.txt]}
"""


CUT = """
tools:
  many: {shell: seq 1 1000, output: {format: lines, limit: 100}}
"""


@pytest.mark.parametrize("era", ERAS)
async def test_lines_that_were_cut_link_to_all_of_them(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, CUT, era) as client:
        result = await client.call_tool("many", {})
        data, link = result.content
        assert isinstance(data, TextContent)
        assert json.loads(data.text) == result.structured_content
        assert isinstance(link, ResourceLink)
        assert (link.name, link.size) == ("stdout of many", 3893)
        [whole] = (await client.read_resource(link.uri)).contents
    assert isinstance(whole, TextResourceContents)
    assert whole.text == "".join(f"{number}\n" for number in range(1, 1001))


def test_an_older_client_gets_a_line_for_the_lines_that_were_cut() -> None:
    record = Record(id="0" * 32, tool="t", caller=None, served="s", started=0.0, sizes={"stdout": 1000})
    excerpt, nothing = Excerpt(b"1\n", 996, b"2\n"), Excerpt(b"", 0, b"")
    result = RunResult(True, None, "exit", Exit(0, None), 1.0, excerpt, nothing, record)
    answered = data_result(tool(format="lines"), result, "2025-03-26")
    assert text_of(answered).splitlines()[1:] == [f"[all of stdout of t: cmdtool://runs/{'0' * 32}/stdout]"]
    assert all(isinstance(block, TextContent) for block in answered.content)


@pytest.mark.parametrize("era", ERAS)
async def test_files_are_linked_and_pictures_shown(tmp_path: Path, era: Era) -> None:
    (tmp_path / "source.png").write_bytes(png())
    async with serving(tmp_path, FILES, era) as client:
        result = await client.call_tool("render", {"output": "a b[1].png"})
        failed = await client.call_tool("render", {"output": "c.png", "status": 1})
    said, link, picture, notes, missing = result.content
    assert not result.is_error
    assert isinstance(said, TextContent)
    assert said.text == "made"
    assert isinstance(link, ResourceLink)
    path = tmp_path / "a b[1].png"
    assert (link.uri, link.name, link.size, link.mime_type) == (path.as_uri(), path.name, len(png()), "image/png")
    assert isinstance(picture, ImageContent)
    assert picture.mime_type == "image/png"
    assert isinstance(notes, ResourceLink)
    assert (notes.name, notes.mime_type, notes.size) == ("notes.txt", "text/plain", 5)
    assert isinstance(missing, TextContent)
    assert missing.text == f"[file {tmp_path}/missing.txt: no such file]"
    assert failed.is_error
    assert len(failed.content) == 1


def test_an_older_client_gets_a_line_for_a_link() -> None:
    (block,) = file_blocks([MadeFile("/a/b\u202e.txt", 12345, "text/plain")], "2025-03-26", Secrets([]))
    assert isinstance(block, TextContent)
    assert block.text == "[file /a/b<U+202E>.txt: 12,345 bytes, text/plain]"


EMBEDDED = """
tools:
  report:
    arguments: {token: {type: string, secret: true}}
    shell: 'printf "%s" "$token" > report.md; printf "\\e[1m" >> report.md; cp source.wav a.wav'
    output: {files: [report.md, a.wav], embed: true}
"""


@pytest.mark.parametrize("era", ERAS)
async def test_text_and_sound_come_with_the_result(tmp_path: Path, era: Era) -> None:
    wav = b"RIFF\x24\0\0\0WAVEfmt " + bytes(28)
    (tmp_path / "source.wav").write_bytes(wav)
    async with serving(tmp_path, EMBEDDED, era) as client:
        result = await client.call_tool("report", {"token": "hunter22"})
    _, report, link, sound = result.content
    assert isinstance(report, EmbeddedResource)
    path = tmp_path / "report.md"
    assert report.resource == TextResourceContents(uri=path.as_uri(), mime_type="text/markdown", text="[masked]")
    assert isinstance(link, ResourceLink)
    assert isinstance(sound, AudioContent)
    assert (sound.mime_type, base64.b64decode(sound.data)) == ("audio/wav", wav)


def test_a_client_that_knows_no_sound_gets_none() -> None:
    sound = MadeFile("/a.wav", 4, "audio/wav", b"RIFF")
    assert [block.type for block in file_blocks([sound], "2025-03-26", Secrets([]))] == ["text", "audio"]
    assert [block.type for block in file_blocks([sound], "2024-11-05", Secrets([]))] == ["text"]
