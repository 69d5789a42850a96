"""`cmdtool serve`: the tools of a manifest for one MCP client over standard input and output."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from cmdtool.argv import find_program
from cmdtool.commands.files import read_manifest
from cmdtool.errors import StartError
from cmdtool.host import LocalHost
from cmdtool.process import Supervisor
from cmdtool.server.app import App
from cmdtool.server.stdio import serve_stdio

logger = logging.getLogger(__name__)


def serve(paths: Sequence[Path]) -> int:
    """Serve until the client goes away or a signal comes. All words go to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("mcp").setLevel(logging.WARNING)
    manifest = read_manifest(paths)
    host = LocalHost()
    for tool in manifest.tools.values():
        try:
            find_program(tool, host)
        except StartError as exc:
            logger.warning("%s: %s", tool.name, exc)
    logger.info("%d tools on standard input and output", len(manifest.tools))
    supervisor = Supervisor()
    anyio.run(serve_stdio, App(manifest, host, supervisor).server(), supervisor)
    return 0
