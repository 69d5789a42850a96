"""How a call ended -> the one line that tells whoever called, with the key of the manifest where one decided."""

import signal
from typing import Final, Literal, TypeAlias

from cmdtool.model import Limits, Tool
from cmdtool.process import Exceeded, Exit
from cmdtool.progress import format_elapsed
from cmdtool.values import format_size

EndedBy: TypeAlias = Literal["start", "exit", "timeout", "idle_timeout", "limit"]

_LIMIT_OF: Final = {"SIGXCPU": "cpu", "SIGXFSZ": "file_size"}


def hit_limit(tool: Tool, exit_: Exit) -> str | None:
    """Return the limit of a single process that the kernel enforced by a signal, None if it is not known to be one."""
    key = _LIMIT_OF.get(exit_.signal or _told_signal(exit_.status) or "")
    return key if key and getattr(tool.limits, key) is not None else None


def describe_end(tool: Tool, ended_by: EndedBy, exit_: Exit, exceeded: Exceeded | None) -> str:
    """Return the line that says how the command ended; `exceeded` is the limit by which cmdtool ended it."""
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
    if exit_.signal is not None:
        return f"killed by {exit_.signal}"
    told = _told_signal(exit_.status) if tool.sandbox else None
    return f"exit status {exit_.status}" + (f" (128 + {told})" if told else "")


def show_limits(limits: Limits) -> list[str]:
    """Return each limit that is set, as `memory 2 GiB`."""
    return [f"{key} {_show(key, value)}" for key, value in limits if value is not None]


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
