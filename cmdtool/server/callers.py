"""Who makes a request: what one caller started, another must not read."""

from typing import Any, TypeAlias

from mcp.server.context import ServerRequestContext

Context: TypeAlias = ServerRequestContext[Any, Any]


def caller_of(ctx: Context) -> str | None:
    """Return the name of the caller; None where there is only one, as over standard input and output."""
    return None
