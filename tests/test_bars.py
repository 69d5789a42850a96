from cmdtool.bars import Bars
from cmdtool.readings import Reading


def bar(row: int | None, value: float, total: float, stage: str | None = None) -> Reading:
    return Reading(value, total, None, stage, row)


def progress(*drawn: Reading, is_screen: bool = True) -> list[tuple[float | None, float | None] | None]:
    bars = Bars()
    wholes = [bars.take(reading, is_screen=is_screen) for reading in drawn]
    return [(whole.value, whole.total) if whole else None for whole in wholes]


def test_of_loops_within_loops_the_outermost_that_is_not_complete_wins() -> None:
    told = progress(
        *(bar(0, 0, 2, "epoch"), bar(1, 0, 9, "batch"), bar(1, 5, 9, "batch"), bar(1, 9, 9, "batch")),
        *(bar(0, 1, 2, "epoch"), bar(1, 0, 9, "batch"), bar(1, 9, 9, "batch"), bar(0, 2, 2, "epoch")),
    )
    assert told == [(0, 2), None, None, None, (1, 2), None, None, (2, 2)]


def test_jobs_side_by_side_are_added_up() -> None:
    told = progress(bar(0, 0, 50, "a"), bar(1, 0, 30, "b"), bar(0, 10, 50, "a"), bar(1, 30, 30, "b"))
    assert told == [(0, 50), None, (10, 80), (40, 80)]


def test_of_percentages_side_by_side_the_deepest_that_moves_wins() -> None:
    told = progress(bar(0, 0, 100), bar(1, 0, 100), bar(0, 5, 100), bar(1, 7, 100), bar(0, 9, 100), bar(1, 8, 100))
    assert told == [(0, 100), None, (5, 100), (7, 100), None, (8, 100)]


def test_bars_that_were_drawn_alone_first_are_not_forgotten_to_move() -> None:
    bars = Bars()
    bars.take(bar(0, 1, 100, "a"), is_screen=False)
    drawn = [bar(0, 2, 100, "a"), bar(1, 1, 100, "b"), bar(0, 3, 100, "a"), bar(1, 5, 100, "b"), bar(0, 4, 100, "a")]
    told = [bars.take(one, is_screen=True) for one in drawn]
    assert [one and one.value for one in told] == [2, None, 3, 5, None]


def test_a_bar_drawn_over_another_takes_its_place_and_few_are_kept() -> None:
    assert progress(bar(0, 5, 10, "a"), bar(0, 1, 10, "b"), bar(0, 2, 10, "b")) == [(5, 10), (1, 10), (2, 10)]
    bars = Bars()
    for row in range(1000):
        bars.take(bar(row, 1, 10, f"bar {row}"), is_screen=True)
    assert len(bars._bars) <= 64


def test_what_is_not_drawn_on_a_screen_passes() -> None:
    told = progress(bar(None, 1, 9, "a"), bar(None, 1, 5, "b"), bar(None, 2, 9, "a"))
    assert told == [(1, 9), (1, 5), (2, 9)]
    told = progress(bar(3, 1, 9, "a"), bar(4, 1, 5, "b"), bar(5, 2, 5, "b"), is_screen=False)
    assert told == [(1, 9), (1, 5), (2, 5)]
