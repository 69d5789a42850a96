"""What a case is: data, apart from its act."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mcp_types import CallToolResult

from tests.hostile.acts import call
from tests.hostile.stage import Stage

Act: TypeAlias = Callable[[Stage], Awaitable[CallToolResult | None]]
Check: TypeAlias = Callable[[Stage, CallToolResult | None], None]


@dataclass(frozen=True)
class Case:
    """A program, what is done to its call, and what must hold besides what must always hold (`harness.py`)."""

    name: str
    program: str
    """A file in `programs/`."""
    args: tuple[str, ...] = ()
    """Its arguments; here and in `keys`, `@folder` and the like stand for places (`harness.py`)."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of its tool."""
    file: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the manifest."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Further environment of the server."""
    act: Act = call
    ended_by: str | None = "exit"
    """As in the facts of the result; None where there can be no result."""
    status: int | str | None = 0
    """The exit status or the name of the signal; None where either will do."""
    fails: bool = False
    says: tuple[str, ...] = ()
    """Patterns that the result's text must match."""
    hides: tuple[str, ...] = ()
    """Patterns that neither the result nor a progress message may match."""
    check: Check | None = None
    dead_in: float = 1.5
    """Seconds from the end of the call, the cancel or the end of the server until nothing of it may be alive."""
    answers_in: float = 1.5
    """Seconds within which other requests are answered meanwhile."""
    growth: float = 50
    """MB by which the server may grow."""
    needs: tuple[str, ...] = ()
    """A command that must succeed on this machine, else the case is skipped."""
    prefix: tuple[str, ...] = ()
    """What the server is started through."""
