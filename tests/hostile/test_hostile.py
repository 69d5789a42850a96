"""Every case of `cases/`, by name."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.case import Case
from tests.hostile.cases import CASES
from tests.hostile.figures import row
from tests.hostile.harness import PROGRAMS, play

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("binaries")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_hostile(
    case: Case, tmp_path: Path, binaries: Path, record_property: Callable[[str, object], None]
) -> None:
    if case.needs and not _works(case.needs):
        pytest.skip(f"`{' '.join(case.needs)}` does not work here")
    folder = tmp_path / "command"
    folder.mkdir()
    record_property(case.name, row(await play(case, folder, binaries)))


def _works(command: tuple[str, ...]) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


def test_no_program_is_without_a_case() -> None:
    assert {case.program for case in CASES} == {file.name for file in PROGRAMS.iterdir() if file.suffix != ".h"}


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
