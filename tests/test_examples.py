"""`examples/*.yaml` and `tools.yaml`: they have no problem, editors accept them, and they do what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, check, manifest_schema

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
FILES = [ROOT / "tools.yaml", *sorted(EXAMPLES.glob("*.yaml"))]


def run(file: str, *words: str, cwd: Path = EXAMPLES) -> dict[str, Any]:
    """Return what `cmdtool run --json` prints."""
    line = [sys.executable, "-m", "cmdtool", "run", "-f", str(EXAMPLES / file), "--json", *words]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"progress": done.stderr.splitlines()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_has_no_problem_and_no_warning(file: Path) -> None:
    manifest, problems = check([Source(file.name, str(file.parent), file.read_text("utf-8"))], builtin_parsers())
    assert manifest is not None, problems
    assert problems == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_fits_the_schema_that_editors_use(file: Path) -> None:
    schema = manifest_schema()
    Draft202012Validator.check_schema(schema)
    errors = Draft202012Validator(schema).iter_errors(yaml.safe_load(file.read_text("utf-8")))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_tells_a_model_what_each_tool_does(file: Path) -> None:
    manifest, _ = check([Source(file.name, str(file.parent), file.read_text("utf-8"))], builtin_parsers())
    assert manifest is not None
    assert [name for name, tool in manifest.tools.items() if not tool.description] == []


@pytest.mark.parametrize(
    ("tool", "last"),
    [
        ("percentage", "percentage: 100% 100% done"),
        ("absolute", "absolute: 100% 8/8 file 8 of 8"),
        ("stages", "stages: 100% import"),
    ],
)
def test_a_pattern_with_a_total_ends_complete(tool: str, last: str) -> None:
    result = run("patterns.yaml", tool)
    assert result["success"]
    assert result["progress"][-1] == last


@pytest.mark.parametrize(("tool", "first"), [("indeterminate", "indeterminate: 3 found"), ("silent", "silent: ")])
def test_a_pattern_without_a_total_shows_no_percentage(tool: str, first: str) -> None:
    result = run("patterns.yaml", tool)
    assert result["success"]
    assert result["progress"][0].startswith(first)
    assert not any("%" in line for line in result["progress"])


def test_holes_are_filled_and_doubled_braces_are_text() -> None:
    assert run("arguments.yaml", "greet", "name=World")["stdout"] == "Hello, World!\nthis is {name}\n"


def test_arrays_repeat_choices_choose_and_what_is_not_given_is_left_out() -> None:
    words = ["search", "pattern=-x", "folder=.", "extension=py", "extension=md", "whole_words=true"]
    shown = run("arguments.yaml", "--dry-run", *words)
    assert shown["argv"] == [
        *["grep", "-rn", "--binary-files=without-match", "--include=*.py", "--include=*.md", "-w"],
        *["--regexp=-x", "--", f"{EXAMPLES}/."],
    ]


def test_options_with_a_value_and_the_other_choice_are_put_in() -> None:
    shown = run("arguments.yaml", "--dry-run", "search", "pattern=x", "folder=.", "context=2", "binary=text")
    assert shown["argv"][2:6] == ["--binary-files=text", "-C", "2", "--color=never"]


def test_a_text_goes_to_standard_input() -> None:
    assert run("arguments.yaml", "count_words", "text=to be or not to be")["stdout"].strip() == "6"


def test_arguments_of_a_shell_are_its_variables(tmp_path: Path) -> None:
    for name, size in (("a small $(name)", 1), ("large", 300), ("larger", 900), ("skipped", 1000)):
        (tmp_path / name).write_bytes(bytes(size))
    result = run("arguments.yaml", "largest", "folder=.", "lines=2", "skip=skip", cwd=tmp_path)
    assert result["stdout"].splitlines() == ["900 larger", "300 large"]


@pytest.mark.parametrize(
    ("words", "lines"), [([], {"GREETING=hello"}), (["level=debug"], {"GREETING=hello", "LOG_LEVEL=debug"})]
)
def test_a_variable_whose_argument_is_not_given_is_unset(words: list[str], lines: set[str]) -> None:
    printed = run("arguments.yaml", "show_environment", *words)["stdout"].splitlines()
    assert {line for line in printed if line.startswith(("GREETING", "LOG_LEVEL"))} == lines


def test_tar_counts_its_files_while_it_packs_them(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(20):
        (tmp_path / "photos" / str(number)).touch()
    result = run("backup.yaml", "archive", "folder=photos", "file=photos.tar.gz", cwd=tmp_path)
    assert result["success"]
    assert (tmp_path / "photos.tar.gz").exists()
    assert re.search(r"\b210?\b", result["progress"][-1]), "21 names; 210 of 210 if the total came after the first one"
