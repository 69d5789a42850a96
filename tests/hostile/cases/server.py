"""The end of the server, and attacks on it."""

import functools
import os
import signal
from typing import Any

from mcp_types import CallToolResult

from tests.hostile.acts import call_1000_times, call_after_garbage, end_unread, hang_up, send_server
from tests.hostile.case import Case
from tests.hostile.stage import Stage

DAEMON = tuple("child setsid daemon setsid daemon ready last".split())
DEAF = tuple("child setsid daemon ignore block ready last".split())
CLEARED = tuple("child setsid daemon clear ready last".split())
UNPRIVILEGED = ("unshare", "--user", "--map-user=1000", "--map-group=1000")

ended = functools.partial(Case, ended_by=None, dead_in=2 + 1.5)  # two seconds, and what a busy machine may add
killed = functools.partial(Case, act=send_server(signal.SIGKILL), ended_by=None, dead_in=5 + 1)


def exits_with(status: int) -> Any:
    """Return a check of the server's own exit status."""

    def check(stage: Stage, result: CallToolResult | None) -> None:
        assert stage.server.returncode == status

    return check


SERVER = [
    ended("standard input ends", "steps.c", DAEMON, {"grace": "30s"}, act=hang_up, check=exits_with(0)),
    ended("standard input ends, deaf daemon", "steps.c", DEAF, {"grace": "30s"}, act=hang_up, check=exits_with(0)),
    ended("SIGTERM", "steps.c", DAEMON, act=send_server(signal.SIGTERM), check=exits_with(143)),
    ended("SIGTERM, deaf daemon", "steps.c", DEAF, {"grace": "30s"}, act=send_server(signal.SIGTERM)),
    ended("SIGTERM, daemon without environment", "steps.c", CLEARED, act=send_server(signal.SIGTERM)),
    ended("SIGTERM in a storm of 256", "storm.c", ("256", "deaf"), act=send_server(signal.SIGTERM)),
    ended("SIGINT", "steps.c", DAEMON, act=send_server(signal.SIGINT), check=exits_with(130)),
    ended("SIGHUP", "steps.c", DAEMON, act=send_server(signal.SIGHUP), check=exits_with(129)),
    ended("SIGTERM while the client reads nothing", "steady.py", act=end_unread, check=exits_with(143)),
    killed("SIGKILL", "steps.c", DAEMON),
    killed("SIGKILL, deaf daemon", "steps.c", DEAF),
    killed("SIGKILL in a storm of 256", "storm.c", ("256", "deaf")),
    killed("SIGKILL, runaway daemon", "runner.c", ("leader stays",)),
    Case("1,000 calls", "steps.c", act=call_1000_times),
    Case("malformed requests", "quick.sh", act=call_after_garbage),
    Case(
        "attack on the server's process",
        "attacker.py",
        says=("environment: refused.*\nmemory: refused.*\nwire: refused.*\nptrace: refused",),
        # For root no file of a process is closed: the server runs as another user.
        prefix=UNPRIVILEGED if os.geteuid() == 0 else (),
        needs=(*UNPRIVILEGED, "true"),
    ),
]  # fmt: skip
