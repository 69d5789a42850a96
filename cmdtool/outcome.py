"""How a call ended -> the one line that tells whoever called, with the key of the manifest where one decided."""

import re
import signal
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from cmdtool.model import Limits, Tool
from cmdtool.output import Excerpt
from cmdtool.process import Exceeded, Exit
from cmdtool.progress import format_elapsed
from cmdtool.values import format_size

EndedBy: TypeAlias = Literal["start", "exit", "timeout", "idle_timeout", "limit"]

_LIMIT_OF: Final = {"SIGXCPU": "cpu", "SIGXFSZ": "file_size"}

_REFUSED: Final = {
    "memory": re.compile(rb"(?i)cannot allocate memory|out of memory|MemoryError|bad_alloc"),
    "file_size": re.compile(rb"(?i)file too large"),
    "open_files": re.compile(rb"(?i)too many open files(?! in system)"),
}
"""What programs say when the kernel refuses them more, by the limit that makes it."""

_END: Final = 4096
"""Bytes at the end of a stream in which a program says why it has failed."""


def hit_limit(tool: Tool, exit_: Exit) -> str | None:
    """Return the limit of a single process that the kernel enforced by a signal, None if it is not known to be one."""
    key = _LIMIT_OF.get(exit_.signal or _told_signal(exit_.status) or "")
    return key if key and getattr(tool.limits, key) is not None else None


def describe_end(
    tool: Tool, ended_by: EndedBy, exit_: Exit, exceeded: Exceeded | None, failed: Iterable[Excerpt] = ()
) -> str:
    """Return the line that says how the command ended.

    Args:
        tool: what was called.
        ended_by: what decided.
        exit_: how the process ended.
        exceeded: the limit by which cmdtool ended it.
        failed: what it printed, if it has failed.
    """
    if ended_by == "timeout":
        limit = _seconds(tool.timeout)
        return f"timed out after {limit}: `timeout` of tool `{tool.name}` sets how long it may run"
    if ended_by == "idle_timeout":
        limit = _seconds(tool.idle_timeout)
        return (
            f"ended after {limit} without output: `idle_timeout` of tool `{tool.name}` sets how long it may be silent"
        )
    if exceeded:
        return _say_exceeded(tool, exceeded.key, exceeded.limit, exceeded.used)
    if key := hit_limit(tool, exit_) if ended_by == "limit" else None:
        return _say_exceeded(tool, key, getattr(tool.limits, key), None)
    reported = _reported_limit(tool, failed)
    if exit_.signal is not None:
        return f"killed by {exit_.signal}{reported}"
    told = _told_signal(exit_.status) if tool.sandbox else None
    return f"exit status {exit_.status}" + (f" (128 + {told})" if told else "") + reported


def show_limits(limits: Limits) -> list[str]:
    """Return each limit that is set, as `memory 2 GiB`."""
    return [f"{key} {_show(key, value)}" for key, value in limits if value is not None]


def _reported_limit(tool: Tool, failed: Iterable[Excerpt]) -> str:
    """Return which limit of a single process the command says it has met, empty if none."""
    for excerpt in failed:
        end = (excerpt.tail if excerpt.left_out else excerpt.head + excerpt.tail)[-_END:]
        for key, pattern in _REFUSED.items():
            limit = getattr(tool.limits, key)
            if limit is not None and (found := pattern.search(end)):
                return (
                    f"; it reported `{found[0].decode()}`: `limits.{key}` of tool `{tool.name}` is {_show(key, limit)}"
                )
    return ""


def _say_exceeded(tool: Tool, key: str, limit: float, used: float | None) -> str:
    words = {"cpu": "processor time", "file_size": "file size"}.get(key, key)
    found = "" if used is None else f" ({_show(key, used)})"
    return f"{words} limit of {_show(key, limit)} exceeded{found}: `limits.{key}` of tool `{tool.name}`"


def _show(key: str, amount: float) -> str:
    match key:
        case "cpu":
            return f"{amount:.3g}s" if amount < 60 else format_elapsed(amount)
        case "processes" | "open_files":
            return f"{amount:.0f}"
    return format_size(amount)


def _told_signal(status: int | None) -> str | None:
    """Return the signal that a shell, or a sandbox, tells by an exit status: 128 and its number."""
    try:
        return signal.Signals((status or 0) - 128).name
    except ValueError:
        return None


def _seconds(seconds: float | None) -> str:
    assert seconds is not None, "only a limit that is set ends a command"
    return f"{seconds:g}s" if seconds < 60 else format_elapsed(seconds)
