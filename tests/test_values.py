import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.errors import BadValue
from cmdtool.values import (
    MAX_NUMBER_LENGTH,
    describe,
    first_number,
    is_unquoted_hole,
    parse_duration,
    parse_number,
    parse_size,
    quoting_hint,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        (" 42 ", 42),
        ("0.75", 0.75),
        (".5", 0.5),
        ("7.", 7),
        ("1,234", 1234),
        ("1,234,567.5", 1234567.5),
        ("1.5MiB", 1.5 * 2**20),
        ("1.5 MiB", 1.5 * 2**20),
        ("0   B", 0),
        ("5k", 5120),
        ("5kB", 5000),
        ("5KB", 5000),
        ("2G", 2 * 2**30),
        ("512B", 512),
        ("512 bytes", 512),
        ("00:01:02.50", 62.5),
        ("01:30", 90),
        ("100:00:00", 360_000),
        ("3m20s", 200),
        ("1h 30m", 5400),
        ("250ms", 0.25),
        ("1d2h", 93_600),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "+1", "1e9", "nan", "inf", "0x10", "1_000", "٤٢", "1,23", "1,2345", "1:2", "5 parsecs", "9" * 21],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_number(text) is None


@given(st.text(max_size=30) | st.text("0123456789.,:kKmMgGiIbBhdst ", max_size=22))
def test_a_number_is_finite_and_not_negative_whatever_is_printed(text: str) -> None:
    number = parse_number(text)
    assert number is None or (math.isfinite(number) and number >= 0 and len(text.strip()) <= MAX_NUMBER_LENGTH)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(90, 90), (0.5, 0.5), ("90", 90), ("90s", 90), ("1h30m", 5400), ("1h 30m", 5400), (" 2m ", 120), ("100ms", 0.1)],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [0, -1, True, None, "", "soon", "1 0", "9 0s", "-5s", "1:30", [], {}, math.nan, math.inf, 10**400, "9" * 400],
)
def test_what_is_no_duration_is_refused_with_a_hint(value: object) -> None:
    with pytest.raises(BadValue, match="expected a duration, found") as caught:
        parse_duration(value)
    assert "1h30m" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "size"),
    [(65536, 65536), ("64KiB", 65536), ("64K", 65536), ("2G", 2**31), ("10MB", 10**7), ("1.5 kB", 1500), ("7", 7)],
)
def test_sizes(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", [0, -1, 0.5, True, None, "", "much", "-1K", [], math.nan, 10**400, "9" * 400])
def test_what_is_no_size_is_refused_with_a_hint(value: object) -> None:
    with pytest.raises(BadValue, match="expected a size, found") as caught:
        parse_size(value)
    assert "64KiB" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "the boolean `true`"),
        (8, "the number `8`"),
        ("x", "`x`"),
        ({}, "a mapping"),
        ([], "a list"),
        (datetime.date(2026, 11, 1), "`2026-11-01`"),
    ],
)
def test_a_yaml_value_is_described_in_words(value: object, words: str) -> None:
    assert describe(value) == words


def test_a_hole_without_quotes_is_known_for_what_it_is() -> None:
    assert is_unquoted_hole({"source": None})
    assert quoting_hint({"source": None}) == 'YAML reads this as a mapping; quote it: "{source}"'
    assert not is_unquoted_hole({"if": "dry_run"})


@pytest.mark.parametrize(
    ("value", "hint"), [(None, "'~'"), (True, "quote it"), (8, "quote it"), ({"a": 1}, ""), (["a"], "")]
)
def test_the_hint_says_how_text_is_written(value: object, hint: str) -> None:
    assert hint in quoting_hint(value) if hint else quoting_hint(value) == ""


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("4 files", 4),
        ("1.5M ./folder", 1.5 * 2**20),
        ("0:10:34.53", 634.53),
        ("10, all files", 10),
        ("  1,234 of them", 1234),
        ("12files", 12),
        ("none", None),
        ("", None),
    ],
)
def test_the_first_number_of_a_line_is_read_with_its_unit(line: str, number: float | None) -> None:
    assert first_number(line) == number
