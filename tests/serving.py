"""A real client of a real server: `cmdtool serve` as a process, the SDK's client over standard input and output."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from mcp import Client, StdioServerParameters
from mcp.client.session import ElicitationFnT, MessageHandlerFnT
from mcp_types import CallToolResult, TextContent

from cmdtool.spool import Spool

Era = Literal["auto", "legacy"]
"""`auto` speaks the 2026-07-28 revision, `legacy` opens with the older handshake."""

ERAS: tuple[Era, ...] = ("auto", "legacy")


@dataclass
class Seen:
    """A progress handler that keeps what it is told."""

    updates: list[tuple[float, float | None, str | None]] = field(default_factory=list)

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.updates.append((progress, total, message))

    @property
    def values(self) -> list[float]:
        return [progress for progress, _, _ in self.updates]

    @property
    def totals(self) -> set[float | None]:
        return {total for _, total, _ in self.updates}

    @property
    def messages(self) -> list[str | None]:
        return [message for _, _, message in self.updates]

    def assert_increasing(self) -> None:
        assert all(before < after for before, after in pairwise(self.values)), self.updates


def server_command(manifest: Path) -> StdioServerParameters:
    spool = {"CMDTOOL_SPOOL": os.environ["CMDTOOL_SPOOL"]}
    return StdioServerParameters(command=sys.executable, args=["-m", "cmdtool", "serve", str(manifest)], env=spool)


@asynccontextmanager
async def serving(
    folder: Path,
    manifest: str,
    era: Era = "auto",
    person: ElicitationFnT | None = None,
    note: MessageHandlerFnT | None = None,
) -> AsyncIterator[Client]:
    """Serve the manifest, written to `folder`, and connect to it.

    `person` answers what the client is asked, `note` is told what the server sends unasked.
    """
    path = folder / "tools.yaml"
    path.write_text(manifest)
    async with Client(server_command(path), mode=era, elicitation_callback=person, message_handler=note) as client:
        yield client


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def spool_of_tests() -> Spool:
    """Return a spool beside those of the other tests of this process."""
    return Spool(Path(os.environ["CMDTOOL_SPOOL"]), "tests")
