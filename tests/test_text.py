import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.text import clean, clean_line

PIECES = st.sampled_from(
    [
        "a",
        "é",
        " ",
        "\n",
        "\r",
        "\b",
        "\t",
        "\x1b",
        "\x1b[",
        "\x1b]",
        "\x1bP",
        "\x1b\\",
        "\x07",
        "31m",
        "\x9b",
        "\u202e",
    ]
)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("a\x1b[Kb", "ab"),
        ("a\x1b[3Cb", "a b"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://a.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\x\x1b_apc\x1b\\y\x1b^pm\x1b\\z\x1bXsos\x1b\\", "xyz"),
        ("\x1b]no end\nnext", "no end\nnext"),
        ("\x1b(Bplain\x1b7\x1b", "plain"),
        ("10%\r20%\r30%\ndone", "30%\ndone"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("45%\b\b\b46%", "46%"),
        ("\b\bx", "x"),
        ("a\x00\x01\x7f\x85b\tc", "ab\tc"),
        ("user\u202eexe.txt", "user<U+202E>exe.txt"),
        ("a\u200bb\ufeffc\U000e0041", "a<U+200B>b<U+FEFF>c<U+E0041>"),
        ("\ud800", "<U+D800>"),
        ("\u200d\u200c stay", "\u200d\u200c stay"),
    ],
)
def test_text_is_shown_as_a_terminal_would_have_left_it(printed: str, shown: str) -> None:
    assert clean(printed) == shown


@given(st.lists(PIECES).map("".join))
def test_nothing_that_acts_on_a_terminal_is_left(printed: str) -> None:
    shown = clean(printed)
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\r", "\b", "\u202e"}
    assert clean(shown) == shown


def test_many_unclosed_escapes_are_cleaned_in_linear_time() -> None:
    assert clean("\x1b]x" * 100_000) == "x" * 100_000
    assert clean("\x1b[1" * 100_000) == ""


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("  one \n\n two\t three ", "one two  three"),
        ("\x1b[2K\r 45% ", "45%"),
        ("first\u2028second", "first second"),
        ("", ""),
    ],
)
def test_a_line_is_one_line_without_outer_whitespace(printed: str, shown: str) -> None:
    assert clean_line(printed) == shown


def test_a_long_line_is_cut_with_an_ellipsis() -> None:
    assert clean_line("x" * 200) == "x" * 200
    assert clean_line("x" * 201) == "x" * 199 + "…"
    assert clean_line("abcdef", limit=4) == "abc…"


@pytest.mark.parametrize("opener", ["\x9d", "\x90", "\x1b]", "\x1bP", "\x1b[", "\x9b"])
def test_openers_of_strings_that_never_end_cost_no_more_than_other_text(opener: str) -> None:
    assert clean(opener * 300_000 + "end") in ("end", "nd")  # a quadratic search would take minutes


DANGEROUS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)


@given(st.text(st.characters(exclude_categories=[])) | st.binary().map(lambda data: data.decode("utf-8", "replace")))
def test_whatever_the_text_nothing_is_left_that_hides_or_acts(printed: str) -> None:
    shown = clean(printed)
    assert not DANGEROUS.search(shown)
    assert clean(shown) == shown
    line = clean_line(printed)
    assert len(line) <= 200
    assert len(line.splitlines()) <= 1
    assert not DANGEROUS.search(line)


@pytest.mark.parametrize("kept", ["👩\u200d🚀", "❤\ufe0f", "\u0645\u06cc\u200c\u062e", "e\u0301", "日本語", "\u2028"])
def test_joiners_and_selectors_of_real_text_stay(kept: str) -> None:
    assert clean(kept) == kept


@pytest.mark.parametrize(
    "hidden", ["\u3164", "\uffa0", "\u115f", "\U000e0100", "\U000e01ef", "\u2060", "\u2066", "\u180e", "\U0001d173"]
)
def test_characters_that_cannot_be_seen_are_written_out(hidden: str) -> None:
    assert clean(f"a{hidden}b") == f"a<U+{ord(hidden):04X}>b"


@pytest.mark.parametrize("piece", ["\x1b]0;", "\x1bP", "\x9b", "\r", "\b", "\x1b[C", "\x1b\\", "a\b", "\u202e", "\n\r"])
def test_64_kib_of_anything_cost_little(piece: str) -> None:
    text = piece * (64 * 1024 // len(piece))
    began = time.process_time()
    clean(text)
    assert time.process_time() - began < 1  # some 20 ms; a quadratic search would take much longer
