"""What the miner tells of records, and what it stays silent on. Real recordings are in `test_recordings.py`."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.mining import Miner


def mined(*records: str) -> list[tuple[float | None, float | None]]:
    miner = Miner()
    return [(reading.value, reading.total) for record in records for reading in miner.feed("stdout", [record.encode()])]


def values(readings: Sequence[tuple[float | None, float | None]]) -> list[float | None]:
    return [value for value, _ in readings]


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (["[ 3%] cc a", "[ 6%] cc b", "[ 9%] ld c"], [(3, 100), (6, 100), (9, 100)]),
        (["Step 1 of 4: apples", "Step 2 of 4: pears"], [(1, 4), (2, 4)]),
        (["0/ 64 a", "1/ 63 b", "40/ 24 c"], [(0, 64), (1, 64), (40, 64)]),
        (["scan 5 of 10", "scan 7 of 14", "scan 9 of 20", "scan 12 of 20"], [(9, 20), (12, 20)]),
        (["copied 4.0 MB", "copied 8.0 MB", "copied 9.0 MB"], [(4e6, None), (8e6, None), (9e6, None)]),
        (["row 1", "row 2", "row 3", "row 4"], [(1, None), (2, None), (3, None), (4, None)]),
        (['{"p": 1, "progress": 0.1}', '{"p": 1, "progress": 0.2}', '{"p": 1, "progress": 0.4}'], None),
        (["[#    ]", "[##   ]", "[###  ]"], [(1, 5), (2, 5), (3, 5)]),
        (["to-chk=20/23", "to-chk=18/23"], [(3, 23), (5, 23)]),
    ],
)
def test_what_rises_is_told_with_what_it_said_before(
    records: list[str], told: list[tuple[float, float | None]] | None
) -> None:
    assert mined(*records) == (told if told is not None else [(10, 100), (20, 100), (40, 100)])


@pytest.mark.parametrize(
    "records",
    [
        ["[100%] built"],
        ["disk 30% /", "disk 0% /dev", "disk 0% /run", "disk 30% /"],
        ["a (deflated 24%)", "b (deflated 31%)", "c (deflated 45%)"],
        ["load 10%", "load 20%", "load 30%"],
        ["x 75.3%", "x 75.3%", "x 75.3%"],
        ["12:00:01 tick", "12:00:02 tick", "12:00:03 tick", "12:00:04 tick"],
        ["2026-11-21 a", "2026-11-22 a", "2026-11-23 a", "2026-11-24 a"],
        ["elapsed 1 s", "elapsed 2 s", "elapsed 3 s", "elapsed 4 s"],
        ["pid 100", "pid 101", "pid 102", "pid 103"],
        ["A: 23.9%", "C: 25.4%", "G: 26.0%", "T: 31.0%"],
        ["3/7", "3/7", "3/7"],
        ["temp 40 x", "temp 42 x", "temp 39 x", "temp 44 x", "temp 40 x", "temp 45 x"],
        ["0 100 x", "100 100 x"],
        ["4.0K a/b", "8.0K a/c", "12K a"],
    ],
)
def test_constants_ratios_tables_times_and_summaries_stay_unread(records: list[str]) -> None:
    assert mined(*records) == []


def test_a_total_that_appears_ends_a_bare_count() -> None:
    told = mined("read 1 rows", "read 2 rows", "read 3 rows", "1/10 done", "2/10 done", "3/10 done", "read 9 rows")
    assert told[:3] == [(1, None), (2, None), (3, None)]
    assert told[3:] == [(1, 10), (2, 10), (3, 10)]


def test_phases_are_followed_once_the_one_before_is_complete_or_silent() -> None:
    told = mined("get: 50% (1/2)", "get: 100% (2/2)", "put: 10% (1/9)", "put: 20% (2/9)")
    assert told == [(1, 2), (2, 2), (1, 9), (2, 9)]
    told = mined("get [1/9]", "get [2/9]", "put [1/5]", "put [2/5]")
    assert told == [(1, 9), (2, 9), (1, 5), (2, 5)]


def test_what_counts_the_parts_of_a_job_beats_what_restarts_in_each() -> None:
    told = mined("file 1/3 10%", "file 1/3 60%", "file 1/3 100%", "file 2/3 5%", "file 2/3 90%", "file 3/3 50%")
    assert list(dict.fromkeys(told)) == [(1, 3), (2, 3), (3, 3)]


def test_a_number_that_falls_is_left_alone() -> None:
    swings = ["use 1 of 9", "use 2 of 9"] * 4
    assert mined(*swings) == mined(*swings * 10)
    begun = ["x 10% done", "x 20% done"]
    assert mined(*begun, *["x 5% done", "x 6% done"] * 5) == mined(*begun, *["x 5% done", "x 6% done"] * 50)


def test_what_a_preview_told_is_not_told_again() -> None:
    miner = Miner()
    assert miner.preview("stdout", b"1 of 9") == []
    assert miner.feed("stdout", [b"1 of 9"]) == []
    assert [reading.value for reading in miner.preview("stdout", b"2 of 9")] == [1, 2]
    assert miner.preview("stdout", b"2 of 9") == []
    assert miner.feed("stdout", [b"2 of 9"]) == []
    assert [reading.value for reading in miner.feed("stdout", [b"3 of 9"])] == [3]


def test_a_preview_changes_nothing_if_the_record_ends_otherwise() -> None:
    miner = Miner()
    miner.feed("stdout", [b"1 of 90 x"])
    miner.preview("stdout", b"2 of 9")
    assert [reading.value for reading in miner.feed("stdout", [b"2 of 90 x"])] == [1, 2]


def test_a_row_of_dots_is_counted_while_it_grows_steadily() -> None:
    def looks(*rows: int) -> list[float | None]:
        miner = Miner()
        return [reading.value for count in rows for reading in miner.preview("stderr", b"." * count)]

    assert looks(1, 2, 3, 4, 5) == [1, 2, 3, 4, 5]
    assert looks(18, 40, 41, 42, 43, 44) == []


@given(
    st.lists(
        st.one_of(
            st.text(alphabet="0123456789 .,:/%[]()#=-of\tkMB", max_size=60),
            st.builds("{} {}/{}".format, st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 9)),
            st.builds("{}%".format, st.integers(0, 120)),
        ),
        max_size=40,
    )
)
def test_whatever_is_printed_no_more_is_done_than_there_is(records: list[str]) -> None:
    for value, total in mined(*records):
        assert value is not None
        assert 0 <= value < float("inf")
        assert total is None or value <= total


def test_a_block_of_many_records_ends_where_its_single_records_do() -> None:
    records = [f"item {number} of 5000".encode() for number in range(5000)]
    readings = Miner().feed("stdout", records)
    assert (readings[-1].value, readings[-1].total) == (4999, 5000)
    assert all(before.value < after.value for before, after in pairwise(readings) if before.value and after.value)


def test_a_share_is_of_one_until_more_was_seen() -> None:
    lines = [f'{{"progress": {value}}}' for value in (0.2, 0.6, 1.0, 1.4, 1.8, 2.2, 2.6)]
    assert values(mined(*lines))[-1] == 2.6
    assert mined(*(f'{{"percent": {value}}}' for value in (0.2, 0.6, 1.0)))[-1] == (1, 100)


def test_of_epochs_with_a_bar_each_the_epochs_are_followed() -> None:
    bars = [f"{step}/20 [==>..] - ETA: {20 - step}s" for step in (1, 5, 20)]
    told = mined("Epoch 1/3", *bars, "Epoch 2/3", *bars, "Epoch 3/3", *bars)
    assert list(dict.fromkeys(told))[:3] == [(1, 3), (2, 3), (3, 3)]


def test_of_a_block_of_many_records_each_verdict_is_counted() -> None:
    records = [line for number in range(500) for line in (f"PASS {number:x}".encode(), b"some words")]
    assert Miner().feed("stdout", records)[-1].value == 500
