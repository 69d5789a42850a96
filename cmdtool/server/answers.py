"""A run's result as its tool gives it: text, or data that keeps to its schema, and the files that were made."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

import anyio.to_thread
from mcp import types

from cmdtool.errors import BadValue
from cmdtool.made_files import MadeFile, NoFile, find_made_files
from cmdtool.masking import Secrets
from cmdtool.model import TEXT_LIMIT, JSONValue, Tool
from cmdtool.output import Excerpt
from cmdtool.run import Call, RunResult
from cmdtool.schema import find_result_misfit, output_schema
from cmdtool.server.results import RUN_FACTS, STRUCTURED_SINCE, call_result, find_the_rest, run_facts
from cmdtool.text import clean, clean_line

MOST_DEPTH: Final = 100
"""How deep JSON may be nested: clients and validators recurse."""

MOST_VALUES: Final = 100_000
"""How many values data may hold: a mebibyte of `[],[],…` would hold up other calls for seconds, here and in clients."""

_AUDIO_SINCE: Final = "2025-03-26"


async def answer(call: Call, result: RunResult, protocol_version: str) -> types.CallToolResult:
    """Return what the client is sent. Large data and files are read in a thread: other calls go on meanwhile."""
    if not result.success and call.tool.output.format != "text":
        return call_result(_shortened(result), protocol_version)
    if not result.success or (call.tool.output.format == "text" and not call.files):
        return call_result(result, protocol_version)
    return await anyio.to_thread.run_sync(_success, call, result, protocol_version, abandon_on_cancel=True)


def _success(call: Call, result: RunResult, protocol_version: str) -> types.CallToolResult:
    answered = data_result(call.tool, result, protocol_version)
    text_limit = call.tool.output.limit if call.tool.output.embed else -1
    found = find_made_files(call.files, text_limit, call.invocation.shows) if call.files else ()
    files = file_blocks(found, protocol_version, call.secrets)
    return answered.model_copy(update={"content": [*answered.content, *files]})


def data_result(tool: Tool, result: RunResult, protocol_version: str) -> types.CallToolResult:
    """Return the result of a success in the tool's format; an error, with the text, if it is not what it should be."""
    schema = output_schema(tool)
    if schema is None:
        return call_result(result, protocol_version)
    stream = tool.output.streams[0]
    excerpt = result.stdout if stream == "stdout" else result.stderr
    try:
        data = read_lines(tool, excerpt) if tool.output.format == "lines" else read_json(tool, excerpt)
        if misfit := find_result_misfit(schema, data):
            raise BadValue(f"does not fit `output.schema` of tool `{tool.name}`: {misfit}")
    except BadValue as exc:
        name = "standard output" if stream == "stdout" else "standard error"
        failed = replace(result, success=False, outcome=f"{name} {exc.message}")
        return call_result(_shortened(failed), protocol_version)
    text = json.dumps(data, ensure_ascii=False)
    lines, links = find_the_rest(result, protocol_version)
    if result.outcome:
        lines.insert(0, f"[{clean(result.outcome)}]")
    return types.CallToolResult(
        content=[*(types.TextContent(type="text", text=line) for line in (text, *lines)), *links],
        structured_content=data if protocol_version >= STRUCTURED_SINCE else None,
        _meta={RUN_FACTS: run_facts(result)},
    )


def read_json(tool: Tool, excerpt: Excerpt) -> dict[str, JSONValue]:
    """Return the JSON that a stream holds, as an object: what need not be one stands under `result`.

    Raises:
        BadValue: it is cut, not JSON, or too much of it.
    """
    if excerpt.left_out:
        limit, left_out = tool.output.limit, excerpt.left_out
        raise BadValue(
            f"is no whole JSON, {left_out:,} bytes are left out: raise `output.limit` of tool `{tool.name}` ({limit:,})"
        )
    value = _Parser().parse(_decode(excerpt.head + excerpt.tail))
    schema = tool.output.data_schema
    is_bare = isinstance(value, dict) if schema is None else schema.get("type") == "object"
    return value if is_bare else {"result": value}


def read_lines(tool: Tool, excerpt: Excerpt) -> dict[str, JSONValue]:
    """Return the `lines` of a stream, as JSON where they have a schema; of one that was cut the whole lines.

    Raises:
        BadValue: one is not JSON, or there are too many.
    """
    text, left_out = excerpt.head + excerpt.tail, 0
    if excerpt.left_out:
        text = b"".join((*excerpt.head.rpartition(b"\n")[:2], excerpt.tail.partition(b"\n")[2]))
        left_out = excerpt.left_out + len(excerpt.head) + len(excerpt.tail) - len(text)
    lines = _decode(text).removesuffix("\n").split("\n") if text else []
    missing = {"bytes_left_out": left_out} if left_out else {}
    parser = _Parser()
    if tool.output.data_schema is None:
        return {"lines": [parser.cleaned(line) for line in lines], **missing}
    return {"lines": [parser.parse(line, number) for number, line in enumerate(lines, 1) if line.strip()], **missing}


def file_blocks(
    files: Sequence[MadeFile | NoFile], protocol_version: str, secrets: Secrets
) -> Iterator[types.ContentBlock]:
    """Yield what names each file, as a link or for older clients as a line of text, and what was read of them."""
    for file in files:
        masked = secrets.mask(file.path)
        path = clean_line(masked, 1000)
        if masked != file.path:
            file = NoFile(masked, "its name holds a secret")
        if isinstance(file, NoFile):
            yield types.TextContent(type="text", text=f"[file {path}: {clean_line(file.reason)}]")
            continue
        uri = Path(file.path).as_uri()
        if file.text is not None:
            text = clean(secrets.mask(file.text))
            contents = types.TextResourceContents(uri=uri, mime_type=file.mime_type, text=text)
            yield types.EmbeddedResource(type="resource", resource=contents)
            continue
        if protocol_version >= STRUCTURED_SINCE:
            name = clean_line(Path(file.path).name)
            yield types.ResourceLink(type="resource_link", uri=uri, name=name, size=file.size, mime_type=file.mime_type)
        else:
            kind = f", {file.mime_type}" if file.mime_type else ""
            yield types.TextContent(type="text", text=f"[file {path}: {file.size:,} bytes{kind}]")
        if file.media and file.mime_type:
            data = base64.b64encode(file.media).decode("ascii")
            if file.mime_type.startswith("image/"):
                yield types.ImageContent(type="image", data=data, mime_type=file.mime_type)
            elif protocol_version >= _AUDIO_SINCE:
                yield types.AudioContent(type="audio", data=data, mime_type=file.mime_type)


def _shortened(result: RunResult) -> RunResult:
    """Return a failure whose output, which no program will read, is as short as text for the model is."""
    stdout = result.stdout.shortened(TEXT_LIMIT // 2)
    return replace(result, stdout=stdout, stderr=result.stderr.shortened(TEXT_LIMIT // 2))


def _decode(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


class _Parser:
    """JSON texts -> what they stand for, cleaned, and all of them together no more than `MOST_VALUES`."""

    def __init__(self) -> None:
        self._room = MOST_VALUES

    def parse(self, text: str, line: int | None = None) -> JSONValue:
        """Return what a text stands for; `line` is its number where each line is a text."""
        place = f"line {line} " if line else ""
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
            json.dumps(value, allow_nan=False)  # 1e999 is read as infinity
            return self.cleaned(value)
        except json.JSONDecodeError as exc:
            where = f"column {exc.colno}" if line else f"line {exc.lineno}, column {exc.colno}"
            raise BadValue(f"{place}is not JSON: {exc.msg[:1].lower()}{exc.msg[1:]} at {where}") from exc
        except RecursionError as exc:
            raise BadValue(f"{place}is JSON nested more than {MOST_DEPTH} deep") from exc
        except BadValue:
            raise
        except ValueError as exc:
            raise BadValue(f"{place}is not JSON: a number is infinite, far too long, or none at all") from exc

    def cleaned(self, value: JSONValue, depth: int = MOST_DEPTH) -> JSONValue:
        """Return a value with its strings fit to be shown."""
        self._room -= 1
        if self._room < 0:
            raise BadValue(f"holds more than {MOST_VALUES:,} values")
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, list | dict) and depth == 0:
            raise RecursionError
        if isinstance(value, list):
            return [self.cleaned(item, depth - 1) for item in value]
        if isinstance(value, dict):
            return {clean(name): self.cleaned(item, depth - 1) for name, item in value.items()}
        return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
