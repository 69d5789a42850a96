"""Whether a command line tells its program to say how far it is."""

import pytest

from cmdtool.model import ParserFile
from cmdtool.needs import literal_words, runs, script_words, silent_without

RSYNC = ParserFile(
    about="", sample="", matches=("rsync",), needs=("--info=progress2", "--progress", "-P", "pty"), rules=()
)


@pytest.mark.parametrize(
    "word", ["--progress", "-P", "-avP", "--info=progress2", "--info=stats,progress2", "--progress=yes"]
)
def test_one_of_the_options_is_enough(word: str) -> None:
    assert silent_without(RSYNC, ["rsync", "-a", word], has_terminal=False) == ()


@pytest.mark.parametrize("word", ["progress", "-p", "--Progress", "--info=stats", "--P", "P"])
def test_another_word_is_not(word: str) -> None:
    assert silent_without(RSYNC, ["rsync", "-a", word], has_terminal=False) == RSYNC.needs


def test_a_terminal_helps_those_who_draw_on_one() -> None:
    assert silent_without(RSYNC, ["rsync"], has_terminal=True) == ()
    piped = RSYNC.model_copy(update={"needs": ("--progress",)})
    assert silent_without(piped, ["rsync"], has_terminal=True) == ("--progress",)


def test_who_needs_nothing_is_never_silent() -> None:
    assert silent_without(RSYNC.model_copy(update={"needs": ()}), ["rsync"], has_terminal=False) == ()


def test_programs_are_known_by_their_name() -> None:
    assert runs(RSYNC, ["/usr/bin/rsync"])
    assert not runs(RSYNC, ["rsyncd", "./rsync.sh"])


def test_words_of_a_command_are_those_without_holes_and_those_of_all_branches() -> None:
    from cmdtool.model import ToolKeys

    command = ["rsync", "--x={x}", {"if": "p", "then": "-P", "else": ["-q"]}, ["--out", "{y}"], "{z}"]
    keys = ToolKeys.model_validate({"command": command})
    assert literal_words(keys.command or ()) == ["rsync", "-P", "-q", "--out"]


def test_words_of_a_script_are_told_as_a_shell_would_and_as_far_as_possible() -> None:
    assert script_words('cd x&& rsync -aP "$a b"|tee "log" # note') == [
        *("cd", "x", "&&", "rsync", "-aP", "$a b", "|", "tee", "log"),
    ]
    assert "rsync" in script_words("echo it's; rsync -P")
