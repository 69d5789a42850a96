"""`cmdtool parsers`: the table, and each parser ready to paste."""

from pathlib import Path

import pytest

from cmdtool.commands.parsers import write_parser
from cmdtool.library import builtin_parser, builtin_parsers, builtin_text
from cmdtool.manifest import Source, check
from tests.test_cli import cmdtool


@pytest.mark.parametrize("name", builtin_parsers())
def test_a_parser_can_be_pasted_into_a_manifest_and_reads_the_same(name: str) -> None:
    parser = builtin_parser(name)
    pasted = write_parser(name, parser, builtin_text(name))
    text = f"parsers:\n{pasted}tools:\n  mine: {{command: 'true', progress: {name}}}\n"
    manifest, problems = check([Source("tools.yaml", "/", text)], {})
    assert problems == []
    assert manifest is not None
    progress = manifest.tools["mine"].progress
    assert (progress.rules, progress.stages) == (parser.rules, parser.stages)
    assert all(f"# sample: {line}" in pasted or f"# {line}" in pasted for line in parser.sample.splitlines()[:1])
    assert (parser.hint or "").splitlines()[:1] == [] or f"# hint: {(parser.hint or '').splitlines()[0]}" in pasted


def test_one_parser_is_shown_as_it_is_written(tmp_path: Path) -> None:
    shown = cmdtool("parsers", "rsync", cwd=tmp_path).stdout
    assert shown.splitlines()[0].startswith("  # about: rsync with")
    assert "  # needs: --info=progress2 or --progress or -P" in shown
    assert "  rsync:\n    rules:\n      - pattern: '" in shown


def test_the_table_names_every_parser_its_programs_and_needs(tmp_path: Path) -> None:
    shown = cmdtool("parsers", cwd=tmp_path, env={"COLUMNS": "160"}).stdout
    lines = shown.splitlines()
    assert lines[0].split() == ["parser", "programs", "reads", "needs"]
    assert {line.split()[0] for line in lines[1:] if line[:1].strip()} == set(builtin_parsers())
    assert any(line.startswith("git ") and "--progress or a terminal" in line for line in lines)


def test_a_misspelt_parser_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    ran = cmdtool("parsers", "rsnc", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: there is no parser `rsnc`\nhint: did you mean `rsync`?\n"
