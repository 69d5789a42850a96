"""The parser called `auto`: known programs first, mining otherwise."""

from cmdtool.detect import Detector, Known
from cmdtool.library import known_programs
from cmdtool.model import ProgressSpec

STEPS = ProgressSpec.model_validate({"rules": [r"step (\d+) of (\d+)"]})
LINES = [b"step 1 of 4, 9% full", b"step 2 of 4, 11% full"]


def told(known: Known, *lines: bytes) -> list[tuple[float | None, float | None]]:
    detector = Detector(known, {})
    return [(reading.value, reading.total) for line in lines for reading in detector.feed("stdout", [line])]


def test_a_known_program_is_read_by_its_parser_alone() -> None:
    known = Known({"steps": STEPS}, mines=False)
    assert told(known, b"[1/9]", b"[2/9]", *LINES) == [(1, 4), (2, 4)]


def test_what_a_launcher_runs_is_mined_until_its_own_parser_has_read_something() -> None:
    known = Known({"steps": STEPS}, mines=True)
    assert told(known, b"[1/9]", b"[2/9]") == [(1, 9), (2, 9)]
    assert told(known, b"[1/9]", b"[2/9]", *LINES, b"[3/9]") == [(1, 9), (2, 9), (1, 4), (2, 4)]


def test_of_several_known_programs_the_newest_reading_counts() -> None:
    parts = ProgressSpec.model_validate({"rules": [r"part (\d+)/(\d+)"]})
    known = Known({"steps": STEPS, "parts": parts}, mines=False)
    assert told(known, LINES[0], b"part 5/6", LINES[1]) == [(1, 4), (5, 6), (2, 4)]


def test_of_one_block_too_the_newest_reading_is_last_and_words_do_not_hide_what_is_mined() -> None:
    parts = ProgressSpec.model_validate({"rules": [r"part (\d+)/(\d+)"]})
    detector = Detector(Known({"steps": STEPS, "parts": parts}, mines=False), {})
    assert [one.value for one in detector.feed("stdout", [b"part 5/6", LINES[0]])] == [5, 1]
    words = ProgressSpec.model_validate({"rules": ["(?P<message>entering .*)"]})
    detector = Detector(Known({"words": words}, mines=True), {})
    detector.feed("stdout", [b"[1/9]", b"entering x"])
    told = detector.feed("stdout", [b"[2/9]", b"entering y"])
    assert [one.value for one in told if one.value is not None] == [1, 2]


def test_what_is_complete_when_it_first_appears_waits_for_more() -> None:
    known = Known({"steps": STEPS}, mines=False)
    assert told(known, b"step 4 of 4") == []
    assert told(known, b"step 4 of 4", b"step 1 of 2") == [(4, 4), (1, 2)]
    assert Detector(known, {}).preview("stdout", b"step 4 of 4") == []


def test_a_preview_changes_nothing() -> None:
    detector = Detector(Known({"steps": STEPS}, mines=True), {})
    assert [reading.value for reading in detector.preview("stdout", LINES[0])] == [1]
    assert detector.preview("stdout", b"[1/9]") == []
    assert [reading.value for reading in detector.feed("stdout", LINES[:1])] == [1]


def test_what_the_library_knows_of_a_command_line() -> None:
    assert list(known_programs(["nice", "rsync", "-a"]).parsers) == ["rsync"]
    assert not known_programs(["nice", "rsync", "-a"]).mines
    assert known_programs(["./build.sh"]) == Known({}, mines=True)
    assert known_programs(["make", "-j4"]).mines, "make runs others"
    script = known_programs(["bash", "-c", "cd x && tar -c y | pv > z"])
    assert list(script.parsers) == ["tar", "pv"]
    assert not script.mines
    assert known_programs(["bash", "-c", "git pull; echo step 1 of 3; ./x"]).mines, "others print too"
