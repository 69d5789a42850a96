"""A process as it was seen, and the mark of the run to which it belongs."""

from typing import Final, NamedTuple

RUN_ID: Final = "CMDTOOL_RUN_ID"
"""The environment variable that names the run to which a process belongs: 32 hexadecimal digits."""

MARK: Final = 1 << 62
"""What marks of runs are above."""


class Entry(NamedTuple):
    """A process as it was seen. Its pid and start time together are never another's."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    """The time of its start, as `clock` of the machine tells it."""
    is_alive: bool
    """Whether it still runs; zombies do not."""
    cpu: float
    """Seconds of CPU time of its own."""
    waited_cpu: float
    """Seconds of CPU time of the children it has waited for, and of those that these have waited for."""
    memory: int
    """Bytes of resident memory."""


def mark_of_run(run_id: str) -> int:
    """Return the mark of a run: 60 of its 128 random bits."""
    return MARK | int(run_id[:15], 16)
