import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import types

from cmdtool.server.messages import MAX_DEPTH, MAX_LINE, LineSplitter, Refusal, read_message


def refused(line: bytes | str) -> tuple[int, Any]:
    """Return the code and the id of the answer."""
    found = read_message(line.encode() if isinstance(line, str) else line)
    assert isinstance(found, Refusal)
    answer = found.answer()
    assert answer is not None
    return answer.error.code, answer.id


@pytest.mark.parametrize(
    "line", ["nonsense", "{", '{"jsonrpc":"2.0","id":1,"method":"ping"}}', "\ufeff{}", "[" * 100_000, "1" * 5000]
)
def test_a_line_that_is_no_json_is_a_parse_error(line: str) -> None:
    assert refused(line) == (types.PARSE_ERROR, None)


def test_bytes_that_are_no_utf_8_are_a_parse_error_outside_a_string() -> None:
    assert refused(b'{"jsonrpc":\xff}') == (types.PARSE_ERROR, None)


@pytest.mark.parametrize(
    ("line", "request_id"),
    [
        ("[]", None),
        ('[{"jsonrpc":"2.0","id":1,"method":"ping"}]', None),
        ("1", None),
        ("null", None),
        ("{}", None),
        ('{"jsonrpc":"2.0","method":5}', None),
        ('{"jsonrpc":"2.0","id":null,"method":"ping"}', None),
        ('{"jsonrpc":"2.0","id":true,"method":"ping"}', None),
        ('{"jsonrpc":"2.0","id":1.0,"method":"ping"}', None),
        ('{"jsonrpc":"2.0","id":{},"method":"ping"}', None),
        (r'{"jsonrpc":"2.0","id":"\ud800","method":"ping"}', None),
        ('{"jsonrpc":"2.0","id":7}', 7),
        ('{"id":7,"method":"ping"}', 7),
        ('{"jsonrpc":"1.0","id":7,"method":"ping"}', 7),
        ('{"jsonrpc":"2.0","id":"seven","method":5}', "seven"),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}', 7),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":"x"}', 7),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":NaN}}', 7),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":-Infinity}}', 7),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":1e999}}', 7),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":1,"a":2}}', 7),
        ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":' + "[" * 100 + "]" * 100 + "}}", 7),
    ],
)
def test_json_that_is_no_request_is_an_invalid_request(line: str, request_id: object) -> None:
    assert refused(line) == (types.INVALID_REQUEST, request_id)


@pytest.mark.parametrize(
    "line",
    [
        '{"jsonrpc":"2.0","method":"notifications/cancelled","params":"x"}',
        '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"a":1,"a":2}}',
        '{"method":"notifications/cancelled"}',
        '{"jsonrpc":"2.0","id":1.5,"result":{}}',
        '{"jsonrpc":"2.0","id":1,"result":[]}',
        '{"jsonrpc":"2.0","id":1,"error":"x"}',
    ],
)
def test_a_malformed_notification_or_response_is_not_answered(line: str) -> None:
    found = read_message(line.encode())
    assert isinstance(found, Refusal)
    assert found.answer() is None


@pytest.mark.parametrize("value", [rb"\ud800", b"\xff"])
def test_what_is_no_text_in_a_value_is_left_to_who_checks_the_value(value: bytes) -> None:
    found = read_message(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"' + value + b'"}}')
    assert isinstance(found, types.JSONRPCRequest)
    assert found.params is not None
    assert 0xD800 <= ord(found.params["a"]) <= 0xDFFF


def test_nesting_is_allowed_up_to_the_limit() -> None:
    inner = MAX_DEPTH - 2  # in the message and its params
    nested = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"a": json.loads("[" * inner + "]" * inner)}}
    assert isinstance(read_message(json.dumps(nested).encode()), types.JSONRPCRequest)
    nested["params"] = {"a": [nested["params"]]}
    assert refused(json.dumps(nested)) == (types.INVALID_REQUEST, 1)


@given(st.lists(st.binary(max_size=20)), st.integers(1, 10))
def test_any_blocks_give_the_same_lines(lines: list[bytes], size: int) -> None:
    data = b"\n".join(lines)
    splitter = LineSplitter()
    found = [line for start in range(0, len(data), size) for line in splitter.feed(data[start : start + size])]
    assert [*found, splitter.end()] == data.split(b"\n")


def test_a_long_line_is_refused_with_its_id_and_the_next_is_read() -> None:
    splitter = LineSplitter()
    head = b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"id":8,"a":"'
    assert list(splitter.feed(head)) == []
    for _ in range(MAX_LINE // 65536 + 1):
        assert list(splitter.feed(b"x" * 65536)) == []
    refusal, line = splitter.feed(b'"}}\nnext\n')
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.id) == (types.INVALID_REQUEST, 7)
    assert line == b"next"


def test_of_a_long_line_little_is_kept() -> None:
    splitter = LineSplitter()
    for _ in range(1000):
        assert list(splitter.feed(b"x" * 65536)) == []
    assert sum(map(len, splitter._parts)) <= 65536
