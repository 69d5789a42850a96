"""`cmdtool serve`: the tools of a manifest for one MCP client over standard input and output."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
from platformdirs import user_state_path

from cmdtool.argv import find_program
from cmdtool.commands.files import DEFAULT, read_manifest
from cmdtool.errors import StartError
from cmdtool.host import LocalHost
from cmdtool.process import Supervisor, reset_signals
from cmdtool.server.app import App
from cmdtool.server.log import StderrLog
from cmdtool.server.stdio import serve_stdio
from cmdtool.spool import Spool

logger = logging.getLogger(__name__)


def serve(paths: Sequence[Path], spool_folder: Path | None) -> int:
    """Serve until the client goes away or a signal comes. All words go to standard error.

    Args:
        paths: the manifest files.
        spool_folder: where the output of runs is kept; None for the user's own folder for such things.
    """
    manifest = read_manifest(paths)
    log = StderrLog()
    host = LocalHost()
    for tool in manifest.tools.values():
        try:
            find_program(tool, host)
        except StartError as exc:
            logger.warning("%s: %s", tool.name, exc)
    logger.info("serving %s on standard input and output", ", ".join(manifest.tools))
    if sys.stdin.isatty():
        logger.info("waiting for an MCP client to speak; Ctrl-C ends the server, `cmdtool run TOOL` tries a tool here")
    reset_signals()
    supervisor = Supervisor()
    spool = open_spool(paths, spool_folder)
    anyio.run(serve_stdio, App(manifest, host, supervisor, spool).server(), supervisor, log)
    return 0


def open_spool(paths: Sequence[Path], folder: Path | None) -> Spool:
    """Return the spool for a server of these manifest files: it finds again the runs of earlier ones."""
    folder = folder or user_state_path("cmdtool", appauthor=False) / "runs"
    spool = Spool(folder.absolute(), os.pathsep.join(str(path.resolve()) for path in paths or [DEFAULT]))
    spool.tidy_soon()
    return spool
