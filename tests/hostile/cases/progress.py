"""Programs that lie about their progress, or drown it."""

from mcp_types import CallToolResult

from tests.hostile.acts import stop_reading
from tests.hostile.case import Case
from tests.hostile.stage import Stage

PERCENT = {"progress": r"(\d+)%"}
OF = {"progress": r"(\d+)/(\d+)"}


def ends_complete(stage: Stage, result: CallToolResult | None) -> None:
    value, total, _ = stage.seen.updates[-1]
    assert value == total, stage.seen.updates


def shows_some(stage: Stage, result: CallToolResult | None) -> None:
    assert len(stage.seen.updates) > 2


PROGRESS = [
    Case("forged percentages", "forger.py", ("progress",), PERCENT, check=ends_complete),
    Case("forged fractions", "forger.py", ("progress",), OF),
    Case("forged numbers for auto", "forger.py", ("progress",)),
    Case("numbers of any kind", "forger.py", ("progress",), {"progress": r"(?P<progress>\S+)"}),
    Case("falling progress and failure", "forger.py", ("falling",), OF, status=4, fails=True, check=shows_some),
    Case("complete before it is done", "forger.py", ("complete_too_soon",), PERCENT, status=4, fails=True),
    Case("total that jumps", "forger.py", ("moving_total",), OF),
    Case("flood of progress", "progress_flood.c", ("3000000",), PERCENT, check=ends_complete),
    Case("flood of progress for auto", "progress_flood.c", ("2000000",)),
    Case(
        "flood of progress for many rules",
        "progress_flood.c",
        ("80000",),
        {"progress": [r"(\d+)%", r"file (\d+) of (\d+)", r"(?P<stage>copying)", r"x+(\d+)"]},
    ),
    Case("flood of progress on a terminal", "progress_flood.c", ("500000",), {**PERCENT, "pty": True}),
    Case("bait for a backtracking engine", "bait.c", keys=PERCENT, says=("the end$",)),
    Case(
        "patterns that a backtracking engine dies of",
        "bait.c",
        keys={"progress": [r"(a+)+$", r"(\d+\s*)+%", r"\s+$", r"(?:.*a){8}b"]},
        says=("the end$",),
    ),
    Case("bait for auto", "bait.c", says=("the end$",)),
    Case(
        "client that stops reading",
        "steady.py",
        keys={"progress": r"(\d+) of (\d+)"},
        act=stop_reading,
        says=("the end$",),
        check=ends_complete,
        growth=30,
    ),
]
