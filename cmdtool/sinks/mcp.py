"""Updates -> `notifications/progress` for the token of one request."""

from typing import Final

from mcp.server.session import ServerSession

from cmdtool.progress import Update

_MESSAGES_SINCE: Final = "2025-03-26"
"""The revision that gave `notifications/progress` its message."""


class McpSink:
    """Sends to the client that made the request; the SDK holds its progress token."""

    def __init__(self, session: ServerSession, protocol_version: str) -> None:
        self._session = session
        self._has_messages = protocol_version >= _MESSAGES_SINCE

    async def send(self, update: Update) -> None:
        """Send one notification; waits as long as the client does not read."""
        message = update.message if self._has_messages else None
        await self._session.report_progress(update.progress, update.total, message)
