"""Updates -> `notifications/progress` for the token of one request."""

from mcp.server.session import ServerSession

from cmdtool.progress import Update


class McpSink:
    """Sends to the client that made the request; the SDK holds its progress token."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session

    async def send(self, update: Update) -> None:
        """Send one notification; waits as long as the client does not read."""
        await self._session.report_progress(update.progress, update.total, update.message)
