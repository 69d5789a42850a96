"""Output played to the rules on its own clock."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from cmdtool.model import Progress
from cmdtool.recording import Chunk, Recording
from cmdtool.replay import Client, Player, Sent, Step, held, pieces, replay


def spec(*rules: Any, **others: Any) -> Progress:
    return Progress.model_validate({"rules": list(rules), **others})


def recording(*chunks: tuple[float, bytes]) -> Recording:
    blocks = tuple(Chunk(t, "stdout", data) for t, data in chunks)
    return Recording(
        id="", program="x", version="", argv=("x",), mode="pipe", exit_code=0, duration=None, chunks=blocks
    )


def steps(rules: Progress, *chunks: tuple[float, bytes]) -> list[Step]:
    return list(replay(recording(*chunks), Player(rules)))


def values(found: list[Step]) -> list[tuple[float, float | None]]:
    return [(step.t, reading.value) for step in found for reading in step.readings]


def play_to(client: Client, steps: Iterable[Step], end: float, *, success: bool) -> Iterator[Sent]:
    """Iterate over what the client of a whole run would be sent."""
    for step in steps:
        yield from client.advance(step.t)
        client.offer(step)
    yield from client.advance(end)
    yield from client.finish(success=success)


def sent(rules: Progress, end: float, *chunks: tuple[float, bytes], success: bool = True) -> list[Sent]:
    return list(play_to(Client(rules, None), steps(rules, *chunks), end, success=success))


def test_output_is_cut_where_a_record_may_end() -> None:
    data = b"1%\r2%\r\n3%\b\b4%"
    assert pieces(data) == [b"1%\r", b"2%\r", b"\n", b"3%", b"\b\b", b"4%"]
    assert b"".join(pieces(data)) == data


def test_each_record_of_a_block_has_its_reading_at_the_time_of_the_block() -> None:
    found = steps(spec(r"(\d+)%"), (1.0, b"10%\n20%\nnothing\n"), (2.0, b"30%\n"))
    assert values(found) == [(1.0, 10), (1.0, 20), (2.0, 30)]
    assert [step.records for step in found] == [(b"10%",), (b"20%",), (b"nothing",), (b"30%",)]


def test_a_record_that_grows_is_read_after_a_pause_and_shown_once() -> None:
    found = steps(spec(r"(\d+)%"), (1.0, b"10%"), (2.0, b"\r20%"), (3.0, b"\r30"), (3.01, b"%\n"))
    assert values(found) == [(1.0, 10), (2.0, 20), (3.01, 30)]
    assert [step.records for step in found] == [(b"10%",), (b"20%",), (b"30%",)]


def test_a_record_that_goes_on_after_a_look_is_shown_again() -> None:
    found = steps(spec(r"\.", total=3), (1.0, b"."), (2.0, b"."), (3.0, b".\n"))
    assert values(found) == [(1.0, 1), (2.0, 2), (3.0, 3)]


def test_what_has_no_end_is_read_at_the_end() -> None:
    assert values(steps(spec(r"(\d+)%"), (1.0, b"5"), (1.01, b"0%"))) == [(1.01, 50)]


def test_a_client_is_sent_the_newest_reading_at_most_ten_times_a_second() -> None:
    chunks = [(number / 100, f"{number}%\n".encode()) for number in range(1, 101)]
    updates = sent(spec(r"(\d+)%"), 1.0, *chunks)
    assert 5 < len(updates) <= 11
    assert all(before.t < after.t for before, after in pairwise(updates[:-1]))
    assert all(before.update.progress < after.update.progress for before, after in pairwise(updates))
    assert updates[0].update.progress == 1
    assert (updates[-1].update.progress, updates[-1].update.total) == (100, 100)


def test_silence_brings_signs_of_life() -> None:
    updates = sent(spec(r"(\d+)%", heartbeat=2), 7.0, (0.5, b"10%\n"))
    assert [round(update.t, 1) for update in updates] == [0.5, 2.5, 4.5, 6.5, 7.0]
    assert updates[1].update.message == "2s elapsed · 10%"


@pytest.mark.parametrize(("success", "last"), [(True, 100), (False, 99.9)])
def test_only_a_success_completes(success: bool, last: float) -> None:
    updates = sent(spec(r"(\d+)%"), 1.0, (0.5, b"100%\n"), success=success)
    assert updates[-1].update.progress == pytest.approx(last)


def test_an_update_names_the_stage_that_was_read_last() -> None:
    rules = spec(r"^(?P<stage>\w+):", r"(\d+)%")
    updates = sent(rules, 3.0, (1.0, b"one: 10%\n"), (2.0, b"two: 50%\n"))
    assert [update.stage for update in updates] == ["one", "two", "two"]


def test_readings_that_would_take_the_progress_back_are_held() -> None:
    rules = spec(r"(\d+)%")
    found = steps(rules, (1.0, b"10%\n"), (2.0, b"5%\n"), (3.0, b"10%\n"), (4.0, b"11%\n"))
    assert held(found, rules) == [2.0]


def test_a_weighted_stage_begins_anew_and_is_not_held() -> None:
    rules = spec(r"^(?P<stage>\w+):", r"(\d+)%", stages={"one": 1, "two": 1})
    assert held(steps(rules, (1.0, b"one: 90%\n"), (2.0, b"two: 10%\n")), rules) == []
