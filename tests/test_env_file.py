import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.argv import read_env_file
from cmdtool.env_file import parse_env_file
from cmdtool.errors import BadValue, StartError
from cmdtool.host import LocalHost
from cmdtool.model import Tool


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("N=value", "value"),
        ("N=", ""),
        ("N = a b  ", "a b"),
        ("export N=value", "value"),
        ("N=a#b # why", "a#b"),
        ("N= # nothing", ""),
        ("N=it's", "it's"),
        ("N=$HOME/${X}", "$HOME/${X}"),
        ("N=a=b==", "a=b=="),
        ("N='a # \"b\" \\n'  # why", 'a # "b" \\n'),
        ('N="a \\"b\\" \\\\ \\$1\\n\\t\\r"', 'a "b" \\ $1\n\t\r'),
        ('N=""', ""),
        ("N=''", ""),
        ("\ufeffN=value\r", "value"),
        ("# comment\n\n  # another\n\tN=value\n", "value"),
    ],
)
def test_a_line_sets_a_variable(line: str, value: str) -> None:
    assert parse_env_file(line) == {"N": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nhunter2\n", "line 2: expected `NAME=value`"),
        ("hunter2=1\n1A=hunter2", "line 2: expected"),
        ("A='hunter2\nhunter2'", "line 1: the value does not end with its quote"),
        ("A='hunter2' hunter2", "line 1: the value does not end with its quote"),
        ('A="hunter2\\"', "line 1: the value does not end with its quote"),
        ('A="hunter2\\x"', "line 1: a backslash"),
        ("A=1\nB=2\nA=hunter2", "line 3: `A` is set twice"),
        ("A=hunter2\0", "line 1: a NUL character"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_not_quoted(text: str, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse_env_file(text)
    assert caught.value.message.startswith(message)
    assert "hunter2" not in caught.value.message + caught.value.hint


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        variables = parse_env_file(text)
    except BadValue:
        return
    assert all(name.isidentifier() and "\0" not in value for name, value in variables.items())


@given(st.text(st.characters(exclude_characters="\0\n\r'", exclude_categories=["Cs"])))
def test_single_quotes_keep_everything(value: str) -> None:
    assert parse_env_file(f"N='{value}'") == {"N": value}


def reading(folder: Path, env_file: str) -> dict[str, str]:
    tool = Tool.model_validate({"name": "t", "command": ["ls"], "folder": str(folder), "env_file": env_file})
    return read_env_file(tool, LocalHost())


def test_the_file_starts_from_the_folder_of_the_manifest(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    assert reading(tmp_path, ".env") == reading(Path("/"), f"{tmp_path}/.env") == {"A": "1"}


def test_a_file_that_cannot_be_used_says_which_and_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"A=\xff")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\nA=1")
    (tmp_path / "wrong").write_bytes(b"A=1\nB")
    for name, why in {
        "none": "does not exist",
        ".": "cannot be read",
        "pipe": "not a regular file",
        "binary": "not UTF-8 (byte 2)",
        "large": "too large",
        "wrong": "line 2: expected `NAME=value`\nhint: a comment begins with `#`",
    }.items():
        with pytest.raises(StartError) as caught:
            reading(tmp_path, name)
        assert why in str(caught.value)
        assert str(tmp_path) in str(caught.value)
