"""`cmdtool parse`: what it shows of a recording, a log and standard input."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cmdtool.recording import Chunk, Recording
from tests.recordings.score import FOLDER
from tests.test_cli import CMDTOOL, cmdtool
from tests.test_recording import dump_recording

RSYNC = str(FOLDER / "rsync-progress2.pipe.jsonl")
TABLES = r"migrated (\d+) of (\d+) tables"


def migration(exit_code: int | None = 0) -> str:
    lines = ["opening", *(f"migrated {number} of 12 tables" for number in range(1, 13)), "vacuum 50%"]
    chunks = tuple(Chunk(number / 2, "stdout", f"{line}\n".encode()) for number, line in enumerate(lines))
    return dump_recording(Recording("migrate", "migrate.sh", "", ("./migrate.sh",), "pipe", exit_code, 8.0, chunks))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "migrate.jsonl").write_text(migration())
    (tmp_path / "run.log").write_text("start\n10% done\n20% done\n55% done\n")
    (tmp_path / "tools.yaml").write_text(
        "tools:\n  migrate:\n    command: 'true'\n    success: [0, 3]\n"
        "    progress: {rules: [{pattern: 'migrated (\\d+) of (\\d+)', stream: stdout}]}\n"
    )
    return tmp_path


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_recording_is_shown_whole(folder: Path) -> None:
    ran = cmdtool("parse", "--pattern", TABLES, "migrate.jsonl", cwd=folder, env={"COLUMNS": "60"})
    assert ran.returncode == 0, ran.stderr
    records, _, rest = ran.stdout.partition("\n\na client")
    assert (
        records
        == rf"""migrate.jsonl: ./migrate.sh (pipe, 8.00s, exit status 0)
read by the pattern
   1  {TABLES}

   0.50s  «migrated 1 of 12 tables»
          → 8% 1/12   rule 1: progress=1 total=12
   1.00s  «migrated 2 of 12 tables»
          → 16% 2/12   rule 1: progress=2 total=12
   1.50s  «migrated 3 of 12 tables»
          → 25% 3/12   rule 1: progress=3 total=12
          … 8 more (--all shows them)
   6.00s  «migrated 12 of 12 tables»
          → 100% 12/12   rule 1: progress=12 total=12"""
    )
    picture, _, near = rest.partition("\n\n")
    assert picture.splitlines()[0] == " would be sent 13 updates; the last one is 100% 12/12"
    assert picture.splitlines()[-2:] == [f"   0% └{'─' * 53}", f"       0.00s{' ' * 19}4.00s{' ' * 19}8.00s"]
    assert near == "nearly matched, but not read:\n   6.50s  vacuum 50%\n          holds a percentage\n"


def test_all_records_are_shown_if_wanted(folder: Path) -> None:
    shown = cmdtool("parse", "--all", "--pattern", TABLES, "migrate.jsonl", cwd=folder).stdout
    assert all(f"«migrated {number} of 12 tables»" in shown for number in range(1, 13))
    assert "--all" not in shown


def test_readings_as_json_are_one_a_record_before_rate_limiting(folder: Path) -> None:
    found = objects(cmdtool("parse", "--json", "--parser", "rsync", RSYNC, cwd=folder).stdout)
    assert found[0] == {"t": 0.0628, "value": 0.0, "total": 100.0, "stage": None, "message": "0.00kB/s · 0:00:00 left"}
    assert found[-1]["value"] == 100.0
    assert len(found) > 20


@pytest.mark.parametrize(("exit_code", "last"), [(0, 12.0), (1, 11.988), (None, 11.988)])
def test_updates_are_what_a_client_would_be_sent(folder: Path, exit_code: int | None, last: float) -> None:
    (folder / "x.jsonl").write_text(migration(exit_code))
    found = objects(cmdtool("parse", "--updates", "--pattern", TABLES, "x.jsonl", cwd=folder).stdout)
    assert set(found[0]) == {"t", "value", "total", "stage", "message"}
    assert found[-1]["value"] == pytest.approx(last)
    assert [each["value"] for each in found[:11]] == list(range(1, 12))


def test_a_tool_says_how_it_reads_and_what_is_a_success(folder: Path) -> None:
    (folder / "x.jsonl").write_text(migration(3))
    found = objects(cmdtool("parse", "--updates", "--tool", "migrate", "x.jsonl", cwd=folder).stdout)
    assert found[-1]["value"] == 12
    shown = cmdtool("parse", "-t", "migrate", "-f", "tools.yaml", "x.jsonl", cwd=folder).stdout
    assert "read by the tool `migrate`" in shown
    assert "exit status 3" in shown


def test_a_log_has_line_numbers_for_times_and_no_streams(folder: Path) -> None:
    found = objects(cmdtool("parse", "--json", "-p", "percent", "run.log", cwd=folder).stdout)
    assert [(each["t"], each["value"]) for each in found] == [(2, 10), (3, 20), (4, 55)]
    assert cmdtool("parse", "--json", "-t", "migrate", "-", cwd=folder, stdin="migrated 1 of 2\n").stdout
    assert "#2  «10%» done" in cmdtool("parse", "-p", "percent", "run.log", cwd=folder).stdout


def test_a_long_log_brings_no_signs_of_life(folder: Path) -> None:
    (folder / "long.log").write_text("x\n" * 500 + "5%\n")
    assert len(objects(cmdtool("parse", "--updates", "-p", "percent", "long.log", cwd=folder).stdout)) == 1


@pytest.mark.parametrize("words", [(), ("-",)])
def test_standard_input_may_be_a_recording_or_output(folder: Path, words: tuple[str, ...]) -> None:
    recorded = cmdtool("parse", "--json", "--pattern", TABLES, *words, cwd=folder, stdin=migration())
    assert [each["t"] for each in objects(recorded.stdout)][:2] == [0.5, 1.0]
    printed = cmdtool("parse", "--json", "-p", "percent", *words, cwd=folder, stdin="5%\r7")
    assert [each["value"] for each in objects(printed.stdout)] == [5]


def test_output_is_read_as_it_comes(folder: Path) -> None:
    with live("--json", "--pattern", r"(\d+)%", folder=folder) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"10%\n")
        assert json.loads(process.stdout.readline())["value"] == 10
        process.stdin.write(b"20%")  # it has no end, and is read after a moment of quiet
        assert json.loads(process.stdout.readline())["value"] == 20
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 0


def test_updates_come_with_signs_of_life_while_nothing_else_does(folder: Path) -> None:
    (folder / "tools.yaml").write_text(
        "tools: {x: {command: 'true', progress: {rules: ['(\\d+)%'], heartbeat: 300ms}}}\n"
    )
    with live("--updates", "-t", "x", folder=folder) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"10%\n")
        messages = [json.loads(process.stdout.readline())["message"] for _ in range(3)]
        assert [re.sub(r"\d+s elapsed", "0s elapsed", message) for message in messages] == [
            "10%",
            *["0s elapsed · 10%"] * 2,
        ]


def test_an_interrupt_shows_what_there_is(folder: Path) -> None:
    with live("--pattern", r"(\d+)%", folder=folder) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"10%\n")
        lines: Iterator[bytes] = iter(process.stdout.readline, b"")
        assert any("«10%»".encode() in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert b"a client would be sent 1 update" in process.stdout.read()
        assert process.wait() == 130


def live(*words: str, folder: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*CMDTOOL, "parse", *words, "-"],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )


def test_a_rule_that_matches_but_finds_no_number_is_said_to(folder: Path) -> None:
    shown = cmdtool("parse", "--pattern", r"(\d+)%", "-", cwd=folder, stdin="x 250% y\n").stdout
    assert "nothing is read in 1 record\n" in shown
    assert "rule 1 matches, but what it finds is no number or name" in shown


def test_skipped_records_are_shown_as_such(folder: Path) -> None:
    (folder / "tools.yaml").write_text(
        "tools: {x: {command: 'true', progress: [{pattern: disk, skip: true}, '(\\d+)%']}}\n"
    )
    shown = cmdtool("parse", "-t", "x", "-", cwd=folder, stdin="disk 20% full\n5%\n").stdout
    assert "«disk» 20% full\n          rule 1 skips it" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.log"], "absent.log: no such file or directory"),
        (["empty.log"], "empty.log: it is empty"),
        (["broken.jsonl"], "broken.jsonl:2: the recording is damaged"),
        (["-p", "rsnc", "run.log"], "there is no parser `rsnc`\nhint: did you mean `rsync`?"),
        (["-p", r"(\d+)%", "run.log"], "is no parser's name\nhint: a pattern is given to `--pattern`"),
        (["--pattern", r"(\d+%", "run.log"], "a `(` is never closed"),
        (["-t", "migrat", "run.log"], "there is no tool `migrat`\nhint: did you mean `migrate`?"),
        (["-t", "x", "-p", "rsync", "run.log"], "`--tool` and `--parser`: give one of them"),
        (["-f", "tools.yaml", "run.log"], "`--file` is for `--tool`"),
        (["--suggest", "--json", "run.log"], "`--suggest` takes no other options"),
    ],
)
def test_mistakes_say_what_is_wrong_and_exit_with_2(folder: Path, words: list[str], message: str) -> None:
    (folder / "empty.log").touch()
    (folder / "broken.jsonl").write_text(migration().partition("\n")[0] + "\nnonsense\n")
    ran = cmdtool("parse", *words, cwd=folder)
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (ran.returncode, ran.stdout) == (2, "")


def test_a_reader_that_leaves_early_is_no_error_to_speak_of(folder: Path) -> None:
    piped = f"{' '.join(CMDTOOL)} parse --json -p rsync {RSYNC} | head -n 1"
    ran = subprocess.run(["bash", "-c", piped], cwd=folder, capture_output=True, text=True, timeout=30)
    assert len(ran.stdout.splitlines()) == 1
    assert ran.stderr == ""


@pytest.mark.parametrize("parser", ["rsync", "git", "curl", "tqdm", "ffmpeg"])
@pytest.mark.parametrize("columns", [40, 60, 200])
def test_nothing_is_wider_than_the_screen(folder: Path, parser: str, columns: int) -> None:
    path = next(iter(sorted(FOLDER.glob(f"{parser}*.pty.jsonl"))))
    ran = cmdtool("parse", "-p", parser, str(path), cwd=folder, env={"COLUMNS": str(columns)})
    drawn = [line for line in ran.stdout.splitlines() if line.startswith(" ")]  # a terminal wraps sentences
    assert max(map(len, drawn)) <= columns
