"""The text of a recorded run."""

import pytest

from cmdtool.errors import CmdtoolError
from cmdtool.recording import Chunk, Recording, dump_chunk, dump_head, is_recording, parse_recording
from tests.recordings.score import FOLDER

RUN = Recording(
    id="count",
    program="count.sh",
    version="",
    argv=("./count.sh", "a b"),
    mode="pipe",
    exit_code=-15,
    duration=1.5,
    chunks=(Chunk(0.25, "stdout", b"1 of 2\n"), Chunk(0.25, "stderr", b"\xff\x00\r")),
)
HEAD = '{"program": "x", "argv": ["x"], "mode": "pipe"}\n'


def dump_recording(recording: Recording) -> str:
    """Return the whole text; parsing it gives the recording again."""
    return dump_head(recording) + "".join(map(dump_chunk, recording.chunks))


def test_a_recording_is_the_same_after_it_was_written_and_read() -> None:
    assert parse_recording("count.jsonl", dump_recording(RUN)) == RUN


def test_the_corpus_is_written_as_it_was_read() -> None:
    for path in sorted(FOLDER.glob("*.jsonl"))[:20]:
        recording = parse_recording(path.name, path.read_text("utf-8"))
        assert parse_recording(path.name, dump_recording(recording)) == recording
        assert path.read_text("utf-8").endswith("".join(map(dump_chunk, recording.chunks)))


def test_the_first_line_has_room_for_the_end() -> None:
    unended = Recording(id="x", program="x", version="", argv=("x",), mode="pty", exit_code=None, duration=None)
    ended = Recording(id="x", program="x", version="", argv=("x",), mode="pty", exit_code=-15, duration=123456.78915)
    assert len(dump_head(unended)) == len(dump_head(ended))
    assert parse_recording("x", dump_head(unended)) == unended


def test_half_a_line_at_the_end_is_left_out_and_a_whole_one_is_not() -> None:
    whole = HEAD + '{"t":0,"fd":1,"b64":"eA=="}\n{"t":1,"fd":1,"b64":"eQ=="}'
    assert [chunk.data for chunk in parse_recording("x", whole).chunks] == [b"x", b"y"]
    assert [chunk.data for chunk in parse_recording("x", whole[:-5]).chunks] == [b"x"]


@pytest.mark.parametrize("line", ["", "copied 3 of 12", "[1]", '{"message": "x"}', '{"argv": ["x"]'])
def test_what_is_no_recording_is_not_taken_for_one(line: str) -> None:
    assert not is_recording(line)
    with pytest.raises(CmdtoolError, match=r"x\.log: not a recording"):
        parse_recording("x.log", line)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"program": "x", "argv": [], "mode": "pipe"}\n', "x:1: .*`argv` is no argv"),
        ('{"program": "x", "argv": ["x"], "mode": "tty"}\n', "x:1: .*neither `pipe` nor `pty`"),
        ('{"program": 1, "argv": ["x"], "mode": "pty"}\n', "x:1: .*`program` is no text"),
        ('{"program": "x", "argv": ["x"], "mode": "pty", "exit_code": "0"}\n', "x:1: .*`exit_code`"),
        ('{"program": "x", "argv": ["x"], "mode": "pty", "duration_s": -1}\n', "x:1: .*`duration_s`"),
        (HEAD + "nonsense\n", "x:2: the recording is damaged: expected `t`"),
        (HEAD + '{"t":0,"fd":1}\n', "x:2: .*expected `t`, `fd` and `b64`"),
        (HEAD + '{"t":0,"fd":3,"b64":""}\n', "x:2: .*neither 1 nor 2"),
        (HEAD + '{"t":NaN,"fd":1,"b64":""}\n', "x:2: .*`t` is no time"),
        (HEAD + '{"t":0,"fd":1,"b64":"%"}\n', "x:2: .*not base64"),
        (HEAD + '{"t":2,"fd":1,"b64":""}\n{"t":1,"fd":1,"b64":""}\n', "x:3: .*`t` falls from 2 to 1"),
    ],
)
def test_damage_is_reported_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(CmdtoolError, match=complaint):
        parse_recording("x", text)
