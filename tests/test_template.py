import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.template import Hole, Template

BRACED = st.text("{}ab1 $.", max_size=20)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("",)),
        ("plain", ("plain",)),
        ("{source}", (Hole("source"),)),
        ("--in={a}:{b}!", ("--in=", Hole("a"), ":", Hole("b"), "!")),
        ("{{name}}", ("{name}",)),
        ("a{{name}}b{c}", ("a{name}b", Hole("c"))),
        ("{{{name}}}", ("{{name}}",)),
        ("{{name}", ("{", Hole("name"))),
        ("{a}}", (Hole("a"), "}")),
    ],
)
def test_text_is_split_at_its_holes(text: str, parts: tuple[str | Hole, ...]) -> None:
    assert Template.parse(text).parts == parts


@pytest.mark.parametrize("text", ["{}", "{print $1}", "{{.ID}}", '{"a": 1}', "{1}", "{a-b}", "{ a }", "${", "{é}"])
def test_every_other_brace_stays_as_it_is(text: str) -> None:
    assert Template.parse(text).parts == (text,)


def test_holes_are_named_in_order_with_repeats() -> None:
    assert Template.parse("{b}{a}{b}").holes == ("b", "a", "b")


@given(st.text(), st.text())
def test_a_value_is_never_scanned_again(a: str, b: str) -> None:
    assert Template.parse("<{a}|{b}>").fill({"a": a, "b": b}) == f"<{a}|{b}>"
    assert Template.parse("{a}").fill({"a": "{b}", "b": b}) == "{b}"


def test_an_absent_value_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Template.parse("{a}").fill({})


@given(BRACED)
def test_a_template_is_written_as_it_was_read(text: str) -> None:
    template = Template.parse(text)
    assert Template.parse(str(template)) == template


@given(BRACED)
def test_no_literal_part_is_empty_unless_the_text_is(text: str) -> None:
    assert "" not in Template.parse(text).parts or not text
