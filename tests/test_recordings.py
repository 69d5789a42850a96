"""The recorded output of real programs, from bytes to readings."""

import random
from collections.abc import Iterator
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.detect import NOTHING_KNOWN
from cmdtool.library import builtin_parser, builtin_parsers, known_programs
from cmdtool.model import STREAMS, Progress, ProgressSpec, Stream
from cmdtool.readings import Reader, Reading
from cmdtool.recording import Recording
from cmdtool.records import RecordSplitter
from cmdtool.replay import Client, Player, replay
from cmdtool.suggest import write_progress
from tests.recordings.readers import READERS, load, parser_name
from tests.recordings.score import FOLDER, Score, load_truths, score, too_high
from tests.test_replay import play_to

MISSES: Final = {
    "named": {
        "zip-dd.pipe": "its lines are those of a zip that is not asked for progress, which are not read",
    },
    "auto": {
        "zip-dd.pipe": "its lines are those of a zip that is not asked for progress, which are not read",
    },
    "mined": {
        "apt-statusfd.pipe": "fields between colons",
        "bwa-mem.pipe": "the size of each batch, to be summed",
        "bwa-mem.pty": "the size of each batch, to be summed",
        "curl-unknown.pipe": "a table of numbers without words",
        "curl-unknown.pty": "a table of numbers without words",
        "cutadapt.pty": "the last line is put in other words",
        "e2fsck-fd.pipe": "three numbers without words: it is read as a bare count",
        "ffmpeg-lavfi.pipe": "the first three frames are told late",
        "git-fsck.pipe": "its first phase is complete with the first record",
        "iperf3.pipe": "elapsed time",
        "iperf3.pty": "elapsed time",
        "pv-n.pipe": "bare numbers, which are read as a count",
        "pytest-q.pipe": "dots at first, which are read as a count, percentages later",
        "rhash.pipe": "only 100 %, once for each file",
        "scrub.pipe": "dots whose number no record tells",
        "scrub.pty": "dots whose number no record tells",
        "sysbench.pipe": "elapsed time",
        "sysbench.pty": "elapsed time",
        "tar-v.pipe": "names, one a line",
        "zip-dd.pipe": "names, one a line",
    },
}
"""Recordings that are not read right, and why."""

WITHOUT_PARSER: Final = {"df", "gzip", "npm", "openssl"}
"""Programs of the recordings that show no progress."""

PRINTED: Final = st.one_of(
    st.binary(max_size=80),
    st.text(alphabet="0123456789 .,:/%[]()#=-of\t\n\r\b", max_size=80).map(str.encode),
    st.builds(
        "{} {}/{} {}%\r".format, st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 9), st.integers(0, 120)
    ).map(str.encode),
    st.builds(
        b'{"%b": %d, "total": %d}\n'.__mod__,
        st.tuples(st.sampled_from([b"done", b"percent", b"\\ud800_done"]), st.integers(0, 9), st.integers(0, 9)),
    ),
    st.builds(b"\xff\xff file %d/10\n".__mod__, st.integers(0, 9)),
    st.sampled_from([b"\x1b[A", b"\x1b[2K\r", b"\n", b"."]),
)
"""What a program may print: anything, and what looks like progress."""

RECORDINGS: Final = {recording.id: recording for recording in map(load, sorted(FOLDER.glob("*.jsonl")))}
TRUTHS: Final = {truth["id"]: truth for truth in load_truths()}


# --- readings against the truth ---


@cache
def score_case(reader: str, case: str) -> Score:
    return score(TRUTHS[case], READERS[reader](RECORDINGS[case]))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", RECORDINGS)
def test_a_recording_is_read_right_or_is_a_known_miss(reader: str, case: str) -> None:
    result = score_case(reader, case)
    assert result.ok == (case not in MISSES[reader]), result


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", [case for case, truth in TRUTHS.items() if truth["kind"] == "none"])
def test_where_there_is_no_progress_none_is_read(reader: str, case: str) -> None:
    assert score_case(reader, case).ok
    assert reader == "named" or READERS[reader](RECORDINGS[case]) == []


def test_the_shares_that_are_read_right_are_as_promised() -> None:
    assert len(RECORDINGS) == len(TRUTHS) == 171
    least = {"named": 0.99, "auto": 0.97, "mined": 0.88}
    assert all(1 - len(MISSES[reader]) / len(RECORDINGS) >= share for reader, share in least.items())


def test_every_program_that_shows_progress_has_a_parser() -> None:
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


@pytest.mark.parametrize("known", [True, False], ids=["auto", "mined"])
@pytest.mark.parametrize("case", RECORDINGS)
def test_a_client_is_sent_what_rises_and_is_never_above_the_total(case: str, known: bool) -> None:
    recording = RECORDINGS[case]
    player = Player(Progress(detects=True), known_programs(recording.argv) if known else NOTHING_KNOWN)
    client = Client(Progress(detects=True), None, known_programs(recording.argv) if known else NOTHING_KNOWN)
    success = recording.exit_code == 0
    sent = list(play_to(client, replay(recording, player), recording.duration or 0.0, success=success))
    updates = [one.update for one in sent]
    assert all(before.progress < after.progress for before, after in pairwise(updates))
    assert all(update.total is None or update.progress <= update.total for update in updates)
    assert all(update.total is None or update.progress < update.total for update in updates[:-1])
    assert all(one.t + 0.1 < later.t for one, later in zip(sent, sent[10:], strict=False))


@given(st.lists(st.tuples(st.sampled_from(STREAMS), PRINTED), max_size=30), st.booleans())
def test_a_client_is_sent_what_rises_whatever_is_printed(blocks: list[tuple[Stream, bytes]], success: bool) -> None:
    player, client = Player(Progress(detects=True)), Client(Progress(detects=True), None)
    steps = [step for t, (stream, data) in enumerate(blocks) for step in player.feed(stream, data, t / 9)]
    steps += player.finish(len(blocks) / 9)
    assert write_progress(player.scanner.findings())
    updates = [one.update for one in play_to(client, steps, len(blocks) / 9, success=success)]
    assert all(before.progress < after.progress < float("inf") for before, after in pairwise(updates))
    assert all(update.total is None or update.progress <= update.total for update in updates)


def parser_of(recording: Recording) -> ProgressSpec:
    name = parser_name(recording)
    return builtin_parsers()[name] if name else ProgressSpec(rules=())


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
