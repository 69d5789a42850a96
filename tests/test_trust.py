import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from cmdtool.errors import CmdtoolError
from cmdtool.trust import check_trust
from tests.test_cli import cmdtool

MANIFEST = "tools:\n  hello: {command: echo hello}\n"
COMMANDS = (["serve"], ["run", "hello"], ["check"], ["list"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir(mode=0o755)
    file = tmp_path / "folder" / "tools.yaml"
    file.write_text(MANIFEST)
    file.chmod(0o644)
    return file


def refusal(path: Path) -> str:
    with pytest.raises(CmdtoolError) as caught:
        check_trust(path, path.stat())
    return str(caught.value)


def test_a_file_of_ones_own_is_taken(file: Path) -> None:
    check_trust(file, file.stat())
    check_trust(Path("/etc/passwd"), os.stat("/etc/passwd"))  # of root


def test_a_file_that_everybody_can_write_is_refused_with_a_hint(file: Path) -> None:
    file.chmod(0o646)
    assert refusal(file) == (
        f"{file}: everybody can write it, so others could choose what runs\n"
        f"hint: `chmod go-w {file}`, or give `--trust` if that is meant"
    )


def test_a_folder_that_everybody_can_write_is_refused_unless_it_is_sticky(file: Path) -> None:
    file.parent.chmod(0o777)
    assert refusal(file).startswith(f"{file.parent}: everybody can write it")
    file.parent.chmod(0o1777)
    check_trust(file, file.stat())


def test_a_link_is_judged_by_both_its_folders(file: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "tools.yaml"
    link.symlink_to(file)
    check_trust(link, link.stat())
    file.parent.chmod(0o777)
    assert refusal(link).startswith(f"{file.parent}: everybody")
    file.parent.chmod(0o755)
    link.parent.chmod(0o777)
    assert refusal(link).startswith(f"{link.parent}: everybody")


def test_a_group_that_is_the_user_alone_may_write(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = file.stat()
    user = pwd.getpwuid(os.geteuid()).pw_name
    file.chmod(0o664)

    def group(name: str, *members: str) -> None:
        monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name=user, pw_gid=status.st_gid))
        monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_name=name, gr_mem=list(members)))

    group(user)
    check_trust(file, file.stat())
    group(user, user, "mallory")
    assert "the group" in refusal(file)
    group("staff")
    assert "the group `staff` can write it" in refusal(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(file: Path) -> None:
    os.chown(file, 54321, -1)
    assert "it belongs to user 54321" in refusal(file)
    os.chown(file, 0, -1)
    os.chown(file.parent, 54321, -1)
    assert refusal(file).startswith(f"{file.parent}: it belongs to user 54321")


def test_a_file_without_end_is_refused() -> None:
    refused = cmdtool("check", "--trust", "/dev/zero", cwd=Path("/"))
    assert refused.returncode == 2
    assert refused.stderr == "error: /dev/zero: larger than a manifest may be (1,048,576 bytes)\n"


@pytest.mark.parametrize("words", COMMANDS)
def test_each_command_refuses_what_others_could_have_written(file: Path, words: list[str]) -> None:
    file.chmod(0o666)
    refused = cmdtool(*words, cwd=file.parent)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "error: tools.yaml: everybody can write it, so others could choose what runs\nhint: "
    )
    assert cmdtool(*words, "--trust", cwd=file.parent).returncode == 0


@pytest.mark.parametrize("words", [["run", "hello"], ["check"]], ids=" ".join)
def test_a_file_of_variables_that_others_could_have_written_is_refused(file: Path, words: list[str]) -> None:
    file.write_text("tools:\n  hello: {command: printenv WORD, env_file: vars/.env}\n")
    folder = file.parent / "vars"
    folder.mkdir()
    variables = folder / ".env"
    variables.write_text("WORD=hello\n")
    assert cmdtool(*words, cwd=file.parent).returncode == 0
    variables.chmod(0o666)
    refused = cmdtool(*words, cwd=file.parent)
    assert refused.returncode != 0
    said = f"the `env_file` {variables}: everybody can write it, so others could choose variables of the command"
    assert said in refused.stderr
    assert f"`chmod go-w {variables}`, or give `--trust` if that is meant" in refused.stderr
    assert cmdtool(*words, "--trust", cwd=file.parent).returncode == 0
    variables.chmod(0o644)
    folder.chmod(0o777)
    assert f"the `env_file` {folder}: everybody can write it" in cmdtool(*words, cwd=file.parent).stderr


def test_check_warns_of_a_program_that_others_can_change(file: Path) -> None:
    program = file.parent / "mine.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o777)
    file.write_text("tools:\n  mine: {command: ./mine.sh}\n")
    checked = cmdtool("check", cwd=file.parent)
    assert checked.returncode == 0
    assert "mine.sh: everybody can write it" in checked.stderr


def test_a_device_is_no_manifest_and_nothing_is_to_be_mended_about_it(tmp_path: Path) -> None:
    ran = cmdtool("check", "/dev/null", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (2, "error: /dev/null: it is a device, not a file\n")
