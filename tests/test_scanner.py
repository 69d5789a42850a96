import time
from typing import Any

import pytest

from cmdtool.model import Progress
from cmdtool.readings import Reading
from cmdtool.scanner import LOOKS, SAVED, Scanner


def scanner(*rules: Any, **spec: Any) -> Scanner:
    return Scanner(Progress.model_validate({"rules": list(rules), **spec}), {})


def numbers(readings: list[Reading]) -> tuple[float | None, float | None] | None:
    return (readings[-1].value, readings[-1].total) if readings else None


def test_a_number_at_the_end_of_a_block_is_not_read_while_more_may_come() -> None:
    scanned = scanner(r"(\d+) of (\d+)")
    assert scanned.feed("stdout", b"1 of 1", 0.0) == []
    assert scanned.feed("stdout", b"2", 0.01) == []
    assert numbers(scanned.feed("stdout", b"0\n", 0.02)) == (1, 120)


def test_a_growing_record_is_read_whole_after_a_pause() -> None:
    scanned = scanner(r"(\d+) of (\d+)")
    scanned.feed("stdout", b"1 of 12", 0.0)
    assert scanned.awaits_quiet("stdout")
    assert numbers(scanned.quiet("stdout")) == (1, 12)
    assert not scanned.awaits_quiet("stdout")
    assert numbers(scanned.feed("stdout", b"0\n", 1.0)) == (1, 120)


def test_a_record_that_grows_without_a_pause_is_looked_at_now_and_then() -> None:
    scanned = scanner(r"\.", total=100)
    readings = [scanned.feed("stdout", b".", number / 10) for number in range(6)]
    assert [numbers(found) for found in readings if found] == [(3, 100), (4, 100), (5, 100), (6, 100)]
    assert numbers(scanned.finish("stdout")) == (6, 100)


def test_looks_at_a_growing_record_are_saved_up_and_limited() -> None:
    scanned = scanner(r"\.", total=1000)
    looks = sum(bool(scanned.feed("stdout", b".", number / 1e5)) for number in range(900))
    assert SAVED <= looks <= SAVED + 900 / 1e5 * LOOKS + 1


def test_a_row_of_marks_is_read_mark_by_mark() -> None:
    scanned = scanner(r"(\d+)\.*$")
    readings = [
        scanned.feed("stdout", block, number / 100) for number, block in enumerate([b"0.", b"..1", b"0", b"...2"])
    ]
    assert [numbers(found) for found in readings if found] == [(0, 100), (0, 100), (10, 100)]


def test_a_record_in_two_writes_is_read_as_one() -> None:
    scanned = scanner({"pattern": "skip", "skip": True}, r"(\d+)%")
    assert scanned.feed("stdout", b"x 90%", 1.0) == []
    assert scanned.feed("stdout", b" skip me\n", 1.002) == []
    timed = scanner(r"elapsed (?P<progress>\S+)")
    assert timed.feed("stdout", b"elapsed 3m", 1.0) == []
    assert numbers(timed.feed("stdout", b"20s\n", 1.002)) == (200, None)


def test_a_look_at_a_growing_record_leaves_out_a_number_at_its_end() -> None:
    scanned = scanner(r"took (?P<progress>\S+)")
    scanned.feed("stdout", b"took", 0.0)
    scanned.feed("stdout", b" 5s ", 0.1)
    assert numbers(scanned.feed("stdout", b"took 3m", 0.2)) == (5, None)


@pytest.mark.parametrize(
    "tail",
    [b"1" + b"a" * 8000 + b" ", b"1" * 8000 + b" ", b"Get 1//usr/share/doc/packages/html/index.html ", b"7" * 8000],
)
def test_no_growing_record_takes_long_to_look_at(tail: bytes) -> None:
    scanned = scanner(r"(\d+)%")
    for number, block in enumerate([b"x ", b"y ", tail, b"z"]):
        began = time.process_time()
        scanned.feed("stdout", block, number * 1.0)
        assert time.process_time() - began < 1


def test_a_finished_record_leaves_nothing_to_wait_for() -> None:
    scanned = scanner(r"(\d+)%")
    assert numbers(scanned.feed("stdout", b"5%\n", 0.0)) == (5, 100)
    assert not scanned.awaits_quiet("stdout")


def test_streams_are_split_apart_and_share_their_state() -> None:
    scanned = scanner(r"of (?P<total>\d+)", r"at (?P<progress>\d+)")
    scanned.feed("stderr", b"of 8\nat", 0.0)
    assert numbers(scanned.feed("stdout", b"at 2\n", 0.0)) == (2, 8)
    assert scanned.last_record == b"at 2"


def test_what_the_end_of_a_stream_ends_is_read() -> None:
    scanned = scanner(r"(\d+)$")
    scanned.feed("stdout", b"99", 0.0)
    assert numbers(scanned.finish("stdout")) == (99, 100)
    assert scanned.finish("stdout") == []


def test_after_a_start_zero_of_what_follows_is_told_first() -> None:
    rules = [
        {"pattern": "^connected", "start": True},
        r"(?P<progress>\d+) of (?P<total>\d+)",
        r"(?P<progress>\d+) so far",
    ]
    scanned = scanner(*rules)
    assert scanned.feed("stdout", b"connected\n", 0.0) == []
    told = [*scanned.feed("stdout", b"3 of 9\n", 0.1), *scanned.feed("stdout", b"4 of 9\n", 0.2)]
    assert [(reading.value, reading.total) for reading in told] == [(0, 9), (3, 9), (4, 9)]
    assert scanned.feed("stdout", b"connected\n", 0.3) == []
    scanned.feed("stdout", b"5 so far", 0.4)
    told = [*scanned.quiet("stdout"), *scanned.feed("stdout", b"\n", 0.5)]
    assert [(reading.value, reading.total) for reading in told] == [(0, None), (5, None), (5, None)]
