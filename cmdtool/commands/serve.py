"""`cmdtool serve`: the tools of a manifest, for one MCP client over standard input and output or for many over HTTP."""

import logging
import os
import resource
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
from platformdirs import user_state_path

from cmdtool.argv import read_env_file
from cmdtool.commands.files import DEFAULT, read_manifest
from cmdtool.engine import Engine
from cmdtool.errors import StartError
from cmdtool.host import LocalHost
from cmdtool.masking import LEAST, Secrets, is_too_short
from cmdtool.model import Manifest
from cmdtool.process import Supervisor, reset_signals
from cmdtool.run import Startables, named_secrets
from cmdtool.server.app import App
from cmdtool.server.calls import Calls
from cmdtool.server.catalogue import Catalogue
from cmdtool.server.connections import descriptors_for
from cmdtool.server.http import serve_http
from cmdtool.server.jobs import MOST_TASKS
from cmdtool.server.log import LogFormat, StderrLog
from cmdtool.server.metrics import Metrics
from cmdtool.server.reload import Reloader
from cmdtool.server.site import HttpOptions, open_site
from cmdtool.server.spans import set_up_spans
from cmdtool.server.stdio import serve_stdio
from cmdtool.spool import Spool
from cmdtool.trees import machine

logger = logging.getLogger(__name__)


def serve(
    paths: Sequence[Path],
    spool_folder: Path | None,
    http: HttpOptions | None = None,
    *,
    trust: bool = False,
    watch: bool = False,
    log_format: LogFormat = "text",
    log_arguments: bool = False,
    engine: Engine | None = None,
) -> int:
    """Serve until the client goes away or a signal comes. All words go to standard error.

    Args:
        paths: the manifest files.
        spool_folder: where the output of runs is kept; None for the user's own folder for such things.
        http: serve over HTTP, and how.
        trust: take a manifest that others could have written.
        watch: read the manifest again when it changes.
        log_format: how the log is written.
        log_arguments: log the arguments of each call, but for secrets.
        engine: runs tasks elsewhere; None for the server's own process.

    Raises:
        CmdtoolError: the manifest or the options cannot be used.
    """
    host = LocalHost(trust=trust)
    log = StderrLog(log_format)

    def read() -> Manifest:
        manifest = read_manifest(paths, trust=trust)
        log.conceal(_secrets(manifest, host))
        startables = Startables(host)
        for tool in manifest.tools.values():
            try:
                startables.find(tool)
                read_env_file(tool, host)
            except StartError as exc:
                logger.warning("%s: %s", tool.name, exc)
        _check_descriptors(manifest, over_http=http is not None)
        return manifest

    reloader = Reloader(paths or [DEFAULT], read)
    manifest = read()
    site = open_site(http, trust=trust) if http else None
    reset_signals()
    machine.forbid_tracing()
    set_up_spans()
    supervisor = Supervisor()
    catalogue = Catalogue(manifest)
    state_keys = site.access.state_keys if site and site.access else ()
    calls = Calls(logs_arguments=log_arguments)
    spool = open_spool(paths, spool_folder)
    app = App(catalogue, host, supervisor, spool, engine=engine, calls=calls, state_keys=state_keys)
    watcher = partial(reloader.watch, catalogue) if watch else None
    if site:
        logger.info("tools: %s", ", ".join(manifest.tools))
        reload = partial(reloader.reload, catalogue)
        metrics = Metrics(app.slots)
        calls.listeners.append(metrics.count)
        anyio.run(serve_http, app, supervisor, log, site, metrics, reload, watcher)
    logger.info("serving %s on standard input and output", ", ".join(manifest.tools))
    if sys.stdin.isatty():
        logger.info("waiting for an MCP client to speak; Ctrl-C ends the server, `cmdtool run TOOL` tries a tool here")
    anyio.run(serve_stdio, app, supervisor, log, watcher)
    return 0


def open_spool(paths: Sequence[Path], folder: Path | None) -> Spool:
    """Return the spool for a server of these manifest files: it finds again the runs of earlier ones."""
    folder = folder or user_state_path("cmdtool", appauthor=False) / "runs"
    spool = Spool(folder.absolute(), os.pathsep.join(str(path.resolve()) for path in paths or [DEFAULT]))
    spool.tidy_soon()
    return spool


def _check_descriptors(manifest: Manifest, *, over_http: bool) -> None:
    """Warn of more calls at once than there are descriptors for: some would then fail."""
    limits = (tool.concurrency or manifest.concurrency for tool in manifest.tools.values())
    calls = min(manifest.concurrency, sum(limits))
    tasks = MOST_TASKS if any(tool.task.mode != "never" for tool in manifest.tools.values()) else 0
    needed = descriptors_for(calls, over_http=over_http) + tasks
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        logger.warning(
            "%d calls at once%s may need %d descriptors, and %d are allowed: see `ulimit -n`",
            calls,
            f" and {tasks} tasks that wait" if tasks else "",
            needed,
            allowed,
        )


def _secrets(manifest: Manifest, host: LocalHost) -> Secrets:
    """Return the values of all variables that the manifest calls secret; of one that is too short the log warns."""
    variables: dict[str, str] = {}
    for tool in manifest.tools.values():
        variables |= named_secrets(tool, host.environ)
    for name in sorted(name for name, text in variables.items() if is_too_short(text)):
        logger.warning("`%s`, one of `secrets`, has fewer than %d characters and is not masked", name, LEAST)
    return Secrets(variables.values())
