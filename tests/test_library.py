"""Every built-in parser is sound and reads its own sample."""

import pytest

from cmdtool.library import builtin_parser, builtin_parsers, known_programs
from cmdtool.patterns import compile_pattern
from cmdtool.readings import Reader

NAMES = sorted(builtin_parsers())


def test_the_parsers_of_common_programs_are_there() -> None:
    assert {"curl", "ffmpeg", "fraction", "git", "percent", "rsync", "tqdm"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_says_what_it_is_for_and_its_patterns_compile(name: str) -> None:
    parser = builtin_parser(name)
    assert parser.about
    assert builtin_parsers()[name].rules == parser.rules
    assert all(compile_pattern(rule.pattern) for rule in parser.rules)


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_reads_its_sample(name: str) -> None:
    reader = Reader(builtin_parsers()[name])
    lines = builtin_parser(name).sample.splitlines()
    readings = [reader.feed("stdout", [line.encode()]) for line in lines]
    assert any(reading is not None and reading.value is not None for reading in readings)


def test_a_parser_that_is_not_there_is_not_looked_for_in_files() -> None:
    parsers = builtin_parsers()
    assert "../parsers/rsync" not in parsers
    with pytest.raises(KeyError):
        parsers["../parsers/rsync"]
    assert len(parsers) == len(list(parsers))


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_is_found_by_each_program_that_it_matches(name: str) -> None:
    for program in builtin_parser(name).matches:
        assert known_programs([program]).parsers == {name: builtin_parsers()[name]}
