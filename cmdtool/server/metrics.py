"""Counts calls for Prometheus, and the page that it reads. Names of tools are labels, words of clients never are."""

from typing import Final

from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    make_asgi_app,
)
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cmdtool.server.callers import caller_in
from cmdtool.server.calls import CallRecord
from cmdtool.server.slots import Slots

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600)
"""Seconds: commands take from milliseconds to the default `timeout` of six hours."""

_KILLED_BY: Final = ("timeout", "idle_timeout", "limit", "cancel")


class Metrics:
    """What is counted, in a registry of its own; `slots` know what runs and what waits."""

    def __init__(self, slots: Slots) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double every series
        self.registry = registry = CollectorRegistry()
        self._calls = Counter(
            "cmdtool_calls", "Calls that have ended, by outcome.", ("tool", "outcome"), registry=registry
        )
        self._durations = Histogram(
            "cmdtool_call_duration_seconds",
            "How long commands ran.",
            ("tool",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._killed = Counter(
            "cmdtool_killed", "Commands that were ended before they were done.", ("tool", "reason"), registry=registry
        )
        self._output = Counter(
            "cmdtool_output_bytes", "Bytes that commands printed.", ("tool", "stream"), registry=registry
        )
        running = Gauge("cmdtool_calls_running", "Calls whose commands run now.", registry=registry)
        running.set_function(lambda: slots.running)
        waiting = Gauge("cmdtool_calls_waiting", "Calls that wait for a free slot now.", registry=registry)
        waiting.set_function(lambda: slots.waiting)
        ProcessCollector(registry=registry)

    def count(self, record: CallRecord) -> None:
        """Count a call that has ended."""
        self._calls.labels(record.tool, "success" if record.success else record.ended_by).inc()
        if record.duration is not None:
            self._durations.labels(record.tool).observe(record.duration)
            if record.ended_by in _KILLED_BY:
                self._killed.labels(record.tool, record.ended_by).inc()
        for stream, size in record.result.sizes.items() if record.result else ():
            self._output.labels(record.tool, stream).inc(size)


class MetricsPage:
    """An ASGI application; where callers have names, only those see it whose token says `metrics`."""

    def __init__(self, metrics: Metrics, security: TransportSecuritySettings, *, needs_token: bool) -> None:
        self._page: ASGIApp = make_asgi_app(metrics.registry)
        self._security = TransportSecurityMiddleware(security)
        self._needs_token = needs_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._refusal(Request(scope)) or self._page)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        caller = caller_in(request.scope)
        if self._needs_token and not (caller and caller.metrics):
            return PlainTextResponse("this token may not read the metrics\n", 403)
        return await self._security.validate_request(request)
