from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdtool.model import Counted, ProgressSpec, Stream
from cmdtool.readings import Reader, Reading


def reader(*rules: str | dict[str, Any], **arguments: str) -> Reader:
    return Reader(ProgressSpec.model_validate({"rules": list(rules)}), arguments)


def last(reader: Reader, *lines: str, stream: Stream = "stdout") -> Reading:
    reading = reader.feed(stream, [line.encode() for line in lines])
    assert reading is not None
    return reading


def numbers(reader: Reader, *lines: str) -> tuple[float | None, float | None]:
    reading = last(reader, *lines)
    return reading.value, reading.total


# --- fields ---


def test_one_unnamed_group_is_a_percentage() -> None:
    assert last(reader(r"(\d+)%"), "copied 45% so far") == Reading(45, 100, "copied 45% so far", None)


def test_two_unnamed_groups_are_progress_and_total() -> None:
    assert numbers(reader(r"(\d+) of (\d+)"), "3 of 8") == (3, 8)


def test_a_pattern_without_groups_counts_its_matches() -> None:
    count = reader(r"\.")
    assert numbers(count, "..x.") == (3, None)
    assert numbers(count, ".", "..") == (6, None)


def test_a_pattern_that_also_matches_nothing_counts_each_record_once() -> None:
    assert numbers(reader(".*"), "a", "b") == (2, None)
    assert numbers(reader("^"), "a", "b") == (2, None)


def test_increments_add_up_over_all_matches_of_a_record() -> None:
    assert numbers(reader(r"\+(?P<increment>\d+)"), "+2 +3", "+x +4") == (9, None)


def test_a_total_of_an_earlier_record_holds() -> None:
    clock = reader(r"Duration: (?P<total>[\d:.]+)", r"time=(?P<progress>[\d:.]+)")
    assert numbers(clock, "Duration: 00:01:00.00") == (None, 60)
    assert numbers(clock, "time=00:00:15.00") == (15, 60)


def test_remaining_with_a_total_is_what_is_left_of_it() -> None:
    assert numbers(reader(r"(?P<remaining>\d+) of (?P<total>\d+) left"), "3 of 10 left") == (7, 10)


def test_remaining_with_progress_makes_the_total() -> None:
    assert numbers(reader(r"(?P<progress>\d+) done, (?P<remaining>\d+) left"), "3 done, 7 left") == (3, 10)


def test_progress_that_was_read_goes_before_remaining() -> None:
    rule = r"(?P<progress>\d+) done, (?P<remaining>\d+) left of (?P<total>\d+)"
    assert numbers(reader(rule), "3 done, 1 left of 10") == (3, 10)


RIVALS = (r"(?P<percent>\d+)%", r"(?P<progress>\d+)/(?P<total>\d+)")


def test_of_a_percentage_and_a_fraction_the_later_record_wins() -> None:
    rivals = reader(*RIVALS)
    assert numbers(rivals, "1/4") == (1, 4)
    assert numbers(rivals, "30%") == (30, 100)
    assert numbers(rivals, "2/4") == (2, 4)


def test_of_a_percentage_and_a_fraction_in_one_record_the_fraction_wins() -> None:
    assert numbers(reader(*RIVALS), "20% 1/4") == (1, 4)
    assert numbers(reader(*reversed(RIVALS)), "1/4 20%") == (1, 4)


def test_a_count_without_a_total_is_no_rival_of_a_percentage() -> None:
    assert numbers(reader(RIVALS[0], r"(?P<progress>\d+) files"), "20%", "3 files") == (20, 100)


def test_a_total_of_zero_is_unknown() -> None:
    assert numbers(reader(r"(\d+)/(\d+)"), "3/8", "4/0") == (4, None)


def test_progress_above_the_total_counts_as_the_total() -> None:
    assert numbers(reader(r"(\d+)/(\d+)"), "9/8") == (8, 8)


@pytest.mark.parametrize("line", ["101%", "1,2%", "123456789012345678901%"])
def test_what_is_no_percentage_is_no_reading(line: str) -> None:
    assert reader(r"([\d,]+)%").feed("stdout", [line.encode()]) is None


def test_the_last_match_of_a_record_is_read() -> None:
    assert numbers(reader(r"(\d+)%"), "10% 20% 30%") == (30, 100)


def test_a_record_that_sets_nothing_gives_no_reading() -> None:
    assert reader(r"(\d+)%", r"speed (?P<speed>\d+)").feed("stdout", [b"nothing", b"speed 3"]) is None
    assert reader(r"(\d+)%").feed("stdout", []) is None


# --- rules ---


def test_a_skip_rule_hides_a_record_from_the_rules_after_it() -> None:
    skip = reader(r"(\d+) files", {"pattern": "ratio", "skip": True}, r"(\d+)%")
    assert skip.feed("stdout", [b"ratio 90%"]) is None
    assert numbers(skip, "20% of files", "ratio 90%") == (20, 100)
    assert numbers(skip, "30 files, ratio 90%") == (30, 100)


def test_a_rule_of_one_stream_does_not_see_the_other() -> None:
    rules = reader({"pattern": r"(\d+)%", "stream": "stderr"})
    assert rules.feed("stdout", [b"10%"]) is None
    assert last(rules, "10%", stream="stderr").value == 10


def test_rules_that_set_a_stage_or_a_total_or_keep_a_text_do_not_count() -> None:
    rules = reader(
        {"pattern": "start", "stage": "s"},
        {"pattern": "sized", "total": 5},
        r"(?P<message>note.*)",
        r"at (?P<speed>.*)",
    )
    assert numbers(rules, "start", "sized", "note 1", "at 3") == (None, 5)


# --- stages ---


def test_a_new_stage_clears_the_numbers() -> None:
    rules = reader(r"== (?P<stage>.*) ==", r"(\d+)/(\d+)", r"(\d+) done")
    last(rules, "== load ==", "3/4")
    assert last(rules, "== save ==") == Reading(None, None, "save", "save")


def test_a_new_stage_is_entered_before_the_numbers_of_its_record() -> None:
    assert last(reader(r"(\d+)/(\d+)", "(?P<stage>load|save)"), "load 3/4", "save 1/4") == Reading(1, 4, "save", "save")


def test_the_same_stage_in_other_words_clears_nothing() -> None:
    assert numbers(reader(r"== (?P<stage>.*) ==", r"(\d+)/(\d+)"), "== Load ==", "3/4", "==  load  ==") == (3, 4)


def test_increments_start_anew_in_a_stage() -> None:
    assert numbers(reader({"pattern": "save", "stage": "save"}, r"\."), "...", "save", "..") == (2, None)


# --- messages ---


def test_the_message_is_the_record_cleaned() -> None:
    assert last(reader(r"(\d+)%"), "  45%\u202e  ").message == "45%<U+202E>"
    assert len(last(reader(r"(\d+)%"), "45%" + "x" * 500).message or "") == 200


def test_a_message_holds_until_it_is_set_again() -> None:
    rules = reader(r"file (?P<message>.*)", r"(\d+)%")
    assert [last(rules, line).message for line in ("file a", "10%", "file b", "20%")] == ["a", "a", "b", "b"]


def test_a_template_takes_groups_first_and_then_arguments() -> None:
    rule = {"pattern": r"(\d+)% at (?P<speed>\S+)", "message": "{name}: {percent} % at {speed}"}
    assert last(reader(rule, name="backup", speed="no"), "45% at 3MB/s").message == "backup: 45 % at 3MB/s"


def test_a_template_waits_until_each_of_its_fields_was_seen() -> None:
    rules = reader({"pattern": r"(\d+)%", "message": "{percent} % of {size}"}, r"size (?P<size>\S+)")
    assert last(rules, "10%").message == "10%"
    assert last(rules, "size 3MB 20%").message == "20 % of 3MB"


def test_a_template_does_not_show_the_numbers_of_an_earlier_stage() -> None:
    rules = reader(
        {"pattern": r"at (?P<progress>\d+)", "message": "{progress}/{total}"}, r"of (?P<total>\d+)", "(?P<stage>b)"
    )
    assert last(rules, "of 4", "at 1").message == "1/4"
    assert last(rules, "b", "at 2").message == "1/4"


# --- totals ---


def spec(total: object, *rules: object) -> ProgressSpec:
    return ProgressSpec.model_validate({"total": total, "rules": list(rules) or [r"\."]})


def test_a_total_beside_the_rules_is_used_where_none_was_read() -> None:
    assert numbers(Reader(spec(8.0)), "...") == (3, 8)
    assert numbers(Reader(spec(8.0, r"(\d+)/(\d+)")), "3/4", "2/0") == (2, 8)


def test_a_total_may_be_an_argument() -> None:
    assert numbers(Reader(spec("{count}"), {"count": "1,000"}), "...") == (3, 1000)
    assert numbers(Reader(spec("{count}"), {}), "...") == (3, None)


def test_a_stage_does_not_clear_the_total_beside_the_rules() -> None:
    assert numbers(Reader(spec(8.0, r"\.", {"pattern": "b", "stage": "b"})), "..b", ".") == (3, 8)


def test_the_total_of_a_rule_holds_from_its_match_on() -> None:
    rules = reader(r"\.", {"pattern": "long", "total": 9})
    assert numbers(rules, ".") == (1, None)
    assert numbers(rules, "long") == (1, 9)


def test_a_counted_total_is_used_when_it_arrives() -> None:
    counted = Counted.model_validate({"command": ["wc", "-l"]})
    counting = Reader(spec(counted))
    assert numbers(counting, "...") == (3, None)
    assert counting.set_total(counted, 0) is None
    assert counting.set_total(counted, 12) == Reading(3, 12, "...", None)
    assert counting.total == 12


def test_a_counted_total_of_a_rule_is_used_from_its_match_on() -> None:
    count = Counted(shell="ls | wc -l")
    rules = reader(r"\.", {"pattern": "second", "total": count}, {"pattern": "also", "total": count})
    assert rules.set_total(count, 5) is None
    assert numbers(rules, ".") == (1, None)
    assert numbers(rules, "second") == (1, 5)


# --- previews ---


def test_a_preview_reads_a_growing_record_without_counting_it_twice() -> None:
    dots = reader(r"\.")
    assert [dots.preview("stdout", b"." * i) for i in (1, 2)] == [Reading(i, None, "." * i, None) for i in (1, 2)]
    assert numbers(dots, "...") == (3, None)
    assert dots.preview("stdout", b"x") is None


# --- batches: showing only some records is an optimisation ---

PATTERNS = [
    r"(\d+)%",
    r"(\d+)/(\d+)",
    r"p=(?P<progress>\d+)",
    r"t=(?P<total>\d+)",
    r"r=(?P<remaining>\d+)",
    r"(?:p=(?P<progress>\d+) )?r=(?P<remaining>\d+)",
    r"a=(?P<a>\w)(?: b=(?P<b>\w))?",
    r"b=(?P<b>\w)",
    r"(?P<message>a|b)",
    r"(?P<stage>one|two)",
    r"(?P<increment>\d)\+",
    r"\.",
    r"(?i)A|one",
    r".*",
]
TEMPLATES = ["{a}", "{a} {b}", "{percent}", "{total}", "{x}"]
PLAIN = st.sampled_from([pattern for pattern in PATTERNS if "stage" not in pattern])
KEYS = {
    "stream": st.just("stdout"),
    "message": st.sampled_from(TEMPLATES),
    "total": st.sampled_from([7.0, "{x}", {"shell": "count"}]),
    "skip": st.just(True),
    "stage": st.sampled_from(["one", "Two"]),
}
# Stages and templates that name another rule's group switch the optimisation off: most lists of rules have none.
RULES = st.one_of(
    st.lists(PLAIN, min_size=1, max_size=3),
    *(
        st.lists(st.fixed_dictionaries({"pattern": PLAIN}, optional={key: KEYS[key]}), min_size=1, max_size=3)
        for key in ("stream", "message", "total", "skip")
    ),
    st.lists(st.fixed_dictionaries({"pattern": st.sampled_from(PATTERNS)}, optional=KEYS), min_size=1, max_size=4),
)
WORDS = [
    "12%",
    "120%",
    "30%",
    "3/4",
    "5/0",
    "p=2",
    "p=9",
    "t=8",
    "t=0",
    "r=1",
    "a=u",
    "b=v",
    "one",
    "two",
    "2+",
    "..",
    "x",
]
RECORDS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(lambda words: " ".join(words).encode())
BATCHES = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.lists(RECORDS, max_size=8)), max_size=4)


def one_by_one(reader: Reader, stream: Stream, records: Sequence[bytes]) -> Reading | None:
    readings = [reader.feed(stream, [record]) for record in records]
    return next((reading for reading in reversed(readings) if reading is not None), None)


def test_a_batch_is_read_back_to_the_newest_value_that_can_be_used() -> None:
    assert numbers(reader(r"(\d+)%"), "30%", "120%") == (30, 100)


def test_a_template_of_a_batch_shows_what_other_rules_had_read_by_then() -> None:
    rules = reader({"pattern": r"a=(?P<a>\w)", "message": "{a}{b}"}, r"b=(?P<b>\w)")
    assert rules.feed("stdout", [b"b=1", b"a=1", b"b=2"]) == Reading(None, None, "11", None)


@settings(max_examples=500, deadline=None)
@given(RULES, BATCHES)
def test_a_batch_is_read_as_its_records_one_by_one(
    rules: list[str | dict[str, Any]], batches: list[tuple[Stream, list[bytes]]]
) -> None:
    whole, single = reader(*rules, x="6"), reader(*rules, x="6")
    for stream, records in batches:
        assert whole.feed(stream, records) == one_by_one(single, stream, records)
        for probe in (b"12% p=3", b"t=5", b"r=2", b"a=w", b"..", b"one"):
            assert whole.preview(stream, probe) == single.preview(stream, probe)
    assert whole.total == single.total


def test_a_record_is_explained_rule_by_rule_and_nothing_changes() -> None:
    spec = ProgressSpec.model_validate(
        {
            "rules": [
                {"pattern": "^#", "skip": True},
                {"pattern": r"(?P<percent>\d+)% of (?P<name>\w+)", "stage": "copy"},
                "x",
                {"pattern": "never", "stream": "stderr"},
            ]
        }
    )
    reader = Reader(spec)
    explained = reader.explain("stdout", b"now 40% of disk xx never")
    assert [(match.pattern, match.fields) for match in explained] == [
        (r"(?P<percent>\d+)% of (?P<name>\w+)", {"percent": "40", "name": "disk", "stage": "copy"}),
        ("x", {"increment": "2"}),
    ]
    assert (explained[0].start, explained[0].end) == (4, 15)
    skipped = reader.explain("stdout", b"# 40% of disk")
    assert [(match.skips, match.fields) for match in skipped] == [(True, {})]
    assert reader.explain("stdout", b"none") == []
    assert reader.feed("stdout", [b"none"]) is None


@pytest.mark.parametrize(
    ("record", "value", "total"),
    [("0.5/5.2 MB", 0.5e6, 5.2e6), ("0.5M/5.2M", 0.5 * 2**20, 5.2 * 2**20), ("512/1K", 512, 1024), ("3/12", 3, 12)],
)
def test_the_unit_of_a_total_is_that_of_a_progress_without_one(record: str, value: float, total: float) -> None:
    reading = last(reader(r"(?P<progress>[\d.]+[kKM]?)/(?P<total>[\d.]+(?: ?[kKM]B?)?)"), record)
    assert reading.value == pytest.approx(value)
    assert reading.total == pytest.approx(total)
