"""The picture of a run."""

from collections.abc import Sequence

from cmdtool.progress import Update
from cmdtool.replay import Sent
from cmdtool.timeline import draw

HALVES = [(0.0, 0.0, 100.0, "a"), (5.0, 50.0, 100.0, "b"), (10.0, 100.0, 100.0, "b")]


def sent(rows: Sequence[tuple[float, float, float | None, str | None]]) -> list[Sent]:
    return [Sent(t, Update(progress, total, None), stage) for t, progress, total, stage in rows]


def picture(rows: Sequence[tuple[float, float, float | None, str | None]], *held: float, width: int = 27) -> list[str]:
    return draw(sent(rows), 10.0, width, lambda t: f"{t:g}s", held)


def test_shares_of_a_total_rise_from_left_to_right_and_stages_stand_below() -> None:
    assert picture(HALVES, 2.0) == [
        " 100% ┤                   █",
        "      │                   █",
        "      │                   █",
        "  50% ┤         ███████████",
        "      │         ███████████",
        "      │▁▁▁▁▁▁▁▁▁███████████",
        "   0% └────────────────────",
        "       0s       5s      10s",
        "stage  └a        └b",
        " held      ▾",
    ]


def test_a_count_without_a_total_has_its_own_scale() -> None:
    lines = picture([(0.0, 0.0, None, None), (5.0, 1200.0, None, None), (9.0, 2400.0, None, None)])
    assert lines[0].startswith("2,400 ┤")
    assert lines[3].startswith("1,200 ┤")
    assert lines[6].startswith("    0 └")
    assert lines[0].endswith("█")


def test_updates_without_a_total_are_dots_beside_those_that_have_one() -> None:
    lines = picture([(0.0, 3.0, None, None), (5.0, 50.0, 100.0, None)])
    assert lines[5].startswith("      │·········█")
    assert "no total was known" in lines[-1]


def test_only_what_is_complete_reaches_the_top() -> None:
    assert "█" not in picture([(0.0, 99.99, 100.0, None)])[0]
    assert "█" in picture([(0.0, 100.0, 100.0, None)])[0]


def test_signs_of_life_are_no_picture() -> None:
    assert picture([]) == []
    assert picture([(0.0, 1e-6, None, None), (9.0, 2e-6, None, None)]) == []


def test_no_line_is_wider_than_the_screen() -> None:
    stages = [(float(n), float(n), 10.0, f"a stage with a long name {n}") for n in range(10)]
    for width in (20, 27, 40, 60, 100):
        lines = picture(stages, 1.0, 9.9, width=width)
        assert max(map(len, lines)) <= width
