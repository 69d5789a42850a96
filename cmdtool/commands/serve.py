"""`cmdtool serve`: the tools of a manifest, for one MCP client over standard input and output or for many over HTTP."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from cmdtool.argv import find_program
from cmdtool.commands.files import read_manifest
from cmdtool.errors import StartError
from cmdtool.host import LocalHost
from cmdtool.process import Supervisor, reset_signals
from cmdtool.server.app import App
from cmdtool.server.http import serve_http
from cmdtool.server.log import StderrLog
from cmdtool.server.site import HttpOptions, open_site
from cmdtool.server.stdio import serve_stdio

logger = logging.getLogger(__name__)


def serve(paths: Sequence[Path], http: HttpOptions | None = None) -> int:
    """Serve until the client goes away or a signal comes. All words go to standard error.

    Raises:
        CmdtoolError: the manifest or the options cannot be used.
    """
    manifest = read_manifest(paths)
    log = StderrLog()
    site = open_site(http) if http else None
    host = LocalHost()
    for tool in manifest.tools.values():
        try:
            find_program(tool, host)
        except StartError as exc:
            logger.warning("%s: %s", tool.name, exc)
    reset_signals()
    supervisor = Supervisor()
    server = App(manifest, host, supervisor).server()
    if site:
        logger.info("tools: %s", ", ".join(manifest.tools))
        anyio.run(serve_http, server, supervisor, log, site)
    logger.info("serving %s on standard input and output", ", ".join(manifest.tools))
    if sys.stdin.isatty():
        logger.info("waiting for an MCP client to speak; Ctrl-C ends the server, `cmdtool run TOOL` tries a tool here")
    anyio.run(serve_stdio, server, supervisor, log)
    return 0
