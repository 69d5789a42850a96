"""The folder of runs: what is kept of their output, for how long, who may read it, and what goes wrong."""

import json
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.model import Stream
from cmdtool.spool import Record, RunOutput, Spool, TaskTerms, literal, matching_lines, pattern
from cmdtool.spool.layout import Layout
from cmdtool.spool.store import EXPIRY

SMALL = Layout(head=10, tail=10)
RUN = "0123456789abcdef" * 2


def run_id(number: int) -> str:
    return f"{number:032x}"


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def keep(spool: Spool, *blocks: bytes, number: int = 1, stream: Stream = "stdout") -> Record:
    with spool.begin(run_id(number), "tool", None) as output:
        for block in blocks:
            output.feed(stream, block)
        return output.finish("exit", 0)


def read_all(spool: Spool, record: Record, stream: Stream = "stdout") -> list[tuple[int, bytes]]:
    """Read what is kept as a client does: from where the last piece ended."""
    pieces = []
    at = 0
    while (piece := spool.read(record, stream, at, record.sizes[stream])).data:
        pieces.append((piece.start, piece.data))
        at = piece.start + len(piece.data)
    return pieces


def test_what_was_written_is_read_again_as_it_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "runs", "a")
    record = keep(spool, b"one\n", b"\x1b[31m\xfftwo\0")
    assert spool.find(record.id, None) == record
    assert read_all(spool, record) == [(0, b"one\n\x1b[31m\xfftwo\0")]
    assert (tmp_path / "runs" / record.id / "stdout").read_bytes() == b"one\n\x1b[31m\xfftwo\0"
    assert spool.read(record, "stdout", 2, 5).data == b"e\n\x1b"


@given(st.lists(st.binary(min_size=1, max_size=25), min_size=1, max_size=8), st.integers(0, 80), st.integers(0, 80))
def test_of_more_than_the_limit_head_and_tail_are_kept(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], start: int, end: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("runs"), "a", layout=SMALL)
    record = keep(spool, *blocks)
    whole = b"".join(blocks)
    kept = [(0, whole)] if len(whole) <= 20 else [(0, whole[:10]), (len(whole) - 10, whole[-10:])]
    assert record.sizes == {"stdout": len(whole)}
    assert read_all(spool, record) == kept
    piece = spool.read(record, "stdout", start, end)
    assert piece.data == whole[piece.start : piece.start + len(piece.data)]
    assert os.stat(spool.folder / record.id / "stdout").st_size <= 20


def test_nobody_else_can_look_into_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        record = keep(Spool(tmp_path / "state" / "runs", "a"), b"x")
    finally:
        os.umask(old)
    folder = tmp_path / "state" / "runs"
    for path, mode in ((folder, 0o700), (folder / record.id, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    files = list((folder / record.id).iterdir())
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in files} == {"meta.json": 0o600, "stdout": 0o600}


def test_the_facts_are_in_meta_json_and_nothing_else(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, "/etc/tools.yaml", now=clock)
    with spool.begin(RUN, "backup", "ann") as output:
        output.feed("stdout", b"12345")
        clock.time += 5
        output.finish("timeout", signal="SIGTERM")
    assert json.loads((tmp_path / RUN / "meta.json").read_text()) == {
        "id": RUN,
        "tool": "backup",
        "caller": "ann",
        "served": "/etc/tools.yaml",
        "started": 1000.0,
        "ended": 1005.0,
        "ended_by": "timeout",
        "exit_status": None,
        "signal": "SIGTERM",
        "sizes": {"stdout": 5},
        "problem": None,
        "task": None,
    }


def test_a_run_that_prints_nothing_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "runs", "a")
    assert keep(spool).sizes == {}
    assert not (tmp_path / "runs").exists()
    assert spool.runs(None) == []


def test_a_run_that_is_left_early_counts_as_cancelled(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    with suppress(KeyError), spool.begin(RUN, "t", None) as output:
        output.feed("stdout", b"x")
        raise KeyError
    found = spool.find(RUN, None)
    assert found is not None
    assert found.ended_by == "cancel"


def test_a_run_that_goes_on_can_be_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", layout=SMALL)
    with spool.begin(RUN, "t", None) as output:
        output.feed("stdout", b"abc")
        record = spool.find(RUN, None)
        assert record is not None
        assert (record.ended, record.sizes) == (None, {"stdout": 3})
        output.feed("stdout", b"d" * 30)
        piece = spool.read(record, "stdout", 0, 100)
        assert (piece.data, piece.size, piece.gap) == (b"abcddddddd", 33, range(10, 23))
        assert spool.runs(None) == [output.record]


def test_runs_are_seen_by_their_caller_at_servers_of_the_same_manifest_newest_first(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, "a", now=clock)
    for number, caller in enumerate([None, "ann", None]):
        clock.time += 1
        with spool.begin(run_id(number), "t", caller) as output:
            output.feed("stdout", b"x")
    later = Spool(tmp_path, "a", now=clock)
    assert [record.id for record in later.runs(None)] == [run_id(2), run_id(0)]
    assert [record.id for record in later.runs("ann")] == [run_id(1)]
    assert later.find(run_id(1), None) is None
    assert later.find(run_id(1), "bob") is None
    other = Spool(tmp_path, "b", now=clock)
    assert other.runs(None) == []
    assert other.find(run_id(0), None) is None


@pytest.mark.parametrize("name", ["", "..", "../etc", "0" * 31, "A" * 32, f"{RUN}/..", f"{RUN}\n", "/", "x" * 5000])
def test_what_is_no_id_is_never_looked_up(tmp_path: Path, name: str) -> None:
    (tmp_path / "etc").mkdir()
    assert Spool(tmp_path / "runs", "a").find(name, None) is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "runs", "a")
    record = keep(spool, b"x")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "runs" / record.id).rename(elsewhere)
    (tmp_path / "runs" / record.id).symlink_to(elsewhere)
    assert spool.find(record.id, None) is None
    spool.tidy()
    assert elsewhere.exists()


# --- how long ---------------------------------------------------------------------------------------------------------


def test_a_run_expires_a_day_after_its_end(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, "a", now=clock)
    record = keep(spool, b"x")
    clock.time += EXPIRY
    spool.tidy()
    assert spool.find(record.id, None) == record
    clock.time += 1
    assert spool.find(record.id, None) is None
    assert spool.runs(None) == []
    spool.tidy()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("total", "most"), [(250_000, 5), (1_000_000, 2)])
def test_of_too_much_the_runs_that_ended_first_are_removed(tmp_path: Path, total: int, most: int) -> None:
    clock = Clock()
    spool = Spool(tmp_path, "a", now=clock, total=total, most=most)
    for number in range(5):
        clock.time += 1
        keep(spool, b"x" * 100_000, number=number)
    spool.tidy()
    assert [record.id for record in spool.runs(None)] == [run_id(4), run_id(3)]


def task(spool: Spool, number: int, result: bytes | None, ttl: float = 60) -> Record:
    output = spool.begin(run_id(number), "tool", None, TaskTerms(ttl=ttl, poll_interval=1))
    output.open()
    output.feed("stdout", b"x" * 100_000)
    output.finish("exit", 0)
    assert output.close(result)
    return output.record


def test_a_task_has_its_folder_before_and_after_its_run(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "runs", "a")
    output = spool.begin(RUN, "tool", None, TaskTerms(ttl=60, poll_interval=1))
    output.open()
    begun = spool.find(RUN, None)
    assert begun is not None
    assert (begun.task, begun.ended, begun.sizes) == (TaskTerms(ttl=60, poll_interval=1), None, {})
    output.finish("exit", 0)
    assert Spool(tmp_path / "runs", "a").find(RUN, None) is None  # another server waits for the result
    assert output.close(b"[1]")
    later = Spool(tmp_path / "runs", "a")
    record = later.find(RUN, None)
    assert record is not None
    assert (record.ended_by, later.result(record)) == ("exit", b"[1]")
    assert stat.S_IMODE((tmp_path / "runs" / RUN / "result.json").stat().st_mode) == 0o600


def test_a_task_whose_folder_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "runs", "a")
    output = spool.begin(RUN, "tool", None, TaskTerms(ttl=60, poll_interval=1))
    output.open()
    output.feed("stdout", b"x")
    assert output.record.problem == "not a directory"
    output.finish("exit", 0)
    assert not output.close(b"[1]")


def test_a_task_is_kept_as_long_as_was_promised(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, "a", now=clock)
    short, long = task(spool, 1, b"1", ttl=60), task(spool, 2, b"2", ttl=2 * EXPIRY)
    clock.time += EXPIRY + 1
    spool.tidy()
    assert [spool.find(record.id, None) is not None for record in (short, long)] == [False, True]
    clock.time += EXPIRY
    spool.tidy()
    assert list(tmp_path.iterdir()) == []


def test_of_too_much_tasks_are_removed_last(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, "a", now=clock, total=250_000)
    for number in range(2):
        clock.time += 1
        task(spool, number, b"1")
    for number in range(2, 4):
        clock.time += 1
        keep(spool, b"x" * 100_000, number=number)
    spool.tidy()
    assert [record.id for record in spool.runs(None)] == [run_id(1), run_id(0)]


def test_what_is_none_of_ours_is_left_alone(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, "a", now=clock, total=0)
    (tmp_path / "letters").mkdir()
    (tmp_path / RUN).write_text("a file")
    clock.time = 1e12
    spool.tidy()
    assert {path.name for path in tmp_path.iterdir()} == {"letters", RUN}


def test_a_folder_without_facts_goes_after_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    folder = tmp_path / RUN
    folder.mkdir()
    (folder / "meta.json").write_text("{broken")
    clock.time = folder.stat().st_mtime + 3500
    spool = Spool(tmp_path, "a", now=clock)
    spool.tidy()
    assert folder.exists()
    assert spool.runs(None) == []
    clock.time += 200
    spool.tidy()
    assert not folder.exists()


# --- several servers, and one that dies ------------------------------------------------------------------------------

SERVER = """
import sys, time
from pathlib import Path
from cmdtool.spool import Spool

output = Spool(Path(sys.argv[1]), "a").begin(sys.argv[2], "t", None)
output.feed("stdout", b"printed\\n")
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run another server, with a run that goes on."""
    command = [sys.executable, "-c", SERVER, str(folder), RUN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_a_run_of_another_server_that_lives_is_not_touched(tmp_path: Path) -> None:
    with server(tmp_path):
        spool = Spool(tmp_path, "a", now=lambda: 1e12, total=0)
        spool.tidy()
        assert spool.find(RUN, None) is None
        assert (tmp_path / RUN / "stdout").read_bytes() == b"printed\n"


def test_a_run_whose_server_was_killed_is_kept_as_ended_and_then_removed(tmp_path: Path) -> None:
    with server(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    spool = Spool(tmp_path, "a")
    spool.tidy()
    (record,) = spool.runs(None)
    assert record == spool.find(RUN, None)
    assert record.ended is not None
    assert (record.ended_by, record.sizes) == ("server", {"stdout": 8})
    assert read_all(spool, record) == [(0, b"printed\n")]
    Spool(tmp_path, "a", now=lambda: 1e12).tidy()
    assert not (tmp_path / RUN).exists()


def test_of_a_ring_whose_server_was_killed_only_the_head_is_certain(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", layout=SMALL)
    record = keep(spool, bytes(range(35)))
    meta = tmp_path / record.id / "meta.json"
    meta.write_text(record.model_copy(update={"ended": None}).model_dump_json())
    found = spool.find(record.id, None)
    assert found is not None
    assert read_all(spool, found) == [(0, bytes(range(10)))]


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 100,000 bytes: an error as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_takes_no_more_ends_the_keeping_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, "a")
    with caplog.at_level(logging.WARNING):
        records = [keep(spool, b"x" * 60_000, b"y" * 60_000, b"z" * 60_000, number=number) for number in (1, 2)]
    assert len(caplog.records) == 1
    for record in records:
        assert (record.sizes, record.problem) == ({"stdout": 100_000}, "file too large")
        assert spool.find(record.id, None) == record
        assert read_all(spool, record) == [(0, b"x" * 60_000 + b"y" * 40_000)]


def in_a_file(path: Path) -> Path:
    path.write_text("")
    return path / "runs"


def shared(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o777)
    return path


def in_proc(path: Path) -> Path:
    return Path("/proc/self/runs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("only root can make a small disk")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_how_a_run_ended_is_told_where_the_disk_is_full(small_disk: Path) -> None:
    spool = Spool(small_disk / "runs", "a")
    record = keep(spool, *[b"x" * 65536] * 8)
    assert record.problem == "no space left on device"
    found = Spool(small_disk / "runs", "a").find(record.id, None)
    assert found == record
    assert (found.ended_by, found.exit_status) == ("exit", 0)


@pytest.mark.parametrize(
    ("make", "problem"),
    [(in_a_file, "not a directory"), (shared, "others may write"), (in_proc, "no such file or directory")],
)
def test_a_folder_that_cannot_be_used_is_logged_once_and_no_run_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], Path], problem: str
) -> None:
    spool = Spool(make(tmp_path / "place"), "a")
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            record = keep(spool, b"x", b"y", number=number)
            assert record.sizes == {}
            assert problem in (record.problem or "")
    assert len(caplog.records) == 1
    spool.tidy()
    assert spool.runs(None) == []


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    spool = Spool(tmp_path, "a")
    for number in range(20):
        with spool.begin(run_id(number), "t", None) as output:
            output.feed("stdout", b"x")
            output.feed("stderr", b"x")
        record = output.record
        spool.read(record, "stderr", 0, 1)
    spool.tidy()
    assert len(os.listdir("/dev/fd")) == before


def test_a_run_does_not_begin_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    first = keep(spool, b"first")
    again: RunOutput
    with spool.begin(first.id, "t", None) as again:
        again.feed("stdout", b"again")
    assert again.record.problem == "file exists"
    assert read_all(spool, first) == [(0, b"first")]


# --- searching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("find", "found"),
    [
        (literal("err"), [(3, b"an error"), (12, b"err")]),
        (literal("nothing"), []),
        (pattern("^e"), [(12, b"err")]),
        (pattern(r"(?i)ERR.*$"), [(3, b"an error"), (12, b"err")]),
        (pattern(r"\d+%"), [(16, b"10%"), (20, b"20%")]),
        (pattern(""), [(0, b"ok"), (3, b"an error"), (12, b"err"), (16, b"10%"), (20, b"20%")]),
    ],
)
def test_lines_that_match_come_with_their_offsets(
    find: Callable[[bytes, int], int], found: list[tuple[int, bytes]]
) -> None:
    block = b"ok\nan error\nerr\n10%\r20%\n"
    assert [(start, line) for start, line, _ in matching_lines(block, find)] == found


def test_of_a_long_line_the_surroundings_of_the_match_are_shown() -> None:
    block = b"x" * 100_000 + b"needle" + b"y" * 100_000 + b"\nneedle\n"
    (start, line, end), (second, short, _) = matching_lines(block, literal("needle"))
    assert line.startswith(b"x" * 80 + b"needley")
    assert len(line) == 320
    assert (start, end) == (99_920, 200_006)
    assert (second, short) == (200_007, b"needle")


@given(st.lists(st.text(alphabet="ab\r", max_size=6), max_size=8))
def test_a_search_finds_each_line_that_holds_the_text_once(lines: list[str]) -> None:
    block = "\n".join(lines).encode()
    held = [line.encode() for each in lines for line in each.split("\r") if "ab" in line]
    assert [line for _, line, _ in matching_lines(block, literal("ab"))] == held
    assert [line for _, line, _ in matching_lines(block, pattern("ab"))] == held
