"""The recorded output of real programs, from bytes to readings."""

import base64
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import pytest

from cmdtool.library import builtin_parser, builtin_parsers
from cmdtool.model import STREAMS, Progress, ProgressSpec, Stream
from cmdtool.readings import Reader, Reading
from cmdtool.records import RecordSplitter
from cmdtool.scanner import GLANCE, QUIET, Scanner
from tests.recordings.score import FOLDER, Score, load_truths, score, too_high

MISSES: Final = {"zip-dd.pipe": "its lines are those of a zip that is not asked for progress, which are not read"}
"""Recordings that are not read right, and why."""

QUICK: Final = {"gdal_translate.pipe", "gdal_translate.pty", "scrub.pipe", "scrub.pty"}
"""Recordings of a record that grows faster than it is looked at: they are read right to `GLANCE` seconds."""

WITHOUT_PARSER: Final = {"df", "gzip", "npm", "openssl"}
"""Programs of the recordings that show no progress."""


@dataclass(frozen=True, slots=True)
class Chunk:
    t: float
    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    id: str
    program: str
    argv: tuple[str, ...]
    chunks: tuple[Chunk, ...]


def load(path: Path) -> Recording:
    head, *lines = map(json.loads, path.read_text().splitlines())
    streams: dict[int, Stream] = {1: "stdout", 2: "stderr"}
    chunks = (Chunk(line["t"], streams[line["fd"]], base64.b64decode(line["b64"])) for line in lines)
    return Recording(head["id"], head["program"], tuple(head["argv"]), tuple(chunks))


RECORDINGS: Final = {recording.id: recording for recording in map(load, sorted(FOLDER.glob("*.jsonl")))}
TRUTHS: Final = {truth["id"]: truth for truth in load_truths()}


def parser_name(recording: Recording) -> str | None:
    """Return the name of the parser for what was recorded: that of the library or program, or what the command is."""
    if recording.program in builtin_parsers():
        return recording.program
    command = Path(recording.argv[0]).name
    return next((name for name in builtin_parsers() if command in builtin_parser(name).matches), None)


def parser_of(recording: Recording) -> ProgressSpec:
    name = parser_name(recording)
    return builtin_parsers()[name] if name else ProgressSpec(rules=())


# --- readings against the truth ---


def read(recording: Recording) -> Iterator[tuple[float, Reading]]:
    """Iterate over the readings of a run, one a record, as a `Scanner` gives them on the clock of the recording."""
    scanner = Scanner(Progress.model_validate(dict(parser_of(recording))), {})
    for place, chunk in enumerate(recording.chunks):
        for line in re.findall(rb"[^\r\n]*[\r\n]|[^\r\n]+", chunk.data):
            for reading in scanner.feed(chunk.stream, line, chunk.t):
                yield chunk.t, reading
        later = (other.t for other in recording.chunks[place + 1 :] if other.stream == chunk.stream)
        if next(later, float("inf")) > chunk.t + QUIET:
            for reading in scanner.quiet(chunk.stream):
                yield chunk.t + QUIET, reading
    for stream in STREAMS:
        for reading in scanner.finish(stream):
            yield recording.chunks[-1].t, reading


def predictions(readings: Iterable[tuple[float, Reading]]) -> list[tuple[float, float, float | None]]:
    return [(t, reading.value, reading.total) for t, reading in readings if reading.value is not None]


def score_case(case: str) -> Score:
    """Score all readings of a run."""
    return score(TRUTHS[case], predictions(read(RECORDINGS[case])), GLANCE if case in QUICK else 0.0)


@pytest.mark.parametrize("case", [case for case in RECORDINGS if case not in MISSES])
def test_the_parser_of_a_program_reads_it_right(case: str) -> None:
    result = score_case(case)
    assert result.ok, result


@pytest.mark.parametrize("case", MISSES)
def test_a_known_miss_is_still_one(case: str) -> None:
    assert not score_case(case).ok


def test_every_program_that_shows_progress_has_a_parser() -> None:
    assert len(RECORDINGS) == len(TRUTHS) == 171
    without = {recording.id: recording.program for recording in RECORDINGS.values() if parser_name(recording) is None}
    assert set(without.values()) == WITHOUT_PARSER
    assert {TRUTHS[case]["kind"] for case in without} == {"none"}


@pytest.mark.parametrize("case", RECORDINGS)
def test_a_parser_is_found_by_the_command(case: str) -> None:
    recording = RECORDINGS[case]
    name = parser_name(recording)
    matches = builtin_parser(name).matches if name else ()
    words = {Path(word).name for argument in recording.argv for word in argument.split()}
    assert not matches or not words.isdisjoint(matches)


@pytest.mark.parametrize("name", builtin_parsers())
def test_a_parser_reads_progress_in_its_own_sample(name: str) -> None:
    reading = Reader(builtin_parsers()[name]).feed("stderr", [builtin_parser(name).sample.encode()])
    assert reading is not None
    assert reading.value is not None


# --- any chunking ---


def by_record(recording: Recording, sizes: Iterator[int]) -> list[tuple[Stream, bytes, Reading | None]]:
    """Return every record of a recording and its reading, one stream after the other, in chunks of `sizes`."""
    found = []
    reader = Reader(parser_of(recording))
    streams: tuple[Stream, ...] = ("stdout", "stderr")
    for stream in streams:
        data = b"".join(chunk.data for chunk in recording.chunks if chunk.stream == stream)
        splitter = RecordSplitter()
        place = 0
        while place < len(data):
            size = next(sizes)
            found += [(stream, record) for record in splitter.feed(data[place : place + size])]
            place += size
        found += [(stream, record) for record in splitter.finish()]
    return [(stream, record, reader.feed(stream, [record])) for stream, record in found]


def always(size: int) -> Iterator[int]:
    while True:
        yield size


def at_random(seed: str) -> Iterator[int]:
    choose = random.Random(seed)
    while True:
        yield choose.choice((1, 2, 3, 7, 20, 100, 1000))


@pytest.mark.parametrize("case", RECORDINGS)
def test_any_chunking_gives_the_same_readings(case: str) -> None:
    recording = RECORDINGS[case]
    whole = by_record(recording, always(1 << 30))
    assert by_record(recording, always(1)) == whole
    assert by_record(recording, at_random(case)) == whole


@pytest.mark.parametrize("case", RECORDINGS)
def test_whole_streams_end_in_the_same_reading_as_single_records(case: str) -> None:
    recording = RECORDINGS[case]
    reader = Reader(parser_of(recording))
    for stream, found in groupby(by_record(recording, always(1 << 30)), key=lambda row: row[0]):
        rows = list(found)
        readings = [reading for _, _, reading in rows if reading is not None]
        assert reader.feed(stream, [record for _, record, _ in rows]) == (readings[-1] if readings else None)


# --- the scorer ---


@pytest.mark.parametrize("case", TRUTHS)
def test_the_scorer_takes_the_truth_and_nothing_that_is_five_percent_too_high(case: str) -> None:
    truth = TRUTHS[case]
    assert score(truth, truth["updates"]).ok
    assert score(truth, too_high(truth)).ok == (truth["kind"] == "none")
    assert score(truth, []).ok == (truth["kind"] == "none")
