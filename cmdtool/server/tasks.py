"""The tasks extension of MCP (SEP-2663): calls that are answered at once with a task, which is asked for later.

The engine does the work; here its tasks get the form that clients know.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast

import anyio
from mcp import types
from mcp.server import Server
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from cmdtool.engine import BusyError, Engine, Task
from cmdtool.errors import ArgumentError
from cmdtool.model import Tool
from cmdtool.run import Call
from cmdtool.server.asking import WithheldError
from cmdtool.server.callers import Context, caller_of, may_use
from cmdtool.server.capabilities import EXTENSIONS_SINCE, TASKS, knows_tasks, missing_tasks
from cmdtool.server.results import refused_result

TELL_EVERY: Final = 1.0
"""Seconds between two `notifications/tasks` of one task on one stream."""

MOST_WATCHED: Final = 1000
"""Tasks that one stream can be asked to tell of."""

Listen = Callable[[Context, types.SubscriptionsListenRequestParams], Awaitable[types.SubscriptionsListenResult]]


class TaskParams(types.RequestParams):
    """The params of `tasks/get` and `tasks/cancel`."""

    task_id: str


class UpdateParams(TaskParams):
    """The params of `tasks/update`: answers to questions of a task. None of ours asks any."""

    input_responses: dict[str, Any]


class TaskNotification(types.Notification[dict[str, Any], str]):
    """`notifications/tasks`: the whole task, as `tasks/get` would return it."""

    method: str = "notifications/tasks"


def becomes_task(tool: Tool, ctx: Context) -> bool:
    """Whether a call of the tool is answered with a task."""
    return tool.task.mode != "never" and knows_tasks(ctx)


def require_tasks(tool: Tool, ctx: Context) -> None:
    """See to it that a tool whose calls are always tasks can be called by this client.

    Raises:
        MCPError: it does not know tasks (-32021, since 2026-07-28).
        WithheldError: likewise, before.
    """
    if tool.task.mode != "always" or knows_tasks(ctx):
        return
    message = "this tool always runs as a task, and the client does not declare that it knows tasks"
    if ctx.protocol_version >= EXTENSIONS_SINCE:
        raise missing_tasks(f"{message}: {TASKS}")
    raise WithheldError(refused_result(ArgumentError(f"{message}; nothing was started")))


class Tasks:
    """The handlers for tasks of one server.

    Args:
        engine: runs them.
        listen: serves `subscriptions/listen` for all but tasks.
    """

    def __init__(self, engine: Engine, listen: Listen) -> None:
        self._engine = engine
        self._listen = listen

    def add_to(self, server: Server[Any]) -> None:
        """Let a server offer the extension."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", UpdateParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)
        server.add_request_handler("subscriptions/listen", types.SubscriptionsListenRequestParams, self.listen)

    async def create(self, ctx: Context, call: Call) -> dict[str, Any]:
        """Begin a task, and return the answer to the call: a `CreateTaskResult`."""
        try:
            task = await self._engine.submit(call, caller_of(ctx))
        except BusyError as exc:
            raise MCPError(types.INTERNAL_ERROR, str(exc)) from exc
        return {**_fields(task), "resultType": "task"}

    async def get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """Return a task, with its result or error once it has one."""
        return _detailed(await self._find(ctx, params.task_id))

    async def update(self, ctx: Context, params: UpdateParams) -> types.EmptyResult:
        """Acknowledge answers; no task of ours has asked, so there is none to use."""
        await self._find(ctx, params.task_id)
        return types.EmptyResult()

    async def cancel(self, ctx: Context, params: TaskParams) -> types.EmptyResult:
        """Ask for the end of a task; one that has ended is left alone."""
        await self._engine.cancel(await self._find(ctx, params.task_id))
        return types.EmptyResult()

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve a stream of notifications, also of those tasks among `taskIds` that are the caller's."""
        asked = (params.notifications.model_extra or {}).get("taskIds")
        if asked is None:
            return await self._listen(ctx, params)
        if not knows_tasks(ctx):
            raise missing_tasks(f"`taskIds` is for clients that declare {TASKS}")
        if not isinstance(asked, list) or len(asked) > MOST_WATCHED or not all(isinstance(id_, str) for id_ in asked):
            raise MCPError(types.INVALID_PARAMS, f"`taskIds` must be a list of at most {MOST_WATCHED:,} texts")
        found = [await self._look(ctx, task_id) for task_id in dict.fromkeys(asked)]
        mine = [task for task in found if task]
        session = _ListeningSession(ctx, [task.id for task in mine])
        outcome: types.SubscriptionsListenResult | MCPError
        async with anyio.create_task_group() as telling:
            for task in mine:
                telling.start_soon(self._tell, session, task)
            try:
                outcome = await self._listen(replace(ctx, session=cast(ServerSession, session)), params)
            except MCPError as exc:  # raised here, it would come out as an `ExceptionGroup`
                outcome = exc
            telling.cancel_scope.cancel()
        if isinstance(outcome, MCPError):
            raise outcome
        return outcome

    async def _tell(self, session: "_ListeningSession", task: Task) -> None:
        """Tell a stream how a task stands, then of each change, until the task is over."""
        await session.acknowledged.wait()
        while True:
            await session.tell(task)
            if task.is_over:
                return
            await anyio.sleep(TELL_EVERY)
            task = await self._engine.watch(task)

    async def _find(self, ctx: Context, task_id: str) -> Task:
        """Return the task that a request is about.

        Raises:
            MCPError: the client does not know tasks, the header names another one, or there is none for this caller.
        """
        if ctx.protocol_version < EXTENSIONS_SINCE:
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found", ctx.method)
        # The SDK compares this header for methods of its own. It is let pass where there is none: FastMCP sends none.
        name = ctx.request.headers.get(MCP_NAME_HEADER) if ctx.request is not None else None
        if name is not None and decode_header_value(name) != task_id:
            raise MCPError(types.HEADER_MISMATCH, f"the {MCP_NAME_HEADER} header is not the request's `taskId`")
        if not knows_tasks(ctx):
            raise missing_tasks(f"{ctx.method} is for clients that declare {TASKS}")
        task = await self._look(ctx, task_id)
        if task is None:
            raise MCPError(types.INVALID_PARAMS, "unknown task: there is none with this id, or it is no longer kept")
        return task

    async def _look(self, ctx: Context, task_id: str) -> Task | None:
        task = await self._engine.get(task_id, caller_of(ctx))
        return task if task and may_use(ctx, task.tool) else None


class _ListeningSession:
    """The session of a `subscriptions/listen` request, as far as the SDK's `ListenHandler` uses one.

    It adds the tasks to the acknowledgement, and sends what the handler knows nothing of.
    """

    def __init__(self, ctx: Context, task_ids: list[str]) -> None:
        self._ctx = ctx
        self._task_ids = task_ids
        self.acknowledged = anyio.Event()

    async def send_notification(
        self, notification: types.ServerNotification, related_request_id: types.RequestId | None = None
    ) -> None:
        """Pass on what the handler sends."""
        if not isinstance(notification, types.SubscriptionsAcknowledgedNotification):
            return await self._ctx.session.send_notification(notification, related_request_id)
        honored = notification.params.notifications.model_copy(update={"taskIds": self._task_ids})
        params = notification.params.model_copy(update={"notifications": honored})
        await self._ctx.session.send_notification(
            notification.model_copy(update={"params": params}), related_request_id
        )
        self.acknowledged.set()

    async def tell(self, task: Task) -> None:
        """Send a task."""
        params = {**_detailed(task), "_meta": {SUBSCRIPTION_ID_META_KEY: self._ctx.request_id}}
        notification = cast(types.ServerNotification, TaskNotification(params=params))
        await self._ctx.session.send_notification(notification, self._ctx.request_id)


def _fields(task: Task) -> dict[str, Any]:
    """Return what every form of a task has. How long it is kept counts from its end, on the wire from its beginning."""
    fields: dict[str, Any] = {
        "taskId": task.id,
        "status": task.status,
        "createdAt": _iso(task.created),
        "lastUpdatedAt": _iso(task.updated),
        "ttlMs": round((task.updated - task.created + task.ttl) * 1000),
        "pollIntervalMs": round(task.poll_interval * 1000),
    }
    return {**fields, "statusMessage": task.message} if task.message else fields


def _detailed(task: Task) -> dict[str, Any]:
    """Return a task with what came of it."""
    if task.status == "completed":
        return {**_fields(task), "result": task.result}
    if task.status == "failed":
        return {**_fields(task), "error": {"code": types.INTERNAL_ERROR, "message": task.message}}
    return _fields(task)


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
