"""What is told of each call: to the log, to the current OpenTelemetry span, and to whoever else listens.

Facts of the run, never the value of an argument; only the log is told these, where `--log-arguments` asks for it.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import anyio
from mcp.shared.exceptions import MCPError
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from cmdtool.masking import MASK
from cmdtool.model import STREAMS
from cmdtool.outcome import EndedBy
from cmdtool.run import Call, RunResult
from cmdtool.server.results import run_facts

logger = logging.getLogger(__name__)

CallEnd: TypeAlias = EndedBy | Literal["arguments", "asked", "refused", "task", "cancel", "unknown", "error"]
"""How a call ended: as its run, or without one; `refused` is by a person or for want of one, `error` a bug of ours.

Of one that was answered with a `task` nothing is told: the run of the task is told of, once it has ended.
"""

UNKNOWN: Final = "unknown"
"""What stands for the name of a tool that is not there, for that is the client's word."""

_WORDS: Final = {
    "arguments": "arguments refused",
    "asked": "asked",
    "refused": "refused",
    "cancel": "cancelled",
    "unknown": "no such tool",
    "error": "failed",
}


@dataclass(slots=True)
class CallRecord:
    """One call: who called what, and in the end how it went."""

    tool: str
    caller: str | None
    ended_by: CallEnd = "error"
    success: bool = False
    """Whether the result is no error; one that does not fit its schema is."""
    result: RunResult | None = None
    begun: float | None = None
    """When the command began, by the event loop's clock; None while the call has to wait."""
    duration: float | None = None
    """Seconds that the command ran."""

    def take(self, result: RunResult) -> None:
        """Take the end of the run."""
        self.result, self.success, self.ended_by = result, result.success, result.ended_by
        self.duration = result.duration if result.exit else None

    @property
    def facts(self) -> dict[str, Any]:
        """All that is known: a run's facts as results have them, and how many bytes it printed."""
        facts: dict[str, Any] = {"tool": self.tool, "caller": self.caller}
        if self.result:
            facts |= run_facts(self.result)
            facts |= {f"{stream}_bytes": self.result.sizes.get(stream, 0) for stream in STREAMS}
        elif self.duration is not None:
            facts["duration"] = round(self.duration, 3)
        return {**facts, "ended_by": self.ended_by, "success": self.success}


class Calls:
    """Tells of the calls of one server; `listeners` hear of each one once it has ended."""

    def __init__(self, *, logs_arguments: bool = False) -> None:
        self.listeners: list[Callable[[CallRecord], None]] = []
        self._logs_arguments = logs_arguments

    @contextmanager
    def one(self, tool: str, caller: str | None) -> Iterator[CallRecord]:
        """The block is a call; it fills in how that went, unless an exception says it."""
        record = CallRecord(tool, caller)
        try:
            yield record
        except anyio.get_cancelled_exc_class():
            record.ended_by, record.success = "cancel", False
            if record.begun is not None:
                record.duration = anyio.current_time() - record.begun
            raise
        except MCPError:
            record.ended_by = "refused"
            raise
        except Exception:
            record.ended_by, record.success = "error", False
            raise
        finally:
            if record.ended_by != "task":
                self.tell(record)

    def tell(self, record: CallRecord) -> None:
        """Tell of a call that has ended."""
        if record.result and record.ended_by == record.result.ended_by:
            done = "done" if record.success else "the output is not what the tool promises"
            said = f"{record.result.duration:.1f} s, {record.result.outcome or done}"
        else:
            said = _WORDS[record.ended_by]
        facts = record.facts
        logger.info("%s: %s", record.tool, said, extra={"facts": facts})
        if (span := trace.get_current_span()).is_recording():
            told = {name: value for name, value in facts.items() if name not in ("tool", "caller")}
            span.set_attributes({f"cmdtool.{name}": value for name, value in told.items()})
            if not record.success and record.ended_by not in ("asked", "cancel"):
                span.set_status(StatusCode.ERROR)
        for listener in self.listeners:
            listener(record)

    def tell_arguments(self, call: Call, caller: str | None) -> None:
        """Log the arguments of a call that is to start, where that is asked for; secrets are masked."""
        if not self._logs_arguments:
            return
        hidden = {name: MASK for name, argument in call.tool.arguments.items() if argument.secret}
        shown = call.secrets.mask(json.dumps({**call.texts, **hidden}, ensure_ascii=False))
        facts = {"tool": call.tool.name, "caller": caller, "arguments": shown}
        logger.info("%s: called with %s", call.tool.name, shown, extra={"facts": facts})
