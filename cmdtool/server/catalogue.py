"""The manifest that is served now, behind one reference: a reload swaps it in one step."""

import logging
import math
import time
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio
from mcp.server.connection import Connection
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ToolsListChanged
from mcp_types.version import LATEST_MODERN_VERSION

from cmdtool.model import Counted, Manifest, Tool
from cmdtool.server.results import list_tool
from cmdtool.text import clean_line

logger = logging.getLogger(__name__)

LIST_TTL: Final = 60.0
"""Seconds that a client may keep the list of tools."""

_PATIENCE: Final = 1.0
"""Seconds that a client may take to read the news; after that it misses it."""

_DESCRIBES: Final = frozenset({"title", "description", "examples", "annotations", "icons"})
"""The keys of a tool and of its arguments that bear neither on what runs nor on what guards it."""


class Catalogue:
    """Holds the manifest; tells clients when the list changes, and the log when a tool runs something else.

    A call keeps the `Tool` that it was given. `bus` carries the changes to `subscriptions/listen`; clients of older
    revisions are told on their connection, once they have listed the tools.
    """

    def __init__(self, manifest: Manifest, *, now: Callable[[], float] = time.monotonic) -> None:
        self.manifest = manifest
        self._now = now
        self.bus = InMemorySubscriptionBus()
        self.on_replace: Callable[[], None] | None = None
        self._changed: dict[str, float] = {}
        """When a tool was last changed, added or removed."""
        self._listed: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    def list_for(self, session: ServerSession) -> tuple[Tool, ...]:
        """Return the tools in manifest order, and remember that this client has seen them."""
        self._listed[_connection(session)] = self._now()
        return tuple(self.manifest.tools.values())

    def has_changed_for(self, session: ServerSession, name: str) -> bool:
        """Say whether a tool has changed since the client listed it.

        Since 2026-07-28 each request is a connection of its own: there it has, for as long as a client may keep a list.
        """
        connection = _connection(session)
        is_modern = connection.protocol_version >= LATEST_MODERN_VERSION
        listed = self._now() - LIST_TTL if is_modern else self._listed.get(connection, -math.inf)
        return self._changed.get(name, -math.inf) > listed

    async def replace(self, manifest: Manifest) -> None:
        """Serve another manifest from now on, and tell clients if what they would list has changed."""
        old, self.manifest = self.manifest, manifest
        if self.on_replace:
            self.on_replace()
        before, after = _listing(old), _listing(manifest)
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        self._changed.update(dict.fromkeys(changed, self._now()))
        for name in old.tools.keys() & manifest.tools.keys():
            _log_what_runs(old.tools[name], manifest.tools[name])
        if old.server != manifest.server:
            logger.warning("`server:` has changed; clients see that once they start the server again")
        logger.info("serving %s", ", ".join(manifest.tools))
        if changed or list(before) != list(after):
            await self.bus.publish(ToolsListChanged())
            for connection in list(self._listed):
                with anyio.move_on_after(_PATIENCE):  # one that does not read must not hold up the next reload
                    await connection.send_tool_list_changed()


def _connection(session: ServerSession) -> Connection:
    # The SDK has no public way to speak on a connection outside of a request.
    return session._connection


def _listing(manifest: Manifest) -> dict[str, Any]:
    return {name: list_tool(tool, LATEST_MODERN_VERSION) for name, tool in manifest.tools.items()}


def _log_what_runs(old: Tool, new: Tool) -> None:
    before, after = _what_matters(old), _what_matters(new)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not changed:
        return
    was, now = (clean_line(_what_runs(tool)) for tool in (old, new))
    commands = f": was {was}, is {now}" if was != now else ""
    # The values of variables and of standard input may be secret: only their keys are named.
    keys = clean_line(", ".join(changed), 500)
    logger.warning("%s: what it runs or may do has changed (%s)%s", new.name, keys, commands)


def _what_matters(tool: Tool) -> dict[str, Any]:
    """Return its keys but those that describe; of `progress` there are only the commands that count its totals."""
    keys = {key: value for key, value in tool if key not in _DESCRIBES and key not in ("arguments", "progress")}
    for name, argument in tool.arguments.items():
        given = argument.model_dump(exclude_defaults=True, exclude=set(_DESCRIBES))
        keys |= {f"arguments.{name}.{key}": value for key, value in given.items()}
    return {**keys, "total": tool.progress.counted_totals}


def _what_runs(tool: Tool) -> str:
    every: tuple[Tool | Counted, ...] = (tool, *tool.progress.counted_totals)
    return "; ".join(" ".join(map(str, each.command)) if each.command else str(each.shell) for each in every)
