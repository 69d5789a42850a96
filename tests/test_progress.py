import math
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from cmdtool.model import ProgressSpec
from cmdtool.progress import ALMOST, NOTHING, SPACING, ProgressTracker, Update, format_elapsed
from cmdtool.readings import Reading


def reading(value: float | None, total: float | None = None, message: str = "", stage: str | None = None) -> Reading:
    return Reading(value=value, total=total, message=message, stage=stage)


def tracker(**spec: object) -> ProgressTracker:
    return ProgressTracker(ProgressSpec.model_validate(spec), now=0.0)


def send_all(tracked: ProgressTracker, readings: list[Reading], *, step: float = 1.0) -> list[Update]:
    """Offer the readings one after the other, slowly enough for each to go out."""
    sent, now = [], 0.0
    for each in readings:
        tracked.offer(each)
        if update := tracked.take(now):
            sent.append(update)
        now += step
    return sent


def pairs(updates: list[Update]) -> list[tuple[float, float | None]]:
    return [(update.progress, update.total) for update in updates]


def test_percentages_go_out_as_they_are_and_success_completes_them() -> None:
    tracked = tracker()
    assert pairs(send_all(tracked, [reading(0, 100), reading(50, 100), reading(99, 100)])) == [
        (0, 100),
        (50, 100),
        (99, 100),
    ]
    assert tracked.finish(success=True, now=9.0) == Update(100, 100, "")


def test_a_reading_at_its_total_waits_for_the_exit() -> None:
    tracked = tracker()
    assert pairs(send_all(tracked, [reading(8, 8)])) == [(8 * ALMOST, 8)]
    assert tracked.finish(success=True, now=9.0) == Update(8, 8, "")


def test_a_failure_stays_below_the_total() -> None:
    tracked = tracker()
    send_all(tracked, [reading(3, 4)])
    tracked.offer(reading(4, 4, "at the end"))
    last = tracked.finish(success=False, now=9.0)
    assert last == Update(4 * ALMOST, 4, "at the end")


def test_a_falling_fraction_is_held_and_its_message_still_goes_out() -> None:
    sent = send_all(tracker(), [reading(50, 100, "a"), reading(20, 100, "b"), reading(20, 100, "b")])
    assert [update.message for update in sent] == ["a", "b"]
    assert 50 < sent[1].progress < 50.001


def test_a_changed_total_with_a_risen_fraction_is_converted_to_the_old_total() -> None:
    assert pairs(send_all(tracker(), [reading(500, 1000), reading(6, 10)])) == [(500, 1000), (600, 1000)]


def test_a_grown_total_with_a_risen_value_goes_out_as_it_stands() -> None:
    assert pairs(send_all(tracker(), [reading(50, 100), reading(60, 200)])) == [(50, 100), (60, 200)]


def test_a_total_that_appears_after_a_count_is_scaled_by_a_power_of_ten() -> None:
    sent = send_all(tracker(), [reading(500), reading(10, 50), reading(20, 50)])
    assert pairs(sent) == [(500, None), (1000, 5000), (2000, 5000)]


def test_a_count_after_a_total_never_goes_back_to_indeterminate() -> None:
    sent = send_all(tracker(), [reading(5, 10), reading(7, None, "copying")])
    assert [update.total for update in sent] == [10, 10]
    assert sent[1].message == "copying"


def test_a_count_may_follow_a_total_of_which_nothing_was_claimed() -> None:
    # curl prints the same first line whether or not a length will follow.
    assert pairs(send_all(tracker(), [reading(0, 100), reading(512)])) == [(0, 100), (512, None)]


def test_an_indeterminate_success_invents_no_total() -> None:
    tracked = tracker()
    send_all(tracked, [reading(3)])
    tracked.offer(reading(4, None, "last"))
    assert tracked.finish(success=True, now=9.0) == Update(4, None, "last")


def test_a_known_total_is_reached_from_no_reading_at_all() -> None:
    tracked = tracker()
    tracked.expect(8)
    assert tracked.finish(success=True, now=1.0) == Update(8, 8, None)


def test_a_total_before_any_progress_is_none_of_it_so_far() -> None:
    assert pairs(send_all(tracker(), [reading(None, 8), reading(2, 8)])) == [(0, 8), (2, 8)]


def test_a_silent_success_without_a_total_says_nothing() -> None:
    assert tracker().finish(success=True, now=1.0) is None


def test_stages_map_their_own_fraction_into_their_share() -> None:
    tracked = tracker(stages={"validate": 25, "export": 35, "transform": 20, "import": 20})
    steps = [
        reading(None, None, "validate", "validate"),
        reading(None, None, "export", "Export "),
        reading(1, 2, "export", "export"),
        reading(None, None, "import", "IMPORT"),
    ]
    assert pairs(send_all(tracked, steps)) == [(0, 100), (25, 100), (42.5, 100), (80, 100)]
    assert tracked.finish(success=True, now=9.0) == Update(100, 100, "import")


def test_an_unknown_or_earlier_stage_holds_with_its_name_as_message() -> None:
    tracked = tracker(stages={"one": 1, "two": 1})
    steps = [reading(1, 2, "two", "two"), reading(1, 2, "held", "x"), reading(1, 2, "held", "one")]
    sent = send_all(tracked, steps)
    assert [update.message for update in sent] == ["two", "x", "one"]
    assert sent[0].progress == 75
    assert all(75 < update.progress < 75.001 for update in sent[1:])


def test_at_most_one_update_an_interval_and_the_newest_wins() -> None:
    tracked = tracker()
    tracked.offer(reading(1, 100))
    assert tracked.take(0.0) is not None
    tracked.offer(reading(2, 100))
    assert tracked.take(0.05) is None
    tracked.offer(reading(3, 100))
    assert math.isclose(tracked.wait(0.05), SPACING - 0.05)
    assert tracked.take(SPACING) == Update(3, 100, "")


def test_silence_is_broken_by_signs_of_life_that_real_numbers_can_follow() -> None:
    tracked = tracker(heartbeat="10s")
    tracked.hear(b"linking \x1b[1mbig\x1b[0m program")
    assert tracked.take(9.9) is None
    assert tracked.take(10.0) == Update(1e-5, None, "10s elapsed · linking big program")
    assert tracked.wait(10.0) == 10.0
    assert tracked.take(20.0) == Update(2e-5, None, "20s elapsed · linking big program")
    tracked.offer(reading(1, 3))
    assert tracked.take(21.0) == Update(1, 3, "")


def test_a_sign_of_life_after_a_determinate_reading_creeps() -> None:
    tracked = tracker(heartbeat="1s")
    tracked.offer(reading(50, 100))
    tracked.take(0.0)
    life = tracked.take(1.0)
    assert life is not None
    assert life.total == 100
    assert 50 < life.progress < 50.001


def test_life_signs_never_come_faster_than_updates_may() -> None:
    tracked = tracker(heartbeat="10ms")
    sent = [number for number in range(200) if tracked.take(number / 100)]
    assert len(sent) <= 19
    assert all(after - before >= 11 for before, after in pairwise(sent))


def test_the_same_reading_over_and_over_does_not_silence_the_signs_of_life() -> None:
    tracked = tracker(heartbeat="1s")
    sent = []
    for tenth in range(31):
        tracked.offer(reading(50, 100, "50%"))
        tracked.hear(b"50%")
        if update := tracked.take(tenth / 10 * 1.2):
            sent.append(update)
    assert [update.message for update in sent] == ["50%", "1s elapsed · 50%", "2s elapsed · 50%", "3s elapsed · 50%"]


def test_the_completion_has_the_message_of_the_last_reading_not_of_a_sign_of_life() -> None:
    tracked = tracker(heartbeat="1s")
    tracked.offer(reading(50, 100, "half"))
    tracked.take(0.0)
    assert tracked.take(1.0) is not None
    assert tracked.finish(success=True, now=2.0) == Update(100, 100, "half")


def test_a_heartbeat_shorter_than_the_interval_sends_the_waiting_reading() -> None:
    tracked = tracker(interval="4s", heartbeat="1s")
    tracked.offer(reading(1, 100))
    tracked.take(0.0)
    tracked.offer(reading(2, 100))
    assert tracked.take(1.0) == Update(2, 100, "")


def test_a_total_seen_only_after_a_sign_of_life_completes_a_success() -> None:
    tracked = tracker(heartbeat="1s")
    tracked.take(1.0)
    tracked.offer(reading(None, 50, "total 50"))
    first = tracked.take(2.0)
    assert first is not None
    assert first.total == 50
    assert first.progress < 50 * NOTHING
    assert tracked.finish(success=True, now=3.0) == Update(50, 50, "total 50")


def test_a_message_alone_is_carried_by_a_sign_of_life() -> None:
    tracked = tracker()
    tracked.say("waiting for a free slot, next in line")
    assert tracked.take(0.0) == Update(0, None, "waiting for a free slot, next in line")


def test_elapsed_time_is_short() -> None:
    assert [format_elapsed(s) for s in (0, 59.9, 200, 3900)] == ["0s", "59s", "3m20s", "1h05m"]


# What a program can print in the 20 characters of a number that are believed.
sizes = st.just(0.0) | st.floats(min_value=1e-18, max_value=1e20) | st.integers(0, 1000).map(float)


@given(
    st.lists(
        st.tuples(st.none() | sizes, st.none() | sizes.filter(bool), st.sampled_from("abc"), st.sampled_from("xyz"))
    ),
    st.floats(0.001, 30),
    st.booleans(),
    st.booleans(),
    st.none() | st.floats(1e-3, 1e6),
)
@example([(1.0, 1.0, "a", "x"), (1.0, 1e6, "a", "x"), (2.0, None, "a", "x")], 1.0, False, False, None)
def test_progress_strictly_increases_and_never_exceeds_the_total(
    steps: list[tuple[float | None, float | None, str, str]],
    pause: float,
    staged: bool,
    success: bool,
    expected: float | None,
) -> None:
    tracked = tracker(stages={"x": 1, "y": 2}) if staged else tracker()
    if expected:
        tracked.expect(expected)
    sent: list[Update | None] = []
    now = 0.0
    for value, total, message, stage in steps:
        tracked.offer(reading(value, total, message, stage))
        for _ in range(3):
            sent.append(tracked.take(now))
            now += pause
    last = tracked.finish(success=success, now=now)
    updates = [update for update in [*sent, last] if update is not None]
    assert all(before.progress < after.progress for before, after in pairwise(updates))
    assert all(math.isfinite(update.progress) for update in updates)
    running = updates if not success else updates[:-1]
    assert all(update.progress < update.total for update in running if update.total is not None)
    claimed = [update for update in updates if update.total is not None and update.progress > update.total * NOTHING]
    if claimed:
        assert all(update.total is not None for update in updates[updates.index(claimed[0]) :])
    if success and updates and updates[-1].total is not None:
        assert updates[-1].progress == updates[-1].total
