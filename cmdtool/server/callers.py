"""Who a request comes from, and what they may use."""

from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from starlette.types import Scope

Context: TypeAlias = ServerRequestContext[Any, Any]

ANYBODY: Final = "anybody over HTTP"
"""Who calls over HTTP where nobody has a name; no token can be called so."""


class Caller(AccessToken):
    """What the bearer token of a request says."""

    name: str
    """Unique on this server, and the same for every token of this caller."""
    tools: tuple[str, ...] = ("*",)
    """Globs of the tools that exist for this caller."""
    metrics: bool = False
    """Whether this caller may read the metrics of all calls."""


def caller_of(ctx: Context) -> str | None:
    """Return the name of the caller: over stdio None, over HTTP without authentication `ANYBODY`."""
    if ctx.request is None:
        return None
    caller = caller_in(ctx.request.scope)
    return caller.name if caller else ANYBODY


def may_use(ctx: Context, tool: str) -> bool:
    """Whether the tool exists for whoever sent the request."""
    caller = caller_in(ctx.request.scope) if ctx.request is not None else None
    return caller is None or any(fnmatchcase(tool, glob) for glob in caller.tools)


def caller_in(scope: Scope) -> Caller | None:
    """Return the caller that a request over HTTP is authenticated as, if it is."""
    # Each message of a session carries the request that brought it, so this is never the caller of another one.
    user = scope.get("user")
    if not isinstance(user, AuthenticatedUser):
        return None
    assert isinstance(user.access_token, Caller), "our verifiers return nothing else"
    return user.access_token
