import math
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cmdtool.errors import ArgumentError, BadValue
from cmdtool.model import JSONValue, Tool
from cmdtool.schema import check_arguments, compile_regexp, find_misfit, input_schema

TEXT = st.text("ab-{}\n\0\u20ac\ud800", max_size=5)
SCALAR = st.none() | st.booleans() | st.integers(-2, 12) | st.floats() | TEXT
JSON = SCALAR | st.lists(SCALAR, max_size=4) | st.dictionaries(TEXT, SCALAR, max_size=2)


def make_tool(arguments: Mapping[str, object]) -> Tool:
    given = {"name": "tool", "folder": "/srv", "command": ["tool"]}
    return Tool.model_validate({**given, "arguments": arguments})


BACKUP = make_tool(
    {
        "source": {"type": "string", "format": "path", "within": ["~/media"], "must_exist": True, "description": "d"},
        "level": {"type": "integer", "minimum": 0, "maximum": 9, "default": 6},
        "exclude": {"type": "array", "items": {"type": "string"}, "optional": True, "maxItems": 3},
        "dry_run": {"type": "boolean", "default": False},
        "mode": {"enum": ["fast", "good"], "optional": True, "allow_dash": True},
        "tag": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "optional": True},
    }
)


def problems(tool: Tool, arguments: Mapping[str, JSONValue]) -> list[str]:
    with pytest.raises(ArgumentError) as caught:
        check_arguments(tool, arguments)
    return str(caught.value).split("\n")


def test_the_input_schema_has_the_arguments_in_order_without_our_own_keys() -> None:
    schema = input_schema(BACKUP)
    assert schema == {
        "type": "object",
        "properties": {
            "source": {"type": "string", "format": "path", "description": "d"},
            "level": {"type": "integer", "minimum": 0, "maximum": 9, "default": 6},
            "exclude": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "dry_run": {"type": "boolean", "default": False},
            "mode": {"enum": ["fast", "good"]},
            "tag": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2},
        },
        "required": ["source"],
        "additionalProperties": False,
    }
    assert list(schema["properties"]) == list(BACKUP.arguments)
    Draft202012Validator.check_schema(schema)


def test_a_tool_without_arguments_takes_none() -> None:
    assert input_schema(make_tool({})) == {"type": "object", "properties": {}, "additionalProperties": False}
    assert check_arguments(make_tool({}), {}) == {}
    assert problems(make_tool({}), {"x": 1}) == ["`x`: unknown argument"]


def test_defaults_are_filled_in_and_null_is_not_given() -> None:
    found = check_arguments(BACKUP, {"mode": None, "level": None, "source": "a"})
    assert found == {"source": "a", "level": 6, "dry_run": False}
    assert check_arguments(BACKUP, {"level": 0, "source": "a"})["level"] == 0


def test_a_null_default_is_no_value() -> None:
    assert check_arguments(make_tool({"x": {"default": None}}), {}) == {}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "`source`: required argument missing"),
        ({"source": None}, "`source`: required argument missing"),
        ({"level": 12}, "`level`: 12 is greater than the maximum of 9"),
        ({"level": "high"}, '`level`: expected an integer, found "high"'),
        ({"level": 1.5}, "`level`: expected an integer, found 1.5"),
        ({"level": True}, "`level`: expected an integer, found true"),
        ({"dry_run": "yes"}, '`dry_run`: expected true or false, found "yes"'),
        ({"exclude": ["a", 3]}, "`exclude[1]`: expected a string, found 3"),
        ({"exclude": list("abcd")}, '`exclude`: ["a", "b", "c", "d"] is too long: at most 3 items'),
        ({"mode": "best"}, '`mode`: "best" is none of "fast", "good"'),
        ({"tag": "A1"}, '`tag`: "A1" does not match the pattern `^[a-z]+$`'),
        ({"tag": "a"}, '`tag`: "a" is too short: at least 2 characters'),
        ({"level": math.nan}, "`level`: not a JSON value, or a number that is infinite or far too long"),
        ({"level": 10**5000}, "`level`: not a JSON value, or a number that is infinite or far too long"),
    ],
)
def test_a_problem_names_the_argument_and_what_to_change(arguments: dict[str, JSONValue], line: str) -> None:
    assert problems(BACKUP, {"source": "a", **arguments} if arguments else {}) == [line]


def test_an_unknown_argument_names_the_nearest_one() -> None:
    assert problems(BACKUP, {"sorce": "a"}) == [
        "`sorce`: unknown argument; did you mean `source`?",
        "`source`: required argument missing",
    ]


def test_all_problems_are_shown_at_once() -> None:
    found = problems(BACKUP, {"zzz": 1, "level": -1, "tag": "", "exclude": "x"})
    assert [line.split(":")[0] for line in found] == ["`zzz`", "`source`", "`level`", "`exclude`", "`tag`", "`tag`"]


def test_not_more_problems_than_anyone_reads() -> None:
    found = problems(BACKUP, {f"unknown{number}": 1 for number in range(1000)})
    assert (len(found), found[-1]) == (21, "more problems are not shown")


@pytest.mark.parametrize(
    ("schema", "value", "line"),
    [
        (
            {"anyOf": [{"minLength": 1}, {"type": "null"}]},
            "",
            '"" does not fit anyOf [{"minLength": 1}, {"type": "null"}]',
        ),
        ({"const": "a"}, "b", '"b" is not "a"'),
        ({"type": ["integer", "string"]}, [], "expected an integer or a string, found []"),
        ({"multipleOf": 5}, 3, "3 is not a multiple of 5"),
        ({"uniqueItems": True}, ["a", "a"], '["a", "a"] has non-unique elements'),
        ({"required": ["k"]}, {}, "'k' is a required property"),
    ],
)
def test_other_keywords_are_explained_too(schema: dict[str, JSONValue], value: JSONValue, line: str) -> None:
    assert problems(make_tool({"x": {"items": schema}}), {"x": [value]}) == [f"`x[0]`: {line}"]


def test_a_nested_value_is_named_by_its_path() -> None:
    tool = make_tool({"o": {"type": "object", "properties": {"k": {"items": {"type": "null"}}}}})
    assert problems(tool, {"o": {"k": [None, 1]}}) == ["`o.k[1]`: expected null, found 1"]


@pytest.mark.parametrize("value", ["x" * 10**6, ["y" * 10**6], {"k": list(range(10**5))}])
def test_huge_values_are_never_echoed(value: JSONValue) -> None:
    [line] = problems(BACKUP, {"source": "a", "level": value})
    assert len(line) < 150
    [line] = problems(BACKUP, {"source": "a", "n" * 10**6: 1})
    assert len(line) < 150


def test_control_characters_are_not_echoed() -> None:
    [line] = problems(BACKUP, {"source": "a", "level": "\x1b[31m\u202e\n", "dry_run": False})
    assert line.isprintable()


def test_a_pattern_matches_at_the_very_end_only() -> None:
    """`re` would let the line break pass."""
    assert problems(BACKUP, {"source": "a", "tag": "abc\n"}) == [
        '`tag`: "abc\\n" does not match the pattern `^[a-z]+$`'
    ]


def test_a_pattern_that_backtracks_does_not_stall() -> None:
    tool = make_tool({"x": {"type": "string", "pattern": "^(a+)+$"}})
    started = time.perf_counter()
    problems(tool, {"x": "a" * 10_000 + "!"})
    assert time.perf_counter() - started < 1


UNIQUE = make_tool({"x": {"type": "array", "uniqueItems": True}})


def test_unique_items_do_not_stall() -> None:
    items = [{"k": number} for number in range(30_000)]
    started = time.perf_counter()
    assert check_arguments(UNIQUE, {"x": items}) == {"x": items}
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("items", [[1, 1.0], [0.0, -0.0], [[{"a": 1, "b": 2}], [{"b": 2.0, "a": 1}]], [None, None]])
def test_equal_items_are_not_unique(items: list[JSONValue]) -> None:
    [line] = problems(UNIQUE, {"x": items})
    assert line.endswith(" has non-unique elements")


def test_what_only_looks_equal_is_unique() -> None:
    items = [1, True, "1", "true", [1], [True], {"a": 1}, {"a": True}, 1.5, 0, False, None, "", [], {}]
    assert check_arguments(UNIQUE, {"x": items}) == {"x": items}


def test_a_number_that_no_float_holds_is_refused_where_one_is_needed() -> None:
    tool = make_tool({"x": {"type": "integer", "multipleOf": 0.5}})
    assert problems(tool, {"x": 10**400}) == ["a number in the arguments is far too long"]


def test_lone_surrogates_do_not_break_the_check() -> None:
    assert problems(BACKUP, {"source": "a", "tag": "\ud800\ud800"})[0].startswith("`tag`: ")


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: JSONValue = []
    for _ in range(200_000):
        deep = [deep]
    assert problems(make_tool({"x": {}}), {"x": deep}) == ["`x`: nested too deeply"]


@pytest.mark.parametrize("depth", [100, 400, 800, 5_000])
def test_what_the_check_itself_finds_too_deep_is_refused(depth: int) -> None:
    deep: JSONValue = []
    for _ in range(depth):
        deep = [deep]
    message = ""
    try:
        check_arguments(UNIQUE, {"x": deep})
    except ArgumentError as exc:
        message = str(exc)
    assert message.endswith("nested too deeply") or (not message and depth < 5_000)


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"type": "integer"}, 1, None),
        ({"type": "integer"}, "1", 'expected an integer, found "1"'),
        ({"pattern": r"\A\p{L}+\z"}, "é", None),
        ({"pattern": "^a$"}, "b", '"b" does not match the pattern `^a$`'),
    ],
)
def test_a_misfit_is_put_into_words(schema: dict[str, JSONValue], value: JSONValue, reason: str | None) -> None:
    assert find_misfit(schema, value) == reason


@pytest.mark.parametrize("pattern", ["(", "^(?!-)", r"(a)\1"])
def test_a_pattern_that_re2_cannot_compile_is_refused(pattern: str) -> None:
    with pytest.raises(BadValue):
        compile_regexp(pattern)


def test_formats_are_annotations() -> None:
    assert check_arguments(make_tool({"x": {"format": "email"}}), {"x": "none"}) == {"x": "none"}


@given(st.dictionaries(st.sampled_from([*BACKUP.arguments, "other"]), JSON, max_size=4))
def test_whatever_is_sent_is_accepted_or_refused(arguments: dict[str, JSONValue]) -> None:
    validator = Draft202012Validator(input_schema(BACKUP))
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        checked = check_arguments(BACKUP, arguments)
    except ArgumentError:
        assert not validator.is_valid(given) or "tag" in given
    else:
        assert validator.is_valid(given)
        assert given.items() <= checked.items()


def test_the_words_of_a_schema_are_cleaned_and_its_values_are_not() -> None:
    hidden = "\u202eb\x1b[31m"
    schema = {
        "description": hidden,
        "title": "fine",
        "enum": [hidden],
        "items": {"description": hidden},
        "anyOf": [{"$comment": hidden}, True],
        "properties": {"description": {"description": hidden, "const": {"description": hidden}}},
    }
    tool = Tool.model_validate({"name": "t", "command": ["ls"], "folder": "/", "arguments": {"x": schema}})
    assert input_schema(tool)["properties"]["x"] == {
        "description": "<U+202E>b",
        "title": "fine",
        "enum": [hidden],
        "items": {"description": "<U+202E>b"},
        "anyOf": [{"$comment": "<U+202E>b"}, True],
        "properties": {"description": {"description": "<U+202E>b", "const": {"description": hidden}}},
    }
