"""A command's words are a POSIX shell's, and what only a shell would act on is refused."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.errors import BadValue
from cmdtool.shellwords import HINT, find_shell_syntax, split_command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rsync -a -- {source} {destination}", ["rsync", "-a", "--", "{source}", "{destination}"]),
        ("  a\tb  ", ["a", "b"]),
        ("echo 'a | b' \"c; d\" \\* e\\ f", ["echo", "a | b", "c; d", "*", "e f"]),
        ("a'b'\"c\"d '' \"\"", ["abcd", "", ""]),
        (r"""a "\"\\\$\`\n" '\"' """, ["a", r'"\$`\n', r"\""]),
        ("awk '{print $1}'", ["awk", "{print $1}"]),
        ("~/bin/tool x~y", ["~/bin/tool", "x~y"]),
        ("a \\\n  b\\\nc\n", ["a", "bc"]),
        ("curl 'https://example.com/?a=1&b=2'", ["curl", "https://example.com/?a=1&b=2"]),
        ("a #b", ["a", "#b"]),
    ],
)
def test_words_are_split_as_a_shell_would(text: str, words: list[str]) -> None:
    assert split_command(text) == words


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ("a | b", "|"),
        ("a || b", "||"),
        ("a&&b", "&&"),
        ("a; b", ";"),
        ("a &", "&"),
        ("a < b", "<"),
        ("a > b", ">"),
        ("a >> b", ">>"),
        ("a 2>&1", "2>"),
        ("ls *.c", "*"),
        ("echo $HOME", "$HOME"),
        ("echo ${HOME}/x", "${HOME}"),
        ("echo $(pwd)", "$("),
        ("echo `pwd`", "`"),
        ("ls ~/x", "~/"),
        ("ls ~root", "~"),
        ("~root/bin/x", "~"),
        ("echo 'a' | b", "|"),
    ],
)
def test_shell_syntax_is_refused_where_it_stands(text: str, syntax: str) -> None:
    with pytest.raises(BadValue) as caught:
        split_command(text)
    assert f"`{syntax}`" in caught.value.message
    assert caught.value.hint == HINT
    assert caught.value.offset is not None
    assert text[caught.value.offset :].startswith(syntax)


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("a 'b", "a quote is never closed", 2),
        ('a "b\\"', "a quote is never closed", 2),
        ("a \\", "a single backslash ends the command", 2),
        ("cd x\nls", "a line ends inside the command", 4),
        ("", "the command is empty", None),
        ("''", "the command is empty", None),
        (" \n", "the command is empty", None),
    ],
)
def test_what_is_no_command_is_refused(text: str, message: str, offset: int | None) -> None:
    with pytest.raises(BadValue, match=message) as caught:
        split_command(text)
    assert caught.value.offset == offset


@given(st.text(alphabet="ab '\"\\\t{}", max_size=12))
def test_any_quoting_is_read_as_by_shlex(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        expected = []
    if expected and expected[0]:
        assert split_command(text) == expected
    else:
        with pytest.raises(BadValue):
            split_command(text)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_words_that_are_quoted_come_back(words: list[str]) -> None:
    assert split_command(shlex.join(words)) == words


@pytest.mark.parametrize(
    "element", ["|", "||", "&&", ";", "&", ">", "2>", "<", "$HOME", "a$(b)", "${x}y", "`x`", "~/x"]
)
def test_an_element_that_only_a_shell_would_act_on_is_found(element: str) -> None:
    assert find_shell_syntax(element, is_program=False)


@pytest.mark.parametrize("element", ["a|b", "x;y", "a>b", "*.c", "$", "$1", "~", "a~/b", "100%", "{x}", "-"])
def test_an_element_that_is_only_text_is_not(element: str) -> None:
    assert find_shell_syntax(element, is_program=False) is None


def test_the_program_may_begin_in_the_home_folder() -> None:
    assert find_shell_syntax("~/bin/x", is_program=True) is None
