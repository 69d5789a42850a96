"""Records that look like progress and were not read."""

import pytest

from cmdtool.nearly import MOST, NearMisses
from cmdtool.patterns import compile_pattern


def near(*unread: str, patterns: tuple[str, ...] = (), read: tuple[str, ...] = ()) -> list[tuple[str, str, int]]:
    misses = NearMisses(map(compile_pattern, patterns))
    for record in read:
        misses.read(record.encode())
    for number, record in enumerate(unread):
        misses.unread(float(number), record.encode())
    return [(each.record.decode(), each.why, each.count) for each in misses.found()]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("at 45%", "holds a percentage"),
        ("at 4.5 % now", "holds a percentage"),
        ("12/48 done", "holds how many of how many"),
        ("1.5MiB / 4MiB", "holds how many of how many"),
        ("3 of 10", "holds how many of how many"),
    ],
)
def test_what_holds_the_numbers_of_progress_is_near(record: str, why: str) -> None:
    assert near(record) == [(record, why, 1)]


@pytest.mark.parametrize("record", ["done", "a/b", "2026/01/02", "/1/2/", "v1.2.3"])
def test_what_only_looks_a_little_like_it_is_not(record: str) -> None:
    assert near(record) == []


def test_a_record_that_differs_only_in_its_numbers_comes_first() -> None:
    found = near("other 5%", "table 999", read=("table 12",))
    assert [(record, why) for record, why, _ in found] == [
        ("table 999", "only its numbers differ from `table 12`"),
        ("other 5%", "holds a percentage"),
    ]


def test_the_words_of_a_rule_are_named() -> None:
    assert near("migrated all tables", patterns=(r"^x", r"migrated (\d+)")) == [
        ("migrated all tables", "holds `migrated`, as rule 2 wants it", 1)
    ]


def test_records_of_one_kind_are_counted_and_kinds_are_few() -> None:
    assert near("a 1%", "a 2%", "a 3%") == [("a 1%", "holds a percentage", 3)]
    assert len(near(*(f"{'x' * number} 1%" for number in range(50)))) == MOST
