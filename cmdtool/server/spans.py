"""OpenTelemetry. The MCP SDK makes a span of each request; here are those of tasks, and where spans go.

Without the variables that ask for it nothing of the OpenTelemetry SDK is imported, and spans are no-ops.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cmdtool import __version__

logger = logging.getLogger(__name__)

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_FLUSH: Final = 0.2


def set_up_spans() -> None:
    """Send spans where the environment says (OpenTelemetry, SDK environment variables); what is wrong is only logged.

    A provider that is there already, as under `opentelemetry-instrument`, is left alone.
    """
    if not _is_asked(os.environ) or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    try:
        trace.set_tracer_provider(_make_provider(os.environ))
    except ImportError:
        logger.warning(
            "the environment (OTEL_...) asks for spans, and OpenTelemetry is not installed: "
            "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
        )
    except (LookupError, ValueError) as exc:
        logger.warning("the environment (OTEL_...) asks for spans, which cannot be had: %s", exc)


def flush_spans() -> None:
    """Send what has not been sent yet, but do not wait long."""
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush:
        # It has no timeout of its own that it keeps to.
        thread = threading.Thread(target=flush, daemon=True)
        thread.start()
        thread.join(_FLUSH)


def task_span(tool: str) -> AbstractContextManager[object]:
    """Return a span around the run of a task, below that of the request, which has ended or soon will."""
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
    # An exception's text may hold what is told to nobody.
    return trace.get_tracer("cmdtool", __version__).start_as_current_span(
        f"task {tool}", attributes=attributes, record_exception=False, set_status_on_exception=False
    )


def trace_variables() -> dict[str, str]:
    """Return `TRACEPARENT` and `TRACESTATE` of the current span, none without a trace.

    It is the server's span, or without one the client's, whose W3C form the propagator has checked.
    """
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return {name.upper(): value for name, value in carrier.items()}


def _is_asked(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if exporter := environ.get("OTEL_TRACES_EXPORTER", "").strip():
        return exporter != "none"
    return any(map(environ.get, _ENDPOINTS))


def _make_provider(environ: Mapping[str, str]) -> trace.TracerProvider:
    """Return what sends spans; sampler, limits and batches read their variables themselves."""
    # Slow to import, and maybe not installed.
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": "cmdtool", "service.version": __version__, **named})
    provider = TracerProvider(resource=resource)
    for exporter in _exporters(environ):
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _exporters(environ: Mapping[str, str]) -> Iterator[Any]:
    for name in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        known = name.strip()
        if known == "otlp":
            protocol = next(filter(None, map(environ.get, _PROTOCOLS)), "http/protobuf")
            known = _OTLP.get(protocol, protocol)
        found = entry_points(group="opentelemetry_traces_exporter", name=known)
        if not found:
            raise LookupError(f"no exporter `{known}` is installed")
        yield next(iter(found)).load()()
