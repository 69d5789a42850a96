"""What a client says in a request that it can."""

from typing import Final

from mcp import types
from mcp.shared.exceptions import MCPError

from cmdtool.server.callers import Context

TASKS: Final = "io.modelcontextprotocol/tasks"
"""The tasks extension (SEP-2663)."""

EXTENSIONS_SINCE: Final = "2026-07-28"
"""The revision in which a request declares the extensions that its client knows."""


def knows_tasks(ctx: Context) -> bool:
    """Whether this very request declares the tasks extension; what others did does not count."""
    needed = types.ClientCapabilities(extensions={TASKS: {}})
    return ctx.protocol_version >= EXTENSIONS_SINCE and ctx.session.check_client_capability(needed)


def missing_capability(message: str, needed: types.ClientCapabilities) -> MCPError:
    """Return the error (-32021) that tells what a client has to declare; for revisions since 2026-07-28."""
    data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
    return MCPError(
        code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
        message=message,
        data=data.model_dump(by_alias=True, mode="json", exclude_none=True),
    )


def missing_tasks(message: str) -> MCPError:
    """Return that error for a client that does not declare the tasks extension."""
    return missing_capability(message, types.ClientCapabilities(extensions={TASKS: {}}))
