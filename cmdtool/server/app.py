"""A manifest as an MCP server: what `tools/list` and `tools/call` do, on any transport."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from mcp import types
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types.methods import serialize_server_result
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError

from cmdtool import __version__
from cmdtool.argv import Resolve
from cmdtool.engine import Engine
from cmdtool.errors import ArgumentError, StartError
from cmdtool.model import JSONValue, Tool
from cmdtool.process import Supervisor
from cmdtool.reporter import Reporter, reporting
from cmdtool.run import Call, RunResult, run_call
from cmdtool.server.answers import answer
from cmdtool.server.asking import WithheldError, settle
from cmdtool.server.callers import Context, caller_of, may_use
from cmdtool.server.calls import UNKNOWN, CallRecord, Calls
from cmdtool.server.catalogue import LIST_TTL, Catalogue
from cmdtool.server.following import Followers
from cmdtool.server.jobs import LocalEngine
from cmdtool.server.resources import Runs
from cmdtool.server.results import call_result, list_icons, list_tool, refused_result
from cmdtool.server.slots import Slots
from cmdtool.server.spans import task_span, trace_variables
from cmdtool.server.tasks import Tasks, becomes_task, require_tasks
from cmdtool.sinks.mcp import McpSink
from cmdtool.spool import RunOutput, Spool
from cmdtool.text import clean, clean_line

logger = logging.getLogger(__name__)

TIDY_EVERY: Final = 3600.0
"""Seconds after which the spool is tidied in any case."""


class App:
    """The handlers of one server; `supervisor` answers for the processes of all calls, `spool` keeps their output."""

    def __init__(
        self,
        catalogue: Catalogue,
        resolve: Resolve,
        supervisor: Supervisor,
        spool: Spool,
        *,
        engine: Engine | None = None,
        calls: Calls | None = None,
        state_keys: Sequence[str] = (),
    ) -> None:
        """Make the handlers.

        Args:
            catalogue, resolve, supervisor, spool: what the calls need.
            engine: runs tasks; None for one in this process.
            calls: hears of each call.
            state_keys: seal what a client brings back with an answer, so that servers with the same keys take it; the
                first one seals, all are believed. Without any it is a key of this server alone.
        """
        self._catalogue = catalogue
        self._resolve = resolve
        self._supervisor = supervisor
        self.calls = calls or Calls()
        self.slots = Slots(catalogue.manifest.concurrency)
        self._spool = spool
        self._runs = Runs(spool)
        self._followers = Followers(spool, self._runs, catalogue.bus)
        self.engine = engine or LocalEngine(self._perform_task, spool)
        self._tasks = Tasks(self.engine, self._followers.listen)
        self._state_security = (
            RequestStateSecurity(keys=list(dict.fromkeys(state_keys)))
            if state_keys
            else RequestStateSecurity.ephemeral()
        )
        catalogue.on_replace = lambda: self.slots.change_limit(catalogue.manifest.concurrency)

    def server(self) -> Server[Any]:
        """Return the SDK's server with these handlers."""
        keys = self._catalogue.manifest.server
        server: Server[Any] = Server(
            clean_line(keys.name),
            version=__version__,
            title=keys.title and clean(keys.title),
            instructions=keys.instructions and clean(keys.instructions),
            icons=list_icons(keys.icons) or None,
            cache_hints={"tools/list": CacheHint(ttl_ms=round(LIST_TTL * 1000))},
            lifespan=self._working,
            on_list_tools=self.list_tools,
            on_list_resources=self._runs.list_resources,
            on_list_resource_templates=self._runs.list_templates,
            on_read_resource=self._runs.read_resource,
            on_subscribe_resource=self._followers.subscribe,
            on_unsubscribe_resource=self._followers.unsubscribe,
        )
        server.add_request_handler("tools/call", types.CallToolRequestParams, self.call_tool)
        self._tasks.add_to(server)
        server.middleware.append(_keep_errors_here)
        server.add_notification_handler("notifications/cancelled", types.CancelledNotificationParams, self.note_cancel)
        server.middleware.append(RequestStateBoundary(self._state_security, default_audience=keys.name))
        return server

    @asynccontextmanager
    async def _working(self, _: object) -> AsyncIterator[None]:
        async with self._followers.working(), self.engine.working(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._tidy)
            yield
            tasks.cancel_scope.cancel()

    async def _tidy(self) -> None:
        """Let go of runs that have expired though no other has ended since."""
        while True:
            await anyio.sleep(TIDY_EVERY)
            self._spool.tidy_soon()

    def end_streams(self) -> None:
        """End the streams that clients listen on; the SDK sends what is still to be sent."""
        self._followers.end_streams()

    async def list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """List the tools that the caller may use, in manifest order."""
        tools = [tool for tool in self._catalogue.list_for(ctx.session) if may_use(ctx, tool.name)]
        return types.ListToolsResult(tools=[list_tool(tool, ctx.protocol_version) for tool in tools])

    async def call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> HandlerResult:
        """Run a tool, or begin a task. What the caller can mend is a tool error, an unknown tool a protocol error."""
        tool = self._catalogue.manifest.tools.get(params.name)
        if tool is None or not may_use(ctx, params.name):
            self.calls.tell(CallRecord(UNKNOWN, caller_of(ctx), "unknown"))
            has_changed = may_use(ctx, params.name) and self._has_changed(ctx, params.name)
            gone = "; the tools have changed, list them again" if has_changed else ""
            raise MCPError(types.INVALID_PARAMS, f"unknown tool: {clean_line(params.name, 128)}{gone}")
        # A task has a status message instead of progress (SEP-2663, "Task Status Notifications").
        wants_progress = ctx.meta is not None and "progress_token" in ctx.meta and not becomes_task(tool, ctx)
        sink = McpSink(ctx.session, ctx.protocol_version) if wants_progress else None
        async with reporting(tool.progress, sink) as reporter:
            with self.calls.one(tool.name, caller_of(ctx)) as record:
                result = await self._run(tool, ctx, params, reporter, record)
            if reporter:
                is_success = isinstance(result, types.CallToolResult) and not result.is_error
                reporter.finish(success=is_success)
        return result

    async def _run(
        self,
        tool: Tool,
        ctx: Context,
        params: types.CallToolRequestParams,
        reporter: Reporter | None,
        record: CallRecord,
    ) -> HandlerResult:
        try:
            require_tasks(tool, ctx)
            call = await settle(tool, ctx, params, self._resolve, reporter)
        except WithheldError as exc:
            record.ended_by = "asked" if isinstance(exc.result, types.InputRequiredResult) else "refused"
            return exc.result
        except ArgumentError as exc:
            record.ended_by = "arguments"
            if self._has_changed(ctx, tool.name):
                exc = ArgumentError(f"{exc}\nthis tool changed, list tools again")
            return refused_result(exc)
        except StartError as exc:
            result = RunResult.not_started(exc)
            record.take(result)
            return call_result(result, ctx.protocol_version)
        if becomes_task(tool, ctx):
            task = await self._tasks.create(ctx, call)
            record.ended_by = "task"
            return task
        return await self._perform(call, reporter, record, ctx.protocol_version)

    async def _perform(
        self,
        call: Call,
        reporter: Reporter | None,
        record: CallRecord,
        protocol_version: str,
        begun: RunOutput | None = None,
    ) -> types.CallToolResult:
        """Run a call in its turn; `begun` is what keeps its output, if that is there already."""
        tool, call = call.tool, call.with_variables(trace_variables())
        self.calls.tell_arguments(call, record.caller)
        async with self.slots.turn(tool, lambda ahead: _say_place(reporter, ahead)) as has_waited:
            if reporter and has_waited:
                reporter.say("started")
                reporter.hear(b"")
            record.begun = anyio.current_time()
            async with self._followers.following(tool.name, record.caller, begun) as keep:
                result = await run_call(call, self._supervisor, reporter=reporter, keep=keep)
        record.take(result)
        answered = await answer(call, result, protocol_version)
        record.success = not answered.is_error
        return answered

    async def _perform_task(
        self, call: Call, caller: str | None, reporter: Reporter | None, begun: RunOutput
    ) -> tuple[RunResult, JSONValue]:
        """Run a call that is a task; return also what `tools/call` would have answered."""
        with task_span(call.tool.name), self.calls.one(call.tool.name, caller) as record:
            answered = await self._perform(call, reporter, record, LATEST_MODERN_VERSION, begun)
        assert record.result, "a call that was performed has a result"
        wire = answered.model_dump(by_alias=True, mode="json", exclude_none=True)
        return record.result, serialize_server_result("tools/call", LATEST_MODERN_VERSION, wire)

    async def note_cancel(self, ctx: Context, params: types.CancelledNotificationParams) -> None:
        """Log why a client cancels; the SDK does the rest."""
        what = f"request {params.request_id}: {params.reason or 'no reason given'}"
        logger.info("a client cancels %s", clean_line(what))

    def _has_changed(self, ctx: Context, name: str) -> bool:
        return self._catalogue.has_changed_for(ctx.session, name)


def _say_place(reporter: Reporter | None, ahead: int) -> None:
    if reporter:
        line = "next in line" if ahead == 0 else f"{ahead} {'call' if ahead == 1 else 'calls'} ahead in line"
        place = f"waiting for a free slot, {line}"
        reporter.say(place)
        reporter.hear(place.encode())  # what signs of life repeat


async def _keep_errors_here(ctx: Context, call_next: CallNext) -> HandlerResult:
    """A bug of ours goes to the log; the client gets no text of it."""
    try:
        return await call_next(ctx)
    except (MCPError, ValidationError):
        raise
    except Exception:
        logger.exception("%s failed; please report this", ctx.method)
        raise MCPError(code=types.INTERNAL_ERROR, message="internal error; the server's log says more") from None
