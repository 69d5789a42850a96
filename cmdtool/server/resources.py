"""The output of runs as MCP resources: listed, read in parts, and searched.

`cmdtool://runs/ID` holds the facts of a run, `cmdtool://runs/ID/stdout` and `.../stderr` what it printed. Only the
caller who started a run gets at it.
"""

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import anyio
from mcp import types
from mcp.shared.exceptions import MCPError

from cmdtool.errors import BadValue
from cmdtool.model import STREAMS, Stream
from cmdtool.output import whole_characters
from cmdtool.server.callers import Context, caller_of
from cmdtool.server.results import run_uri, stream_resource
from cmdtool.spool import Find, Piece, Record, Spool, literal, matching_lines, pattern
from cmdtool.text import clean, clean_line

PART: Final = "cmdtool/part"
"""The key in the `_meta` of what was read that says which part of the stream it is."""

WINDOW: Final = 64 * 1024
"""The most bytes of output that one answer holds."""

MATCHES: Final = 100
"""The most lines that one search returns."""

PAGE: Final = 50
"""Runs on a page of `resources/list`."""

_SEARCHED: Final = 32 * 1024
"""Bytes searched between two turns of the rest of the server; longer lines are searched in pieces.

Half a second for the worst pattern that RE2 compiles; others take microseconds.
"""

_LONGEST: Final = 1000
"""Characters of what is searched for."""

_EFFORT: Final = 1.0
"""Seconds of computing that one search may take."""

_URI: Final = re.compile(r"cmdtool://runs/(?P<id>[0-9a-f]{32})(?:/(?P<stream>stdout|stderr)(?:\?(?P<query>.*))?)?")
_OFFSET: Final = re.compile(r"-?[0-9]{1,15}")
_CURSOR: Final = re.compile(r"(?P<started>[0-9]{1,12}\.[0-9]{1,9})-(?P<id>[0-9a-f]{32})")
_NOT_FOUND_UNTIL_2025: Final = -32002
"""The error for a resource that is not there, up to revision 2025-11-25; since 2026-07-28 it is -32602."""

_TEMPLATE: Final = "cmdtool://runs/{id}/{stream}{?from,to,search,pattern}"
_HOW_TO_READ: Final = (
    "What a run of a tool printed. `stream` is `stdout` or `stderr`. `from` and `to` are offsets in bytes, "
    f"from the end where negative; an answer holds at most {WINDOW // 1024} KiB and says where to go on. "
    "`search` (a text) or `pattern` (RE2) gives the lines that match instead, each with its offset."
)


@dataclass(frozen=True, slots=True)
class _Query:
    """What is asked of a stream."""

    start: int = 0
    end: int | None = None
    find: Find | None = None
    again: str = ""
    """The part of the query that says what to find, to ask again."""


class Runs:
    """The handlers for resources of one server."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """List the streams of the caller's runs, newest first."""
        records = await anyio.to_thread.run_sync(self._spool.runs, caller_of(ctx))
        if params and params.cursor is not None:
            after = _CURSOR.fullmatch(params.cursor)
            if after is None:
                raise MCPError(types.INVALID_PARAMS, "the cursor is none of this server's")
            place = (-float(after["started"]), after["id"])
            records = [record for record in records if (-record.started, record.id) > place]
        page = records[:PAGE]
        resources = [stream_resource(record, stream) for record in page for stream in STREAMS if stream in record.sizes]
        cursor = f"{page[-1].started:.6f}-{page[-1].id}" if len(records) > PAGE else None
        return types.ListResourcesResult(resources=resources, next_cursor=cursor)

    async def list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Return the one form of URI there is."""
        template = types.ResourceTemplate(
            name="output of a run", uri_template=_TEMPLATE, description=_HOW_TO_READ, mime_type="text/plain"
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Read the facts of a run, or a part of a stream; or search it."""
        record, stream, query_text = self.locate(ctx, params.uri)
        if stream is None:
            return _facts(record)
        query = _parse_query(query_text)
        try:
            if query.find:
                return await self._search(record, stream, query, query.find)
            return self._read(record, stream, query)
        except FileNotFoundError:
            raise _not_found(ctx, params.uri) from None

    def find(self, ctx: Context, uri: str) -> tuple[Record, Stream | None, str] | None:
        """Return the run that a URI names, the stream, and the query; None if the caller may read no such thing."""
        parts = _URI.fullmatch(uri)
        record = self._spool.find(parts["id"], caller_of(ctx)) if parts else None
        if parts is None or record is None or (parts["stream"] and parts["stream"] not in record.sizes):
            return None
        stream = next((stream for stream in STREAMS if stream == parts["stream"]), None)
        return record, stream, parts["query"] or ""

    def locate(self, ctx: Context, uri: str) -> tuple[Record, Stream | None, str]:
        """Return the same.

        Raises:
            MCPError: the caller may read no such thing.
        """
        found = self.find(ctx, uri)
        if found is None:
            raise _not_found(ctx, uri)
        return found

    def _read(self, record: Record, stream: Stream, query: _Query) -> types.ReadResourceResult:
        size = record.sizes[stream]
        start = self._spool.first_kept(_offset(query.start, size), size)
        end = max(start, min(_end(query, size), start + WINDOW))
        piece = self._spool.read(record, stream, start, end + 3 if end > start else start)
        begin, data = _cut(piece, end, is_running=record.ended is None, wants_lines=query.end is None)
        return _part(record, stream, clean(data.decode("utf-8", "replace")), begin, begin + len(data), piece)

    async def _search(self, record: Record, stream: Stream, query: _Query, find: Find) -> types.ReadResourceResult:
        size = record.sizes[stream]
        begin = at = _offset(query.start, size)
        end = _end(query, size)
        lines: list[str] = []
        piece = self._spool.read(record, stream, at, at)
        effort = 0.0
        while at < end and len(lines) < MATCHES and effort < _EFFORT:
            begun = time.thread_time()
            at = self._spool.first_kept(at, piece.size)
            piece = self._spool.read(record, stream, at, min(at + _SEARCHED, end))
            data = piece.data
            if not data:
                break
            if piece.start + len(data) < end:
                data = data[: data.rfind(b"\n") + 1] or data
            at = piece.start + len(data)
            for shown, line, line_end in matching_lines(data, find):
                lines.append(f"{piece.start + shown}: {clean_line(line.decode('utf-8', 'replace'))}")
                if len(lines) == MATCHES:
                    at = min(at, piece.start + line_end + 1)
                    break
            effort += time.thread_time() - begun
            await anyio.lowlevel.checkpoint()
        return _part(record, stream, "\n".join(lines), begin, at, piece, until=end, search=query.again)


def _parse_query(text: str) -> _Query:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=8)
    except ValueError as exc:
        raise MCPError(types.INVALID_PARAMS, f"the query of the URI cannot be read: {exc}") from exc
    given = dict(pairs)
    if (
        len(given) < len(pairs)
        or given.keys() - {"from", "to", "search", "pattern"}
        or {"search", "pattern"} <= given.keys()
    ):
        raise MCPError(types.INVALID_PARAMS, "a query holds `from`, `to`, and `search` or `pattern`, each once")
    for name in ("from", "to"):
        if name in given and not _OFFSET.fullmatch(given[name]):
            raise MCPError(types.INVALID_PARAMS, f"`{name}` is an offset in bytes, from the end where negative")
    start, end = int(given.get("from", 0)), int(given["to"]) if "to" in given else None
    for name, compiled in (("search", literal), ("pattern", pattern)):
        if name in given:
            if not 0 < len(given[name]) <= _LONGEST:
                raise MCPError(types.INVALID_PARAMS, f"`{name}` must not be empty or longer than {_LONGEST} characters")
            try:
                return _Query(start, end, compiled(given[name]), f"{name}={quote(given[name], safe='')}&")
            except BadValue as exc:
                raise MCPError(types.INVALID_PARAMS, f"`{name}`: {exc.message}") from exc
    return _Query(start, end)


def _offset(asked: int, size: int) -> int:
    return max(0, size + asked) if asked < 0 else min(asked, size)


def _end(query: _Query, size: int) -> int:
    return size if query.end is None else _offset(query.end, size)


def _cut(piece: Piece, end: int, *, is_running: bool, wants_lines: bool) -> tuple[int, bytes]:
    """Return where a piece begins and its bytes, cut at the borders of characters, and of lines where more follows.

    Both borders move to the end of a character, so parts that meet still do. `end` is where it was to end; the piece
    may hold the rest of a character behind that.
    """
    begin = _next_character(piece.data, 0) if piece.start else 0
    cut = _next_character(piece.data, min(end - piece.start, len(piece.data)))
    data = piece.data[begin:cut]
    if piece.start + cut < piece.size:
        if wants_lines:
            data = data[: data.rfind(b"\n") + 1] or data
    elif is_running:
        data = whole_characters(data)
    return piece.start + begin, data


def _next_character(data: bytes, position: int) -> int:
    """Return where the next character begins, if `position` is within one of UTF-8."""
    for end in range(position, min(position + 3, len(data))):
        if not 0x80 <= data[end] < 0xC0:
            return end
    return min(position + 3, len(data))


def _part(
    record: Record,
    stream: Stream,
    text: str,
    begin: int,
    end: int,
    piece: Piece,
    *,
    until: int | None = None,
    search: str = "",
) -> types.ReadResourceResult:
    """Return a part of a stream, for programs with its place in `_meta`, for readers with a line that says it."""
    uri, size, is_running = run_uri(record.id, stream), piece.size, record.ended is None
    skipped = len(piece.gap) if piece.gap and begin <= piece.gap.start <= end else 0
    next_: int | None = piece.gap.stop if piece.gap and end == piece.gap.start else end
    if next_ == until or (next_ == size and not is_running):
        next_ = None
    place: dict[str, Any] = {"from": begin, "to": end, "size": size, "running": is_running, "next": next_}
    contents = [types.TextResourceContents(uri=uri, mime_type="text/plain", text=text)]
    if search or (begin, next_) != (0, None) or record.problem:
        note = f"bytes {begin:,} to {end:,} of {size:,}" + (" so far" if is_running else "")
        if search:
            note = f"{'lines that match' if text else 'no line matches'} in {note}"
        if skipped:
            note += f", {'of which' if search else 'the next'} {skipped:,} were not kept"
        if record.problem:
            note += f", what came after these was not kept: {record.problem}"
        more = uri if next_ is None else f"{uri}?{search}from={next_}"
        note += "" if next_ is None else f"; go on with {more}"
        contents.append(types.TextResourceContents(uri=more, mime_type="text/plain", text=f"[{note}]"))
    return types.ReadResourceResult(contents=contents, _meta={PART: place})


def _facts(record: Record) -> types.ReadResourceResult:
    """Return the facts of a run as JSON; its times are ISO 8601."""
    facts = record.model_dump(exclude={"caller", "served", "sizes", "task"}, exclude_none=True)
    for name in ("started", "ended"):
        if name in facts:
            facts[name] = datetime.fromtimestamp(facts[name], UTC).isoformat(timespec="milliseconds")
    facts["output"] = {
        stream: {"uri": run_uri(record.id, stream), "size": size} for stream, size in record.sizes.items()
    }
    text = json.dumps(facts, ensure_ascii=False, indent=2)
    contents = types.TextResourceContents(uri=run_uri(record.id), mime_type="application/json", text=text)
    return types.ReadResourceResult(contents=[contents])


def _not_found(ctx: Context, uri: str) -> MCPError:
    code = types.INVALID_PARAMS if ctx.protocol_version >= "2026-07-28" else _NOT_FOUND_UNTIL_2025
    return MCPError(code, "resource not found: no such run, or no longer kept", {"uri": uri[:1000]})
