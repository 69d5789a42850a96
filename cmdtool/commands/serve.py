"""`cmdtool serve`: the tools of a manifest for one MCP client over standard input and output."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from cmdtool.argv import find_program, read_env_file
from cmdtool.commands.files import read_manifest
from cmdtool.errors import StartError
from cmdtool.host import LocalHost
from cmdtool.masking import LEAST, Secrets, is_too_short
from cmdtool.process import Supervisor, reset_signals
from cmdtool.run import named_secrets
from cmdtool.server.app import App
from cmdtool.server.log import StderrLog
from cmdtool.server.stdio import serve_stdio

logger = logging.getLogger(__name__)


def serve(paths: Sequence[Path]) -> int:
    """Serve until the client goes away or a signal comes. All words go to standard error."""
    manifest = read_manifest(paths)
    host = LocalHost()
    variables = {
        name: text for tool in manifest.tools.values() for name, text in named_secrets(tool, host.environ).items()
    }
    log = StderrLog(Secrets(variables.values()))
    for name in sorted(name for name, text in variables.items() if is_too_short(text)):
        logger.warning("`%s`, one of `secrets`, has fewer than %d characters and is not masked", name, LEAST)
    for tool in manifest.tools.values():
        try:
            find_program(tool, host)
            read_env_file(tool, host)
        except StartError as exc:
            logger.warning("%s: %s", tool.name, exc)
    logger.info("serving %s on standard input and output", ", ".join(manifest.tools))
    if sys.stdin.isatty():
        logger.info("waiting for an MCP client to speak; Ctrl-C ends the server, `cmdtool run TOOL` tries a tool here")
    reset_signals()
    supervisor = Supervisor()
    anyio.run(serve_stdio, App(manifest, host, supervisor).server(), supervisor, log)
    return 0
