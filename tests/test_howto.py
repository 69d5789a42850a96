"""The how-to of the README for a program of one's own, step by step as it stands there."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.test_docs import README, blocks, command, environment, sections

__all__ = ["command"]

SCRIPT = "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo migrated $n of 12 tables; sleep 0.15; done\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "migrate.sh").write_text(SCRIPT)
    (tmp_path / "migrate.sh").chmod(0o755)
    return tmp_path


def run(line: str, command: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", f"{line} 2>&1"],
        cwd=folder,
        env=environment(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def on_any_machine(line: str) -> str:
    """Return a line with the times and the count that depend on the machine as the README has them."""
    line = re.sub(r"^ +\d+\.\d+s", "   0.00s", line)
    return re.sub(r"sent \d+ updates", "sent 13 updates", line)


def test_each_step_of_the_how_to_works_and_prints_what_it_shows(command: Path, folder: Path) -> None:
    below = sections(README, 2)["A program of your own"]
    steps = 0
    for block in blocks(README, "yaml", "console"):
        if block.text.splitlines()[0].strip() not in below:
            continue
        if block.language == "yaml":
            if "./migrate.sh" in block.text:
                (folder / "tools.yaml").write_text(block.text)
            continue
        for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, *expected = step.splitlines()
            done = run(line, command, folder)
            steps += 1
            assert done.returncode == 0, f"{line}\n{done.stdout}"
            printed = iter(on_any_machine(text) for text in done.stdout.splitlines())
            for text in expected:
                assert text == "..." or text in printed, f"{line}\n{done.stdout}"
    assert steps >= 4


def test_what_is_suggested_reads_the_recording_once_it_is_pasted(command: Path, folder: Path) -> None:
    assert run("cmdtool record -o migrate.jsonl -- ./migrate.sh", command, folder).returncode == 0
    suggested = run("cmdtool parse --suggest migrate.jsonl", command, folder)
    assert suggested.returncode == 0, suggested.stdout
    (folder / "tools.yaml").write_text(f"tools:\n  migrate:\n    command: ./migrate.sh\n{suggested.stdout}")
    assert run("cmdtool check", command, folder).returncode == 0
    read = run("cmdtool parse --tool migrate migrate.jsonl", command, folder).stdout
    assert "the last one is 100%" in read


def test_a_parser_of_ones_own_takes_five_lines(command: Path, folder: Path) -> None:
    manifest = r"""parsers:
  tables: 'migrated (\d+) of (\d+) tables'
tools:
  migrate: {command: ./migrate.sh, progress: tables}
"""
    assert len(manifest.splitlines()) <= 5
    (folder / "tools.yaml").write_text(manifest)
    assert run("cmdtool record -o migrate.jsonl -- ./migrate.sh", command, folder).returncode == 0
    assert "100% 12/12" in run("cmdtool parse --tool migrate migrate.jsonl", command, folder).stdout
    checked = run("cmdtool check", command, folder)
    assert checked.returncode == 0, checked.stdout
    assert "progress: tables" in checked.stdout
