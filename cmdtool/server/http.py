"""Serves any number of clients over Streamable HTTP: revision 2026-07-28 without state, older ones in sessions."""

import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import uvicorn
from mcp.server import NotificationOptions, Server
from mcp.server.auth.handlers.metadata import ProtectedResourceMetadataHandler
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import RequestBodyLimitMiddleware, TransportSecuritySettings
from mcp.shared.auth import ProtectedResourceMetadata
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from cmdtool.process import Supervisor
from cmdtool.server.app import App
from cmdtool.server.auth import Access
from cmdtool.server.bodies import OneMessage
from cmdtool.server.connections import BACKLOG, TalkingConnection
from cmdtool.server.drain import Drain, Guarded
from cmdtool.server.ending import Ending
from cmdtool.server.log import StderrLog
from cmdtool.server.messages import MAX_LINE
from cmdtool.server.metrics import Metrics, MetricsPage
from cmdtool.server.site import Site

logger = logging.getLogger(__name__)

SESSION_IDLE: Final = 30 * 60
"""Seconds without a request or an open stream after which a session of an older revision ends, with its calls."""

MAX_SESSIONS: Final = 1000

_LAST_ANSWERS: Final = 1.0
"""Seconds for the last answers to leave, once their calls are done."""


async def serve_http(
    app: App,
    supervisor: Supervisor,
    log: StderrLog,
    site: Site,
    metrics: Metrics,
    reload: Callable[[], Coroutine[Any, Any, object]],
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until a signal comes; then let calls and tasks finish for `site.drain` seconds, and end the rest.

    Never returns: it leaves by `os._exit`, as `serve_stdio` does. The exit status is 128 + signal, or 1 after a
    failure of the server itself. SIGHUP calls `reload`; `watch` runs beside it.
    """
    server, drain, ending = app.server(), Drain(), Ending(supervisor, log)
    server.middleware.append(drain.watch_calls)
    # The manifest can be read again at any time, by SIGHUP; the SDK's own default denies it to older revisions.
    changes = NotificationOptions(tools_changed=True)
    server.create_initialization_options = partial(  # type: ignore[method-assign]
        server.create_initialization_options, changes
    )
    # One protocol whatever else is installed. Proxies' headers are not read, for nothing depends on them.
    config = uvicorn.Config(
        make_app(server, site, drain, metrics),
        http=TalkingConnection,
        backlog=BACKLOG,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    config.ssl = site.tls
    web = _Web(config)
    async with supervisor.guarding(), anyio.create_task_group() as tasks:
        tasks.start_soon(partial(ending.watch_signals, signal.SIGTERM, signal.SIGINT, on_first=drain.begin))
        tasks.start_soon(_watch_hangups, reload)
        if watch:
            tasks.start_soon(watch)
        tasks.start_soon(_end, app, drain, ending, web, site.drain)
        with ending.leaving():
            await web.serve(sockets=[site.listener])
            await drain.calls.none()


def make_app(server: Server[Any], site: Site, drain: Drain, metrics: Metrics) -> Starlette:
    """Return all that is served: `/mcp`, `/metrics`, `/healthz`, `/readyz`, and where to get a token."""
    security = TransportSecuritySettings(allowed_hosts=site.hosts, allowed_origins=site.origins)
    manager = StreamableHTTPSessionManager(
        server,
        security_settings=security,
        session_idle_timeout=SESSION_IDLE,
        max_request_body_size=MAX_LINE,
        max_sessions=MAX_SESSIONS,
    )
    whole = RequestBodyLimitMiddleware(OneMessage(StreamableHTTPASGIApp(manager)), MAX_LINE)
    endpoint: ASGIApp = Guarded(whole, drain)
    page: ASGIApp = MetricsPage(metrics, security, needs_token=site.access is not None)
    middleware = []
    if site.foreign_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=site.foreign_origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=["Mcp-Session-Id", "WWW-Authenticate"],
            )
        )
    routes = [_readiness(drain), Route("/healthz", _say_alive)]
    if site.access:
        metadata_url = _metadata_url(site.access)
        endpoint = RequireAuthMiddleware(endpoint, site.access.scopes, metadata_url)
        page = RequireAuthMiddleware(page, site.access.scopes, metadata_url)
        middleware.append(Middleware(AuthenticationMiddleware, backend=BearerAuthBackend(site.access.verifier)))
        middleware.append(Middleware(AuthContextMiddleware))
        routes += _metadata(site.access, metadata_url)
    routes += [Route("/mcp", endpoint), Route("/metrics", page)]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            logger.info("serving on %s", site.url)
            yield

    return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)


async def _end(app: App, drain: Drain, ending: Ending, web: "_Web", patience: float) -> None:
    """Wait until the server is told to end, let calls and tasks finish, then end everything."""
    await drain.begun.wait()
    if under_way := drain.calls.count + app.engine.under_way:
        logger.info("waiting %g s at most for calls under way: %d", patience, under_way)
    with anyio.move_on_after(patience):
        await drain.calls.none()
        await app.engine.settle()
        app.end_streams()
        with anyio.move_on_after(_LAST_ANSWERS):
            await drain.requests.none()
    ending.begin()
    drain.requests.cancel()
    web.should_exit = True


async def _watch_hangups(reload: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """SIGHUP never ends a server over HTTP: it reads the manifest again."""
    with anyio.open_signal_receiver(signal.SIGHUP) as hangups:
        async for _ in hangups:
            await reload()


class _Web(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `Ending`."""
        yield


# --- beside the protocol ---------------------------------------------------------------------------------------------


async def _say_alive(_: Request) -> PlainTextResponse:
    return PlainTextResponse("alive\n")


def _readiness(drain: Drain) -> Route:
    async def say_ready(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ending\n", 503) if drain.begun.is_set() else PlainTextResponse("ready\n")

    return Route("/readyz", say_ready)


def _metadata_url(access: Access) -> AnyHttpUrl | None:
    return build_resource_metadata_url(AnyHttpUrl(access.oauth.audience)) if access.oauth else None


def _metadata(access: Access, url: AnyHttpUrl | None) -> list[Route]:
    """Where clients read which authorization server to ask (RFC 9728, 3). For the public: no cookie, no secret."""
    if access.oauth is None:
        return []
    metadata = ProtectedResourceMetadata.model_validate(
        {
            "resource": access.oauth.audience,
            "authorization_servers": [access.oauth.issuer],
            "scopes_supported": access.scopes or None,
        }
    )
    return [Route(urlsplit(str(url)).path, ProtectedResourceMetadataHandler(metadata).handle)]
