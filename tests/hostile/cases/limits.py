"""Programs that take more than their share."""

import functools

from tests.hostile.case import Case
from tests.hostile.cases.ending import LIMIT

limited = functools.partial(Case, status=None, fails=True, dead_in=LIMIT)

LIMITS = [
    limited(
        "fork bomb",
        "fork_bomb.c",
        keys={"limits": {"processes": 50}},
        ended_by="limit",
        says=("`limits.processes`",),
        answers_in=3,
    ),
    # Each process has the limit too, so one alone is refused by the kernel.
    limited(
        "memory of one process", "memory.c", ("500", "1"), {"limits": {"memory": "100MiB"}}, says=("`limits.memory`",)
    ),
    limited(
        "memory of four processes",
        "memory.c",
        ("80", "4"),
        {"limits": {"memory": "150MiB"}},
        ended_by="limit",
        says=("`limits.memory`",),
    ),
    limited(
        "processor time of children",
        "burner.c",
        ("3",),
        {"limits": {"cpu": "2s"}},
        ended_by="limit",
        says=("`limits.cpu`",),
        answers_in=3,
    ),
    limited("full disk", "filler.py", keys={"limits": {"file_size": "1MiB"}}, says=("`limits.file_size`",)),
    limited(
        "all descriptors",
        "hog.py",
        keys={"limits": {"open_files": 64}},
        says=("stopped after [1-6]?[0-9]:", "`limits.open_files`"),
    ),
]
