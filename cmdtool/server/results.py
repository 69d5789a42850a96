"""Manifest values -> what MCP lists; run results -> what MCP returns. No I/O."""

from datetime import UTC, datetime
from typing import Any, Final

from mcp import types

from cmdtool import model
from cmdtool.errors import ArgumentError
from cmdtool.model import STREAMS
from cmdtool.run import RunResult
from cmdtool.schema import input_schema, output_schema
from cmdtool.spool import Record
from cmdtool.text import clean

RUN_FACTS: Final = "cmdtool/run"
"""The key in a result's `_meta` that holds the facts of the run."""

STRUCTURED_SINCE: Final = "2025-06-18"
"""The revision that introduced structured results and resource links."""

_RESULT_SIZE: Final = "anthropic/maxResultSizeChars"
"""The key in a tool's `_meta` that tells Claude Code how many characters of a result to let through."""

# The revision that introduced a field of `Tool`; older clients are not sent it.
_SINCE: Final = {
    "annotations": "2025-03-26",
    "title": "2025-06-18",
    "output_schema": STRUCTURED_SINCE,
    "_meta": "2025-06-18",
    "icons": "2025-11-25",
}


def list_tool(tool: model.Tool, protocol_version: str) -> types.Tool:
    """Return the tool as `tools/list` shows it to a client of `protocol_version`."""
    fields: dict[str, Any] = {
        "title": tool.title and clean(tool.title),
        "annotations": _annotations(tool.annotations),
        "icons": list_icons(tool.icons),
        "output_schema": output_schema(tool),
        # What is not output, such as the outcome, needs some room too.
        "_meta": {_RESULT_SIZE: tool.output.limit + 1024} if tool.output.limit > model.TEXT_LIMIT else None,
    }
    known = {key: value for key, value in fields.items() if value and protocol_version >= _SINCE[key]}
    description = tool.description and clean(tool.description)
    return types.Tool(name=tool.name, description=description, input_schema=input_schema(tool), **known)


def list_icons(icons: tuple[model.Icon, ...]) -> list[types.Icon]:
    """Return the icons in MCP's form."""
    return [types.Icon.model_validate(icon.model_dump(exclude_none=True), by_name=True) for icon in icons]


def call_result(result: RunResult, protocol_version: str) -> types.CallToolResult:
    """Return a run's output and outcome for the model, and its facts in `_meta`.

    Where something was left out, it says where the whole can be read: a link, or a line of text for clients of
    revisions that do not know links.
    """
    parts = [result.stdout.text.rstrip("\n")]
    if errors := result.stderr.text.rstrip("\n"):
        parts += ["--- standard error ---", errors]
    if result.outcome:
        parts.append(f"[{clean(result.outcome)}]")
    lines, links = find_the_rest(result, protocol_version)
    parts += lines
    text = "\n".join(part for part in parts if part) or "(no output)"
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text), *links],
        is_error=not result.success,
        _meta={RUN_FACTS: run_facts(result)},
    )


def refused_result(error: ArgumentError) -> types.CallToolResult:
    """Return a tool error that says what to change in the arguments: nothing was started."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=clean(str(error)))],
        is_error=True,
        _meta={RUN_FACTS: {"ended_by": "arguments"}},
    )


def run_facts(result: RunResult) -> dict[str, Any]:
    """Return how a run ended: `ended_by`, `exit_status` or `signal`, `duration` in seconds, `bytes_left_out`.

    `uri` is where its output can be read, if it printed something that is kept.
    """
    facts: dict[str, Any] = {"ended_by": result.ended_by, "duration": round(result.duration, 3)}
    if result.exit and result.exit.status is not None:
        facts["exit_status"] = result.exit.status
    if result.exit and result.exit.signal is not None:
        facts["signal"] = result.exit.signal
    if result.record and result.record.sizes:
        facts["uri"] = run_uri(result.record.id)
    return {**facts, "bytes_left_out": result.left_out}


def find_the_rest(result: RunResult, protocol_version: str) -> tuple[list[str], list[types.ResourceLink]]:
    """Return where all of the output can be read: lines for the model, and links, where the client knows these."""
    lines, links = [], output_links(result)
    if protocol_version < STRUCTURED_SINCE:
        lines, links = [f"[all of {link.name}: {link.uri}]" for link in links], []
    if result.left_out and result.record and result.record.problem:
        lines.append(f"[not all of the output was kept: {result.record.problem}]")
    return lines, links


def output_links(result: RunResult) -> list[types.ResourceLink]:
    """Return links to the streams of which the result does not hold all."""
    excerpts = {"stdout": result.stdout, "stderr": result.stderr}
    return [
        types.ResourceLink.model_validate(stream_resource(result.record, stream).model_dump())
        for stream in STREAMS
        if excerpts[stream].left_out and result.record and stream in result.record.sizes
    ]


def stream_resource(record: Record, stream: model.Stream) -> types.Resource:
    """Return a stream of a run as `resources/list` shows it."""
    began = datetime.fromtimestamp(record.started, UTC)
    state = "running" if record.ended is None else "the rest was not kept" if record.problem else "ended"
    return types.Resource(
        uri=run_uri(record.id, stream),
        name=f"{stream} of {record.tool}",
        description=f"What a run of {record.tool} printed, begun {began:%Y-%m-%d %H:%M:%S} UTC, {state}.",
        mime_type="text/plain",
        size=record.sizes[stream],
    )


def run_uri(run_id: str, stream: model.Stream | None = None) -> str:
    """Return the URI of a run's facts, or of a stream of it."""
    return f"cmdtool://runs/{run_id}/{stream}" if stream else f"cmdtool://runs/{run_id}"


def _annotations(hints: model.Annotations) -> types.ToolAnnotations | None:
    given = {f"{name}_hint": value for name, value in hints if value is not None}
    return types.ToolAnnotations.model_validate(given, by_name=True) if given else None
