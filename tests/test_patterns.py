import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cmdtool.errors import BadValue
from cmdtool.patterns import compile_pattern

ATOMS = st.sampled_from(
    [
        *(
            "a",
            "b",
            "ab",
            "é",
            " ",
            ".",
            r"\.",
            r"\d",
            r"\x61",
            r"\141",
            r"\Qa.b\E",
            "[ab]",
            "[]a]",
            "[^[:digit:]]",
            r"\(",
        ),
        *(
            "(a|b)",
            "(?:ab)",
            "(?P<message>a)",
            "(?i:a)",
            "(?i)",
            "(?s)",
            "|",
            "^",
            "$",
            r"\b",
            r"\pL",
            "a{,2}",
            r"[\]a]",
        ),
        *(r"\A", r"\z", r"\B", "(?-s)", "(?m)", r"\Qa", r"\W", "{"),
    ]
)
REPEATS = st.sampled_from(["", "", "", "?", "*", "+", "*?", "+?", "{2}", "{0,1}", "{1,}", "{0}"])
PATTERNS = st.lists(st.tuples(ATOMS, REPEATS).map("".join), max_size=5).map("".join)
RECORDS = st.lists(st.sampled_from(["a", "b", "A", "é", ".", " ", "1", "(", "{", "a.b", ",2}"]), max_size=8).map(
    "".join
)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        (r"(\d+)%", {"percent": 1}),
        (r"(\d+) of (\d+)", {"progress": 1, "total": 2}),
        (r"(?P<stage>\w+): (\d+)/(\d+)", {"stage": 1, "progress": 2, "total": 3}),
        (r"(?:x)(?P<speed>\d+)(?<total>\d+)", {"speed": 1, "total": 2}),
        (r"\(?P<x>[(?P<y>](\d)", {"percent": 1}),
        (r"done", {}),
    ],
)
def test_groups_are_fields_by_name_or_by_place(text: str, groups: dict[str, int]) -> None:
    assert dict(compile_pattern(text).groups) == groups


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (r"(\d+%", "a `(` is never closed", r"a literal parenthesis is written `\(`"),
        (r"\d+)%", "a `)` closes nothing", r"a literal parenthesis is written `\)`"),
        ("[0-9%", "a `[` is never closed", r"a literal bracket is written `\[`"),
        (r"(?<=x)\d", "RE2 has no look-around", "use a rule with `skip: true`"),
        (r"(?!x)\d", "RE2 has no look-around", "use a rule with `skip: true`"),
        (r"(a)\1", "RE2 has no back-references", "write out"),
        ("(?P<a>x)(?P=a)", "RE2 has no back-references", "write out"),
        ("(?>a)", "RE2 does not know `(?>`", "`(?:...)`"),
        (r"\d+\Z", r"RE2 does not know `\Z`", "the end of a record is `$`"),
        ("*a", "nothing stands before a `*`, `+` or `?`", r"`\*`"),
        ("a++", "a repetition is repeated", r"`\+`"),
        ("a{2000}", "a repetition is out of bounds", "1000"),
        ("[z-a]", "a range in `[...]` runs backwards", r"`\-`"),
        ("a\\", "it ends in a single backslash", r"`\\`"),
        ("(?P<a", "a group's name is not closed or not a name", "`(?P<name>...)`"),
        ("((a{100}){100}){100}", "a repetition is out of bounds", "1000"),
        ("\ud800", "it is not valid Unicode", ""),
        (r"(\d)(\d)(\d)", "3 unnamed groups", "`(?:...)`"),
        (r"(\d+)(?P<total>\d+)", "an unnamed group beside `total`", "`(?:...)`"),
        (r"(?P<a>x)(?P<a>y)", "two groups are named `a`", "one rule for each"),
        (r"(?P<Percent>\d)", "`Percent` is not a field", "did you mean `percent`?"),
        (r"(?P<procent>\d)", "`procent` is not a field", "did you mean `percent`?"),
        (r"(?<totl>\d)", "`totl` is not a field", "did you mean `total`?"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_what_to_write(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadValue) as caught:
        compile_pattern(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert len(text) < 4 or f": {text}" not in caught.value.message


def test_free_names_may_resemble_words_near_a_field() -> None:
    pattern = compile_pattern("(?P<storage>a)(?P<state>b)(?P<usage>c)(?P<remain>d)(?P<rate>e)")
    assert pattern.names == {"storage", "state", "usage", "remain", "rate"}


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        (r"Duration: (?P<total>[\d:.]+),", b"Duration: "),
        (r"(\d+)%", b"%"),
        (r"ab?cd+ef", b"cd"),
        (r"\((\d+)/(\d+)\) done", b") done"),
        ("é?né", "né".encode()),
        ("(?i)done", b""),
        ("done|ready", b""),
        (r"\d+", b""),
    ],
)
def test_the_longest_certain_text_is_required(text: str, literal: bytes) -> None:
    assert compile_pattern(text).literal == literal


@given(PATTERNS, RECORDS)
def test_a_record_that_matches_holds_the_literal_and_is_not_missed_among_others(text: str, record: str) -> None:
    try:
        pattern = compile_pattern(text)
    except BadValue:
        assume(False)
    if pattern.regexp.search(record.encode()):
        assert pattern.literal in record.encode()
        for around in (b"%b", b"a\n%b\nb", b"1\n%b\n "):
            assert pattern.may_match_in(around % record.encode())


def test_bytes_that_are_no_text_are_searched_too() -> None:
    (match,) = compile_pattern(r"(\d+)%").matches(b"\xff\xfe 12%")
    assert match.group(1) == b"12"
