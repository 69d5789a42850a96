"""A recorded run as text: what a command printed, block by block, with the times. No I/O.

One JSON object a line: first the run (`id`, `program`, `version`, `argv`, `mode`, `exit_code`, `duration_s`), then each
block that was read (`t`, seconds since the start; `fd`, 1 or 2; `b64`, the bytes).
"""

import base64
import json
import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from cmdtool.errors import CmdtoolError
from cmdtool.model import STREAMS, Stream

Mode: TypeAlias = Literal["pipe", "pty"]
MODES: Final[tuple[Mode, ...]] = ("pipe", "pty")

_SIGNATURE: Final = frozenset({"argv", "mode", "program"})
_HEAD_LENGTH: Final = 64
"""Room in the first line for what is only known at the end: an exit status and a duration."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A block of output as it was read, `t` seconds after the start."""

    t: float
    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """One run. Under a pseudo-terminal (`pty`) all of its output is standard output."""

    id: str
    program: str
    version: str
    argv: tuple[str, ...]
    mode: Mode
    exit_code: int | None
    """The exit status, -N if signal N ended the run, None if its end was not recorded."""
    duration: float | None
    chunks: tuple[Chunk, ...] = ()


def is_recording(line: str | bytes) -> bool:
    """Whether a text that begins with `line` is a recording, sound or not."""
    head = json.loads(line) if _is_json(line) else None
    return isinstance(head, dict) and head.keys() >= _SIGNATURE


def parse_recording(name: str, text: str) -> Recording:
    """Return the recording that `text`, the content of the file `name`, holds.

    Half a line at the end is left out: the recorder was killed while it wrote it.

    Raises:
        CmdtoolError: it is none, or a line of it is damaged; the message says which.
    """
    first, _, rest = text.partition("\n")
    if not is_recording(first):
        raise CmdtoolError(f"{name}: not a recording\nhint: `cmdtool record -o FILE -- COMMAND` makes one")
    *lines, last = rest.split("\n")
    number = 1
    try:
        head = _parse_head(first)
        chunks: list[Chunk] = []
        for line in [*lines, last] if _is_json(last) else lines:
            number += 1
            chunks.append(_parse_chunk(line, chunks[-1].t if chunks else 0.0))
    except ValueError as exc:
        raise CmdtoolError(f"{name}:{number}: the recording is damaged: {exc}") from exc
    return replace(head, chunks=tuple(chunks))


def dump_head(recording: Recording) -> str:
    """Return the first line. With an end it is as long as without: it can be written over once the end is known."""
    head = {
        "id": recording.id,
        "program": recording.program,
        "version": recording.version,
        "argv": recording.argv,
        "mode": recording.mode,
    }
    fixed = json.dumps(head)[:-1]
    duration = None if recording.duration is None else round(recording.duration, 4)
    end = f', "exit_code": {json.dumps(recording.exit_code)}, "duration_s": {json.dumps(duration)}}}'
    return f"{fixed}{end.ljust(_HEAD_LENGTH)}\n"


def dump_chunk(chunk: Chunk) -> str:
    """Return the line of one block."""
    line = {"t": round(chunk.t, 4), "fd": STREAMS.index(chunk.stream) + 1, "b64": base64.b64encode(chunk.data).decode()}
    return json.dumps(line, separators=(",", ":")) + "\n"


def _parse_head(line: str) -> Recording:
    head: dict[str, Any] = json.loads(line)
    argv, exit_code, duration = head["argv"], head.get("exit_code"), head.get("duration_s")
    _require(isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv), "`argv` is no argv")
    _require(head["mode"] in MODES, "`mode` is neither `pipe` nor `pty`")
    _require(exit_code is None or type(exit_code) is int, "`exit_code` is no exit status")
    _require(duration is None or _is_time(duration), "`duration_s` is no duration")
    return Recording(
        id=_text(head, "id"),
        program=_text(head, "program"),
        version=_text(head, "version"),
        argv=tuple(argv),
        mode=head["mode"],
        exit_code=exit_code,
        duration=duration,
    )


def _text(head: dict[str, Any], key: str) -> str:
    text = head.get(key) or ""
    _require(isinstance(text, str), f"`{key}` is no text")
    return str(text)


def _parse_chunk(line: str, earliest: float) -> Chunk:
    chunk: Any = json.loads(line) if _is_json(line) else None
    _require(isinstance(chunk, dict) and chunk.keys() >= {"t", "fd", "b64"}, "expected `t`, `fd` and `b64`")
    t, fd = chunk["t"], chunk["fd"]
    _require(_is_time(t), "`t` is no time")
    _require(t >= earliest, f"`t` falls from {earliest:g} to {t:g}")
    _require(fd in (1, 2), "`fd` is neither 1 nor 2")
    try:
        data = base64.b64decode(chunk["b64"], validate=True)
    except (ValueError, TypeError) as exc:
        raise ValueError("`b64` is not base64") from exc
    return Chunk(float(t), STREAMS[fd - 1], data)


def _is_json(line: str | bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _require(holds: object, complaint: str) -> None:
    if not holds:
        raise ValueError(complaint)
