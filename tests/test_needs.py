"""Whether a command line tells its program to say how far it is."""

import pytest

from cmdtool.model import ParserFile, ToolKeys
from cmdtool.needs import silent_without, tool_commands

RSYNC = ParserFile(
    about="", sample="", matches=("rsync",), needs=("--info=progress2", "--progress", "-P", "pty"), rules=()
)


@pytest.mark.parametrize(
    "word", ["--progress", "-P", "-avP", "--info=progress2", "--info=stats,progress2", "--progress=yes"]
)
def test_one_of_the_options_is_enough(word: str) -> None:
    assert silent_without(RSYNC, [["rsync", "-a", word]], has_terminal=False) == ()


@pytest.mark.parametrize("word", ["progress", "-p", "--Progress", "--info=stats", "--P", "P"])
def test_another_word_is_not(word: str) -> None:
    assert silent_without(RSYNC, [["rsync", "-a", word]], has_terminal=False) == RSYNC.needs


def test_a_terminal_helps_those_who_draw_on_one() -> None:
    assert silent_without(RSYNC, [["rsync"]], has_terminal=True) == ()
    piped = RSYNC.model_copy(update={"needs": ("--progress",)})
    assert silent_without(piped, [["rsync"]], has_terminal=True) == ("--progress",)


def test_who_needs_nothing_is_never_silent() -> None:
    assert silent_without(RSYNC.model_copy(update={"needs": ()}), [["rsync"]], has_terminal=False) == ()


def test_what_another_program_is_given_does_not_count() -> None:
    assert silent_without(RSYNC, [["grep", "-P", "x"], ["nice", "rsync", "-a"]], has_terminal=False) == RSYNC.needs
    assert silent_without(RSYNC, [["grep", "-P", "x"]], has_terminal=False) == ()


def test_words_of_a_command_are_those_without_holes_and_those_of_all_branches() -> None:
    command = ["rsync", "--x={x}", {"if": "p", "then": "-P", "else": ["-q"]}, ["--out", "{y}"], "{z}"]
    assert tool_commands(ToolKeys.model_validate({"command": command})) == [["rsync", "-P", "-q", "--out"]]
    assert tool_commands(ToolKeys.model_validate({"shell": "cd x && rsync -P y"})) == [
        ["cd", "x"],
        ["rsync", "-P", "y"],
    ]
