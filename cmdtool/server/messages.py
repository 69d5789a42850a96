"""Bytes of a connection -> JSON-RPC messages, or the answer to what is none. Pure: no I/O.

Stricter than JSON parsers are on their own, so that no two programs on the way read a request differently: no duplicate
keys, no NaN, nothing nested without end. A lone surrogate, or a byte that is no UTF-8 (read as one), is let through: it
stands in some value, and whoever checks that value can say in which.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mcp import types
from pydantic import ValidationError
from pydantic_core import from_json

MAX_LINE: Final = 4 << 20
"""Bytes of one message; the bound of an HTTP body too."""

MAX_DEPTH: Final = 64
"""How deep arrays and objects may nest in a message."""

_HEAD: Final = 64 << 10
"""Bytes kept of a line that is too long: the id stands at its beginning."""

_LONE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line is no message. It is answered, unless it was a notification or a response: those never are."""

    reason: str
    code: int = types.INVALID_REQUEST
    id: types.RequestId | None = None
    is_answered: bool = True

    def answer(self) -> types.JSONRPCError | None:
        """Return the error response, or None if there may be none."""
        if not self.is_answered:
            return None
        error = types.ErrorData(code=self.code, message=self.reason)
        return types.JSONRPCError(jsonrpc="2.0", id=self.id, error=error)


class LineSplitter:
    """Splits blocks of bytes into lines; one longer than `MAX_LINE` is a `Refusal`, and its rest is not kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> Iterator[bytes | Refusal]:
        """Yield the lines that end in `block`."""
        *ended, rest = block.split(b"\n")
        for part in ended:
            self._keep(part)
            yield self.end()
        self._keep(rest)

    def end(self) -> bytes | Refusal:
        """Return what is pending as a line: input may end without a line end."""
        line, is_too_long = b"".join(self._parts), self._size > MAX_LINE
        self._parts, self._size = [], 0
        return _refuse_long_line(line) if is_too_long else line

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= MAX_LINE:
            self._parts.append(part)
        elif len(self._parts) != 1 or len(self._parts[0]) != _HEAD:
            self._parts = [(b"".join(self._parts) + part)[:_HEAD]]


def read_message(line: bytes) -> types.JSONRPCMessage | Refusal:
    """Return the message that a line holds."""
    found = _Findings()
    try:
        value = json.loads(
            line.decode("utf-8", "surrogateescape"),
            object_pairs_hook=found.object,
            parse_float=found.float,
            parse_constant=found.constant,
        )
    except RecursionError:
        return Refusal(f"nested deeper than {MAX_DEPTH} levels", types.PARSE_ERROR)
    except ValueError:
        return Refusal("not JSON", types.PARSE_ERROR)
    if not isinstance(value, dict):
        return Refusal("not an object; batches are not taken")
    if _is_deeper(value, MAX_DEPTH):
        found.problems.append(f"nested deeper than {MAX_DEPTH} levels")
    if "method" not in value and ("result" in value or "error" in value):
        return _read_response(value, found.problems)
    if isinstance(value.get("method"), str) and "id" not in value:
        return _read_notification(value, found.problems)
    return _read_request(value, found.problems)


def _read_request(value: dict[str, Any], problems: list[str]) -> types.JSONRPCRequest | Refusal:
    request_id = _as_id(value.get("id"))
    try:
        request = types.JSONRPCRequest.model_validate(value, by_name=False)
    except ValidationError as exc:
        keys = dict.fromkeys(str(error["loc"][0]) for error in exc.errors(include_url=False, include_input=False))
        problems.append(f"missing or of a wrong type: {', '.join(keys)}")
    else:
        if request_id is None:
            problems.append("the id is not text")
        if not problems:
            return request
    return Refusal(f"not a valid request: {problems[0]}", id=request_id)


def _read_notification(value: dict[str, Any], problems: list[str]) -> types.JSONRPCNotification | Refusal:
    try:
        notification = types.JSONRPCNotification.model_validate(value, by_name=False)
    except ValidationError:
        return Refusal("a malformed notification", is_answered=False)
    return Refusal(f"a notification: {problems[0]}", is_answered=False) if problems else notification


def _read_response(value: dict[str, Any], problems: list[str]) -> types.JSONRPCMessage | Refusal:
    kind = types.JSONRPCResponse if "result" in value else types.JSONRPCError
    try:
        response = kind.model_validate(value, by_name=False)
    except ValidationError:
        return Refusal("a malformed response", is_answered=False)
    return Refusal(f"a response: {problems[0]}", is_answered=False) if problems else response


def _refuse_long_line(head: bytes) -> Refusal:
    try:
        value = from_json(head, allow_partial=True)
    except ValueError:
        value = None
    request_id = _as_id(value.get("id")) if isinstance(value, dict) else None
    return Refusal(f"a message is longer than {MAX_LINE >> 20} MiB", id=request_id)


def _as_id(value: object) -> types.RequestId | None:
    if isinstance(value, str):
        return None if _LONE.search(value) else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        inner = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        # What is empty ends here: of a megabyte of `{},{},` no list is made.
        level = [child for children in inner for child in children if child and isinstance(child, dict | list)]
        if not level:
            return False
    return True


@dataclass
class _Findings:
    """Hooks of `json.loads`: what is found does not stop the reading, for the id is wanted."""

    problems: list[str] = field(default_factory=list)

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self.problems.append("an object holds a key twice")
        return value

    def float(self, text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            self.problems.append("a number is out of range")
        return value

    def constant(self, text: str) -> None:
        self.problems.append(f"`{text}` is not JSON")
