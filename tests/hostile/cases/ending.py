"""Children that want to outlive their call."""

import functools
from typing import Any

from mcp_types import CallToolResult

from tests.hostile.acts import cancel, cancel_at_once, cancel_in_line, cancel_twice
from tests.hostile.case import Case
from tests.hostile.stage import Stage

LIMIT = 0.5 + 3
"""Seconds from the cancel to the last death: the grace period of most cases, and three."""

cancelled = functools.partial(Case, act=cancel, ended_by=None, dead_in=LIMIT)


def steps(name: str, words: str, **keys: Any) -> Case:
    return cancelled(name, "steps.c", tuple(words.split()), **keys)


def left_behind(name: str, words: str, **keys: Any) -> Case:
    return Case(name, "steps.c", tuple(words.split()), **keys)


def made(*names: str) -> Any:
    """Return a check that the program has made these files."""

    def check(stage: Stage, result: CallToolResult | None) -> None:
        assert [name for name in names if not stage.made(name)] == []

    return check


def started(times: int) -> Any:
    """Return a check of how often the program has written that it has started."""

    def check(stage: Stage, result: CallToolResult | None) -> None:
        assert (stage.folder / "starts").read_text().count("started") == times

    return check


ENDING = [
    # cancelled
    steps("child", "child ready last"),
    steps("grandchild", "child child ready last"),
    steps("vfork child", "vfork ready last"),
    steps("child in its own session", "child setsid ready last"),
    steps("child in its own group", "child setpgid ready last"),
    steps("daemon by double fork", "child setsid daemon ready last"),
    steps("daemon by triple fork", "child setsid daemon setsid daemon setsid daemon ready last"),
    steps("daemon without environment", "child setsid daemon clear ready last"),
    steps("daemon under another name", "child setsid daemon rename ready last"),
    steps("daemon that has left the folder", "child setsid daemon ready leave last"),
    steps("daemon without descriptors", "child setsid daemon close ready last"),
    steps("daemon that hides its environment", "child setsid daemon nodump ready last"),
    steps(
        "daemon that does all of that", "child setsid daemon setsid daemon close ignore rename clear ready leave last"
    ),
    steps("leader that ignores all signals", "ignore ready last"),
    steps("leader that blocks all signals", "block ready last"),
    steps("daemon that ignores all signals", "child setsid daemon ignore block ready last"),
    steps("stopped leader", "ready stop last"),
    steps("stopped child", "child ready stop last"),
    steps("stopped daemon", "child setsid daemon ready stop last"),
    steps("stopped and deaf daemon", "child setsid daemon ignore ready stop last"),
    cancelled("child by nohup and disown", "nohup.sh"),
    cancelled("storm of 256", "storm.c", ("256",), answers_in=3),
    cancelled("deaf storm of 256", "storm.c", ("256", "deaf"), answers_in=3),
    cancelled("runaway daemon", "runner.c", ("leader stays",), answers_in=3),
    cancelled("two that revive each other", "phoenix.c"),
    cancelled("child born of SIGTERM", "fork_on_term.sh"),
    cancelled(
        "polite leader and child", "polite.sh", keys={"grace": "5s"}, check=made("cleaned-leader", "cleaned-child")
    ),
    cancelled("polite leader that is stopped", "polite_stopped.sh", keys={"grace": "5s"}, check=made("cleaned")),
    cancelled("zombies of a leader", "zombies.c", ("200",)),
    # cancelled at an odd moment
    Case("cancel at the start or the exit", "quick.sh", act=cancel_at_once, ended_by=None, dead_in=LIMIT),
    cancelled("cancel in line", "waits.sh", act=cancel_in_line, keys={"concurrency": 1}, check=started(1)),
    cancelled("cancel three times", "waits.sh", act=cancel_twice, check=started(1)),
    # after success, failure, a limit
    left_behind("child after success", "fork ready last"),
    left_behind("child in its own session after success", "fork setsid ready last"),
    left_behind("daemon after success", "fork setsid daemon close ready last"),
    left_behind("daemon without environment after success", "fork setsid daemon clear ready last"),
    Case("runaway daemon after success", "runner.c", answers_in=3, dead_in=LIMIT),
    left_behind("stopped child after success", "fork ready stop last"),
    left_behind("deaf child after success", "fork setsid ignore ready last"),
    left_behind("child of a leader that was killed", "murder setsid ready last", status="SIGKILL", fails=True),
    Case("orphans that exit by themselves", "zombies.c", ("200", "orphans"), status=None),
    Case("kill(0)", "kill_group.sh", status="SIGTERM", fails=True),
    Case(
        "daemon at the time limit",
        "steps.c",
        tuple("child setsid daemon ready last".split()),
        {"timeout": "1s"},
        ended_by="timeout",
        status=None,
        fails=True,
        says=("timed out after 1s",),
    ),
    Case(
        "daemon that says nothing",
        "steps.c",
        tuple("child setsid daemon ignore ready last".split()),
        {"idle_timeout": "1s"},
        ended_by="idle_timeout",
        status=None,
        fails=True,
    ),
]
