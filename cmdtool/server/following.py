"""Tells clients how runs go on, those that have subscribed to one and those that listen."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Final

import anyio
from anyio.abc import TaskGroup
from mcp import types
from mcp.server.session import ServerSession
from mcp.server.subscriptions import ListenHandler, SubscriptionBus
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated

from cmdtool.model import Stream
from cmdtool.run import Keep
from cmdtool.server.callers import Context
from cmdtool.server.resources import Runs
from cmdtool.server.results import run_uri
from cmdtool.spool import Record, RunOutput, Spool

UPDATE_EVERY: Final = 1.0
"""Seconds between two `notifications/resources/updated` of a run."""

_PATIENCE: Final = 1.0
"""Seconds that a client may take to read a notification; after that it misses one."""


class Followers:
    """The handlers for subscriptions of one server, and what tells its clients."""

    def __init__(self, spool: Spool, runs: Runs, bus: SubscriptionBus) -> None:
        self._spool = spool
        self._runs = runs
        self._bus = bus
        self._listen = ListenHandler(bus)
        self._subscribed: dict[str, dict[int, tuple[object, ServerSession]]] = defaultdict(dict)
        self._telling: TaskGroup

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Those that have subscribed are told during the block."""
        async with anyio.create_task_group() as self._telling:
            try:
                yield
            finally:
                self._subscribed.clear()
                self._telling.cancel_scope.cancel()

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Tell this client of a stream that grows; of a run that has ended there is nothing to tell."""
        record, stream, _ = self._runs.locate(ctx, params.uri)
        if record.ended is None:
            client = ctx.session.client_params
            self._subscribed[run_uri(record.id, stream)][id(client)] = (client, ctx.session)
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """Tell it no longer."""
        record, stream, _ = self._runs.locate(ctx, params.uri)
        self._subscribed.get(run_uri(record.id, stream), {}).pop(id(ctx.session.client_params), None)
        return types.EmptyResult()

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve a stream of notifications; of runs that the caller may not read it carries none."""
        asked = params.notifications
        found = [self._runs.find(ctx, uri) for uri in asked.resource_subscriptions or ()]
        allowed = [run_uri(record.id, stream) for record, stream, _ in filter(None, found)]
        notifications = asked.model_copy(update={"resource_subscriptions": allowed})
        return await self._listen(ctx, params.model_copy(update={"notifications": notifications}))

    def end_streams(self) -> None:
        """Let the streams of notifications end with a result, as those that a server closes on purpose do."""
        self._listen.close()

    @asynccontextmanager
    async def following(self, tool: str, caller: str | None, begun: RunOutput | None = None) -> AsyncIterator[Keep]:
        """Tell subscribers how the run of a call goes on; the block gets what keeps the run's output.

        One that has `begun` before its run, as that of a task has, is left open at the end of the run.
        """
        outputs: list[RunOutput] = []

        def keep(run_id: str) -> AbstractContextManager[RunOutput]:
            outputs.append(begun or self._spool.begin(run_id, tool, caller))
            return nullcontext(outputs[0]) if begun else outputs[0]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell_growth, outputs)
            try:
                yield keep
            finally:
                tasks.cancel_scope.cancel()
                for output in outputs:
                    await self._tell_end(output.record)

    async def _tell_growth(self, outputs: list[RunOutput]) -> None:
        told: dict[Stream, int] = {}
        while True:
            await anyio.sleep(UPDATE_EVERY)
            for output in outputs:
                record = output.record
                if record.sizes and not told:
                    await self._bus.publish(ResourcesListChanged())
                for stream, size in record.sizes.items():
                    if told.get(stream) != size:
                        await self._tell(run_uri(record.id, stream))
                told = record.sizes

    async def _tell_end(self, record: Record) -> None:
        if not record.sizes:
            return
        with anyio.CancelScope(shield=True):
            for stream in (None, *record.sizes):
                await self._tell(run_uri(record.id, stream))
                self._subscribed.pop(run_uri(record.id, stream), None)
            await self._bus.publish(ResourcesListChanged())

    async def _tell(self, uri: str) -> None:
        await self._bus.publish(ResourceUpdated(uri))
        for _, session in self._subscribed.get(uri, {}).values():
            self._telling.start_soon(_notify, session, uri)  # one that does not read must not hold up the call


async def _notify(session: ServerSession, uri: str) -> None:
    with anyio.move_on_after(_PATIENCE):
        await session.send_resource_updated(uri)
