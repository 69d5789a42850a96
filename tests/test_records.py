from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.records import MAX_RECORD, Placed, RecordSplitter

PIECES = st.sampled_from(
    [
        *(
            b"a",
            b"45%",
            b"\xe2\x96\x88",
            b" ",
            b"\t",
            b"\n",
            b"\r",
            b"\r\n",
            b"\b",
            b"\b\b\b",
            b"\x00",
            b"\x07",
            b"\x7f",
        ),
        *(
            b"\x1b",
            b"\x1b[",
            b"\x1b[A",
            b"\x1b[2D",
            b"\x1b[C",
            b"\x1b[1;31m",
            b"\x1b[K",
            b"\x1b[?25l",
            b"\x1b[12 ",
            b"J",
        ),
        *(b"\x1b]", b"\x1b]0;t", b"\x1b\\", b"\x1bP", b"\x1b(B", b"\x1b7", b"\\", b"x" * 5000, b"1" * 70),
    ]
)
OUTPUTS = st.lists(PIECES, max_size=30).map(b"".join)


def split(chunks: Iterable[bytes]) -> list[bytes]:
    splitter = RecordSplitter()
    return [record for chunk in chunks for record in splitter.feed(chunk)] + splitter.finish()


@pytest.mark.parametrize(
    ("printed", "records"),
    [
        (b"one\ntwo\r\nthree\rfour", [b"one", b"two", b"three", b"four"]),
        (b"\n\n\r\r", []),
        (b"copy 45%\b\b\b46%\b\b\b47%\n", [b"copy 45%", b"copy 46%", b"copy 47%"]),
        (b"45%\b\b\b", [b"45%"]),
        ("█\b▌".encode(), ["█".encode(), "▌".encode()]),
        (b"45%\x1b[3D46%", [b"45%", b"46%"]),
        (b"one\x1b[Atwo\x1b[2;1Hthree\x1b[2Jfour", [b"one", b"two", b"three", b"four"]),
        (b"\x1b[1G45%\x1b[0K\x1b[1G46%", [b"45%", b"46%"]),
        (b"\x1b[1;32m45%\x1b[0m\x1b[K\r\x1b[?25h", [b"45%"]),
        (b"a\x1b[4Cb", [b"a b"]),
        (b"\x1b]0;45%\x07a\x1b]8;;x\x1b\\b\x1bPq\nq\x1b\\c\x1b(B\x1b7", [b"abc"]),
        (b"\x1b]0;45%\x1b[1ma", [b"a"]),
        (b"\x1b]stray\nnext", [b"stray", b"next"]),
        (b"a\x00\x07\x7f\tb", [b"a\tb"]),
        (b"end\x1b[3", [b"end"]),
    ],
)
def test_records_end_where_the_line_does_or_is_redrawn(printed: bytes, records: list[bytes]) -> None:
    assert split([printed]) == records


@given(OUTPUTS, st.lists(st.integers(0, 20_000)))
def test_any_chunking_gives_the_same_records(printed: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(printed), *(cut % (len(printed) + 1) for cut in cuts)})
    chunks = [printed[start:end] for start, end in pairwise(places)]
    assert split(chunks) == split([printed])


@given(OUTPUTS)
def test_single_bytes_give_the_same_records(printed: bytes) -> None:
    assert split(printed[i : i + 1] for i in range(len(printed))) == split([printed])


def rows(records: Iterable[bytes]) -> list[tuple[bytes, int | None]]:
    return [(bytes(record), record.row if isinstance(record, Placed) else None) for record in records]


def test_records_of_a_program_that_draws_are_placed_on_their_rows() -> None:
    printed = b"log\r\n\repoch 0\n\rbatch 0\x1b[A\n\rbatch 1\x1b[A\repoch 1\x1b[3;1Hend"
    expected = [(b"log", None), (b"epoch 0", 1), (b"batch 0", 2), (b"batch 1", 2), (b"epoch 1", 1), (b"end", 2)]
    assert rows(split([printed])) == expected
    assert rows(split(printed[i : i + 1] for i in range(len(printed)))) == expected


def test_plain_output_is_not_placed_and_cr_lf_draws_nothing() -> None:
    assert rows(split([b"one\r", b"\ntwo\r\n"])) == [(b"one", None), (b"two", None)]
    splitter = RecordSplitter()
    splitter.feed(b"a\rb\n")
    assert not splitter.has_moved_up
    splitter.feed(b"\x1b[A")
    assert splitter.has_moved_up


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\x1b[A"])
def test_a_long_line_is_cut_and_the_next_one_is_whole(end: bytes) -> None:
    assert split([b"x" * 5000, b"y" * 5000 + end + b"next"]) == [b"x" * 5000 + b"y" * (MAX_RECORD - 5000), b"next"]


def test_backspaces_beyond_the_kept_part_leave_it_alone() -> None:
    line = b"x" * MAX_RECORD
    assert split([line + b"yyy\b\b\bz\n"]) == [line, line]
    assert split([line + b"y\b\bz\n"]) == [line, line[:-1] + b"z"]


def test_an_endless_line_or_escape_sequence_takes_bounded_memory() -> None:
    for start in (b"", b"\x1b]", b"\x1bP", b"\x1b["):
        splitter = RecordSplitter()
        splitter.feed(start)
        for _ in range(100):
            splitter.feed(b"1" * 1000)
        assert len(splitter.pending) == MAX_RECORD


def test_pending_text_is_what_was_added_since_the_last_record() -> None:
    splitter = RecordSplitter()
    splitter.feed(b"done\n10\x1b[3")
    assert splitter.pending == b"10"
    assert splitter.feed(b"1m%\b\b\b") == [b"10%"]
    assert splitter.pending == b""
    splitter.feed(b"20%")
    assert splitter.pending == b"20%"
    assert splitter.finish() == [b"20%"]
    assert splitter.pending == b""
