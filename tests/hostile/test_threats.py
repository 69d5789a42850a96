"""`docs/security.md` names a test for every threat, and every case of the suite."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.hostile.cases import CASES

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "security.md"


def threats() -> Iterator[tuple[str, set[str]]]:
    """Yield each threat with the tests that its row names."""
    for threat, _, tests in re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", PAGE.read_text("utf-8"), re.MULTILINE):
        if threat not in ("threat", "---"):
            yield threat, set(re.findall(r"`([^`]+)`", tests))


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    path = TESTS / file
    return path.is_file() and (not name or f"def {name}(" in path.read_text("utf-8"))


def test_every_threat_has_tests_that_exist() -> None:
    cases = {case.name for case in CASES}
    missing = {threat: {name for name in named - cases if not exists(name)} for threat, named in threats()}
    assert {threat: names for threat, names in missing.items() if names} == {}
    assert [threat for threat, named in threats() if not named] == []


def test_every_case_stands_for_a_threat() -> None:
    named = set().union(*(names for _, names in threats()))
    assert sorted({case.name for case in CASES} - named) == []
