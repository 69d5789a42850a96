"""The recorded output of programs that have a built-in parser, and what the samples of the others say."""

from typing import Final

import pytest

from cmdtool.library import builtin_parser, builtin_parsers
from cmdtool.readings import Reader
from tests.recordings.score import FOLDER, load_truths, score
from tests.test_recordings import load, predictions, read

LIBRARY: Final = FOLDER / "library"
RECORDINGS: Final = {recording.id: recording for recording in map(load, sorted(LIBRARY.glob("*.jsonl")))}
TRUTHS: Final = {truth["id"]: truth for truth in load_truths(LIBRARY)}


def test_each_recording_has_a_truth_and_its_parser() -> None:
    assert RECORDINGS.keys() == TRUTHS.keys()
    assert {recording.program for recording in RECORDINGS.values()} <= set(builtin_parsers())


@pytest.mark.parametrize("case", RECORDINGS)
def test_a_parser_reads_its_program_right(case: str) -> None:
    recording = RECORDINGS[case]
    result = score(TRUTHS[case], predictions(read(recording, builtin_parsers()[recording.program])))
    assert result.ok, result
