import os
from pathlib import Path

import pytest

from cmdtool.host import LocalHost


def make(path: Path, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def test_the_first_folder_that_holds_the_program_wins(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a" / "tool"), make(tmp_path / "b" / "tool")
    host = LocalHost()
    assert host.which("tool", f"{tmp_path}/none:{tmp_path}/a:{tmp_path}/b") == first
    assert host.which("tool", f"{tmp_path}/b:{tmp_path}/a") == second
    assert host.which("tool", f"{tmp_path}/none") is None


def test_only_executable_regular_files_are_programs(tmp_path: Path) -> None:
    make(tmp_path / "plain" / "tool", 0o644)
    (tmp_path / "folder" / "tool").mkdir(parents=True)
    good = make(tmp_path / "good" / "tool")
    host = LocalHost()
    assert host.which("tool", f"{tmp_path}/plain:{tmp_path}/folder:{tmp_path}/good") == good
    assert host.which(f"{tmp_path}/plain/tool", "") is None
    assert host.which(f"{tmp_path}/folder/tool", "") is None
    assert host.which(good, "") == good


def test_relative_and_empty_folders_of_the_path_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "bin" / "tool")
    make(tmp_path / "tool")
    monkeypatch.chdir(tmp_path)
    assert LocalHost().which("tool", "bin::.") is None


def test_the_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDTOOL_TEST", "before")
    host = LocalHost()
    monkeypatch.setenv("CMDTOOL_TEST", "after")
    assert host.environ["CMDTOOL_TEST"] == "before"


def test_links_are_followed_and_what_does_not_exist_stays(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    host = LocalHost()
    assert host.real_path(str(link / "new" / ".." / "file")) == os.path.realpath(real / "file")
    assert host.exists(str(link))
    assert not host.exists(str(real / "file"))
