"""`cmdtool record`: the file, the output that is passed on, the exit status."""

import json
import os
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from cmdtool.recording import Recording, parse_recording
from tests.test_cli import CMDTOOL, cmdtool


def recorded(path: Path) -> Recording:
    return parse_recording(path.name, path.read_text("utf-8"))


def test_what_a_command_prints_is_passed_on_and_recorded_with_its_streams_and_times(tmp_path: Path) -> None:
    script = "echo one; sleep 0.1; echo two >&2; sleep 0.1; printf three; exit 3"
    ran = cmdtool("record", "-o", "run.jsonl", "--", "sh", "-c", script, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (3, "one\nthree")
    assert ran.stderr.startswith("two\n")
    assert "cmdtool parse run.jsonl" in ran.stderr
    run = recorded(tmp_path / "run.jsonl")
    assert [(chunk.stream, chunk.data) for chunk in run.chunks] == [
        ("stdout", b"one\n"),
        ("stderr", b"two\n"),
        ("stdout", b"three"),
    ]
    assert all(after.t >= before.t for before, after in pairwise(run.chunks))
    assert (run.id, run.program, run.argv, run.mode) == ("run", "sh", ("sh", "-c", script), "pipe")
    assert run.exit_code == 3
    assert run.duration is not None
    assert run.duration >= run.chunks[-1].t


def test_the_command_has_the_callers_folder_and_environment(tmp_path: Path) -> None:
    ran = cmdtool("record", "-o", "x.jsonl", "--", "sh", "-c", "pwd; echo $MINE", cwd=tmp_path, env={"MINE": "yes"})
    assert ran.stdout == f"{tmp_path}\nyes\n"


def test_an_earlier_recording_is_written_over(tmp_path: Path) -> None:
    for words in (["seq", "100"], ["true"]):
        assert cmdtool("record", "-o", "x.jsonl", "--", *words, cwd=tmp_path).returncode == 0
    assert recorded(tmp_path / "x.jsonl").chunks == ()


def test_a_signal_is_recorded_as_one(tmp_path: Path) -> None:
    ran = cmdtool("record", "-o", "x.jsonl", "--", "sh", "-c", "kill -TERM $$", cwd=tmp_path)
    assert ran.returncode == 143
    assert recorded(tmp_path / "x.jsonl").exit_code == -15


def test_an_interrupt_ends_the_command_and_the_recording_is_whole(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*CMDTOOL, "record", "-o", "x.jsonl", "--", "sh", "-c", "echo started; sleep 300"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b""
        assert process.wait() == 130
    run = recorded(tmp_path / "x.jsonl")
    assert [chunk.data for chunk in run.chunks] == [b"started\n"]
    assert run.exit_code == -2
    assert run.duration is not None


def test_a_recorder_that_is_killed_leaves_what_it_has(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*CMDTOOL, "record", "-o", "x.jsonl", "--", "sh", "-c", "echo started; exec sleep 5"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.kill()
    run = recorded(tmp_path / "x.jsonl")
    assert [chunk.data for chunk in run.chunks] == [b"started\n"]
    assert (run.exit_code, run.duration) == (None, None)


def test_a_file_that_cannot_be_written_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    for name, words in [
        ("/dev/full", "no space left"),
        ("absent/x", "no such file"),
        ("/dev/stdout", "must be a file"),
    ]:
        ran = cmdtool("record", "-o", name, "--", "echo", "ran", cwd=tmp_path)
        assert ran.returncode == 2
        assert words in ran.stderr
        assert "ran" not in ran.stdout


def test_a_file_that_is_no_recording_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("precious\n")
    ran = cmdtool("record", "-o", "notes", "--", "echo", "ran", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "notes: there is a file that is no recording\nhint: name another one" in ran.stderr
    assert (tmp_path / "notes").read_text() == "precious\n"
    for _ in range(2):
        assert cmdtool("record", "-o", "run", "--", "echo", "ran", cwd=tmp_path).returncode == 0


def test_a_disk_that_is_full_ends_the_command_and_is_an_error(tmp_path: Path) -> None:
    limited = f"ulimit -f 8; exec {' '.join(CMDTOOL)} record -o x.jsonl -- sh -c 'seq 100000; sleep 300'"
    ran = subprocess.run(["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 2
    assert "x.jsonl: cannot be written: file too large" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["record", "--", "ls"], 2, "--output"),
        (["record", "-o", "x"], 2, "there is no command after `--`"),
        (["record", "-o", "x", "ls"], 2, "write `--` before the command"),
        (["record", "-o", "x", "--", "no-such-program"], 127, "no-such-program"),
    ],
)
def test_wrong_usage_says_what_to_write(tmp_path: Path, words: list[str], status: int, message: str) -> None:
    ran = cmdtool(*words, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert message in ran.stderr
    assert os.listdir(tmp_path) == []


def test_the_first_line_is_json_with_all_of_the_facts(tmp_path: Path) -> None:
    cmdtool("record", "-o", "x.jsonl", "--", "true", cwd=tmp_path)
    head = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    assert set(head) == {"id", "program", "version", "argv", "mode", "exit_code", "duration_s"}


def test_a_command_may_have_a_terminal_to_draw_on(tmp_path: Path) -> None:
    ran = cmdtool("record", "--pty", "-o", "x.jsonl", "--", "sh", "-c", "test -t 1 && echo 50%", cwd=tmp_path)
    assert (ran.returncode, ran.stdout.strip()) == (0, "50%")
    run = recorded(tmp_path / "x.jsonl")
    assert (run.mode, b"".join(chunk.data for chunk in run.chunks).strip()) == ("pty", b"50%")
