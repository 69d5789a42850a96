"""The seam behind which tools run as tasks: jobs that outlive the request that began them.

`server/jobs.py` runs them in the server's own process. Whatever else can run a `Call` elsewhere may stand in its place:
hand it to `serve` (`commands/serve.py`) or to `App`.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from cmdtool.errors import CmdtoolError
from cmdtool.model import JSONValue
from cmdtool.run import Call

Status: TypeAlias = Literal["working", "completed", "failed", "cancelled"]


class BusyError(CmdtoolError):
    """The engine takes no more tasks for now."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it was at one moment. Times are Unix times, durations are in seconds."""

    id: str
    """Nobody can guess it."""
    tool: str
    caller: str | None
    status: Status
    created: float
    updated: float
    """When it last changed; of a task that is over, its end."""
    ttl: float
    """How long after its end it can be asked for, at least."""
    poll_interval: float
    message: str | None = None
    """One line for people: progress while it works, the reason if it failed."""
    result: JSONValue = None
    """What `tools/call` would have answered, once it is completed; a failed command is completed, too."""

    @property
    def is_over(self) -> bool:
        """Whether it will never change again."""
        return self.status != "working"


class Engine(Protocol):
    """Runs calls as tasks. A task is known only to the caller that it was submitted for."""

    def working(self) -> AbstractAsyncContextManager[None]:
        """The block is the life of the server; all else is called in it."""

    @property
    def under_way(self) -> int:
        """How many tasks would be lost if the server ended now."""

    async def settle(self) -> None:
        """Wait until there are none of these."""

    async def submit(self, call: Call, caller: str | None) -> Task:
        """Begin a task; from the return on, `get` finds it. The current OpenTelemetry span is that of the request.

        Raises:
            BusyError: there are too many already.
        """

    async def get(self, task_id: str, caller: str | None) -> Task | None:
        """Return a task of this caller; None if there is none, or no longer."""

    async def watch(self, task: Task) -> Task:
        """Wait until a task is no longer as it was, and return it as it is then. One that is over never changes."""

    async def cancel(self, task: Task) -> None:
        """Ask for the end of a task; it may come later, and nothing happens if it has come already."""
