"""What the person is asked before a call starts: with real clients of both eras, and at a terminal."""

import os
import pty
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import MCPError
from mcp.client import ClientRequestContext
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    InputResponses,
)

from cmdtool.model import Argument
from cmdtool.schema import form_property
from tests.serving import ERAS, Era, Seen, serving, text_of
from tests.test_cli import CMDTOOL
from tests.waiting import until

pytestmark = pytest.mark.anyio

WIPE = """
tools:
  wipe:
    arguments:
      name: {type: string}
      others: {type: array, items: {type: string}, optional: true}
    command: [touch, '{name}', '{others}']
    confirm: 'Wipe {name} and {others}?'
"""

FORM = """
tools:
  make:
    ask: true
    title: Maker
    arguments:
      name: {type: string, minLength: 2, pattern: '^[a-z]+$', description: What it is called}
      count: {type: integer, minimum: 1, multipleOf: 2}
      kind: {enum: [fast, small]}
      extra: {type: array, items: {type: string}, optional: true}
    command: [echo, '{name}', '{count}', '{kind}', '{extra}']
"""


@dataclass
class Person:
    """Answers questions one after the other, and remembers them."""

    answers: list[ElicitResult | ErrorData]
    asked: list[ElicitRequestFormParams] = field(default_factory=list)

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params)
        return self.answers.pop(0)

    @property
    def messages(self) -> list[str]:
        return [params.message for params in self.asked]


def yes(**content: Any) -> ElicitResult:
    return ElicitResult(action="accept", content=content)


NO = ElicitResult(action="decline")
NOTHING = ElicitResult(action="cancel")


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_starts_after_the_person_said_yes(tmp_path: Path, era: Era) -> None:
    person = Person([yes()])
    async with serving(tmp_path, WIPE, era, person) as client:
        result = await client.call_tool("wipe", {"name": "a", "others": ["b", "c"]})
    assert not result.is_error, text_of(result)
    assert person.messages == ["Wipe a and b c?"]
    assert person.asked[0].requested_schema == {"type": "object", "properties": {}}
    assert (tmp_path / "a").exists()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("answer", "words"), [(NO, "the person said no"), (NOTHING, "the person did not answer")])
async def test_nothing_starts_after_no_or_no_answer(tmp_path: Path, era: Era, answer: ElicitResult, words: str) -> None:
    async with serving(tmp_path, WIPE, era, Person([answer])) as client:
        result = await client.call_tool("wipe", {"name": "a"})
    assert result.is_error
    assert text_of(result) == f"not confirmed: {words}; nothing was started"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("era", ERAS)
async def test_wrong_arguments_are_refused_before_anybody_is_asked(tmp_path: Path, era: Era) -> None:
    person = Person([])
    async with serving(tmp_path, WIPE, era, person) as client:
        result = await client.call_tool("wipe", {"name": 5})
    assert text_of(result) == "`name`: expected a string, found 5"
    assert person.asked == []


@pytest.mark.parametrize("era", ERAS)
async def test_values_cannot_hide_or_break_the_question(tmp_path: Path, era: Era) -> None:
    person = Person([NO])
    async with serving(tmp_path, WIPE, era, person) as client:
        await client.call_tool("wipe", {"name": "a\u202eb\x1b[8m\n\nApproved."})
    assert person.messages == ["Wipe a<U+202E>b Approved. and (not given)?"]


@pytest.mark.parametrize("nothing", ["", "\x1b[0m", " \t"])
async def test_a_value_that_shows_nothing_is_asked_about(tmp_path: Path, nothing: str) -> None:
    person = Person([NO])
    async with serving(
        tmp_path, "tools: {wipe: {command: [touch, 'a{name}'], confirm: '{name}'}}", "auto", person
    ) as client:
        assert (await client.call_tool("wipe", {"name": nothing})).is_error
    assert person.messages == ["(empty)"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith("a")]


@pytest.mark.parametrize("seen", [None, Seen()])
async def test_a_client_that_cannot_ask_is_told_the_capability_it_lacks(tmp_path: Path, seen: Seen | None) -> None:
    async with serving(tmp_path, WIPE) as client:
        with pytest.raises(MCPError, match="cannot ask; nothing was started") as caught:
            await client.call_tool("wipe", {"name": "a"}, progress_callback=seen)
    assert caught.value.error.code == MISSING_REQUIRED_CLIENT_CAPABILITY
    assert caught.value.error.data == {"requiredCapabilities": {"elicitation": {"form": {}}}}
    assert not (tmp_path / "a").exists()


async def test_an_older_client_that_cannot_ask_gets_a_refusal(tmp_path: Path) -> None:
    async with serving(tmp_path, WIPE, "legacy") as client:
        result = await client.call_tool("wipe", {"name": "a"})
    assert result.is_error
    assert "the client cannot ask; nothing was started" in text_of(result)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_may_allow_what_nobody_can_be_asked(tmp_path: Path, era: Era) -> None:
    manifest = WIPE.replace("confirm: 'Wipe {name} and {others}?'", "confirm: {message: 'Wipe?', otherwise: allow}")
    async with serving(tmp_path, manifest, era) as client:
        assert not (await client.call_tool("wipe", {"name": "a"})).is_error
    assert (tmp_path / "a").exists()
    person = Person([NO])
    async with serving(tmp_path, manifest, era, person) as client:
        assert (await client.call_tool("wipe", {"name": "b"})).is_error
    assert person.messages == ["Wipe?"]
    assert not (tmp_path / "b").exists()


async def test_a_client_that_fails_to_ask_starts_nothing(tmp_path: Path) -> None:
    person = Person([ErrorData(code=-1, message="no window")])
    async with serving(tmp_path, WIPE, "legacy", person) as client:
        result = await client.call_tool("wipe", {"name": "a"})
    assert text_of(result) == "not confirmed: the client could not ask the person; nothing was started"
    assert not (tmp_path / "a").exists()


# --- the rounds of 2026-07-28 ----------------------------------------------------------------------------------------


async def test_an_answer_counts_only_for_the_call_that_was_asked_about(tmp_path: Path) -> None:
    async with serving(tmp_path, WIPE, person=Person([])) as client:
        asked = await client.session.call_tool("wipe", {"name": "a"}, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        assert asked.request_state is not None
        assert asked.input_requests is not None
        assert list(asked.input_requests) == ["confirm"]
        answers: InputResponses = {"confirm": yes()}
        for name, state in (("b", asked.request_state), ("a", asked.request_state[:-4] + "AAAA"), ("a", "forged")):
            with pytest.raises(MCPError) as caught:
                await client.session.call_tool("wipe", {"name": name}, input_responses=answers, request_state=state)
            assert caught.value.error.code == INVALID_PARAMS
        assert sorted(os.listdir(tmp_path)) == ["tools.yaml"]
        done = await client.session.call_tool(
            "wipe", {"name": "a"}, input_responses=answers, request_state=asked.request_state
        )
    assert not done.is_error
    assert (tmp_path / "a").exists()


async def test_an_answer_to_what_was_never_asked_is_asked_about(tmp_path: Path) -> None:
    async with serving(tmp_path, WIPE, person=Person([])) as client:
        again = await client.session.call_tool(
            "wipe", {"name": "a"}, input_responses={"confirm": yes()}, allow_input_required=True
        )
    assert isinstance(again, InputRequiredResult)
    assert not (tmp_path / "a").exists()


async def test_an_answer_for_arguments_counts_unasked_as_the_arguments_would(tmp_path: Path) -> None:
    answers: InputResponses = {"name_count_kind": yes(name="ab", count=2, kind="small"), "other": yes(x=1)}
    async with serving(tmp_path, FORM, person=Person([])) as client:
        done = await client.session.call_tool("make", {}, input_responses=answers)
    assert text_of(done) == "ab 2 small"


async def test_the_question_is_sealed_by_one_server_only(tmp_path: Path) -> None:
    async with serving(tmp_path, WIPE, person=Person([])) as client:
        asked = await client.session.call_tool("wipe", {"name": "a"}, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    async with serving(tmp_path, WIPE, person=Person([])) as client:
        with pytest.raises(MCPError, match="Invalid or expired"):
            await client.session.call_tool(
                "wipe", {"name": "a"}, input_responses={"confirm": yes()}, request_state=asked.request_state
            )


# --- while the person thinks -----------------------------------------------------------------------------------------


async def test_who_waits_for_the_person_holds_no_slot_and_shows_life(tmp_path: Path) -> None:
    manifest = (
        "concurrency: 1\ndefaults: {timeout: 20s, progress: {parser: none, heartbeat: 0.2s}}\n"
        + WIPE
        + "  quick: {command: echo done}\n"
    )
    decided = anyio.Event()
    seen = Seen()

    async def think(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        await decided.wait()
        return yes()

    results = []
    async with serving(tmp_path, manifest, "legacy", think) as client:
        async with anyio.create_task_group() as tasks:

            async def wipe() -> None:
                results.append(await client.call_tool("wipe", {"name": "a"}, progress_callback=seen))

            tasks.start_soon(wipe)
            await until(lambda: len(seen.updates) >= 3)
            assert text_of(await client.call_tool("quick")) == "done"
            assert not (tmp_path / "a").exists()
            decided.set()
    assert not results[0].is_error
    assert all("waiting for the person" in (message or "") for message in seen.messages[:3])
    seen.assert_increasing()


async def test_a_call_that_is_given_up_while_the_person_thinks_starts_nothing(tmp_path: Path) -> None:
    asked, given_up = anyio.Event(), anyio.Event()

    async def think(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.set()
        await given_up.wait()
        return yes()

    manifest = WIPE + "  quick: {command: echo done}\n"
    async with serving(tmp_path, manifest, "legacy", think) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "wipe", {"name": "a"})
            await asked.wait()
            tasks.cancel_scope.cancel()
        given_up.set()
        assert text_of(await client.call_tool("quick")) == "done"
        assert not (tmp_path / "a").exists()


# --- missing arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_missing_arguments_are_asked_for(tmp_path: Path, era: Era) -> None:
    person = Person([yes(name="ab", count=4, kind="small")])
    async with serving(tmp_path, FORM, era, person) as client:
        listed = (await client.list_tools()).tools[0]
        result = await client.call_tool("make", {"extra": ["x"]})
    assert "required" not in listed.input_schema
    assert text_of(result) == "ab 4 small x"
    assert person.messages == ["Maker needs these: name, count, kind"]
    assert person.asked[0].requested_schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What it is called", "minLength": 2},
            "count": {"type": "integer", "minimum": 1},
            "kind": {"type": "string", "enum": ["fast", "small"]},
        },
        "required": ["name", "count", "kind"],
    }


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_is_checked_like_any_argument(tmp_path: Path, era: Era) -> None:
    person = Person([yes(count=3, other="x")])
    async with serving(tmp_path, FORM, era, person) as client:
        result = await client.call_tool("make", {"name": "ab", "kind": "fast"})
    assert result.is_error
    assert text_of(result).startswith("`count`: 3 is not a multiple of 2")
    assert person.messages == ["Maker needs this: count"]


@pytest.mark.parametrize("era", ERAS)
async def test_without_means_to_ask_missing_arguments_are_named(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, FORM, era) as client:
        result = await client.call_tool("make", {"name": "ab", "kind": "fast"})
    assert (result.is_error, text_of(result)) == (True, "`count`: required argument missing")


@pytest.mark.parametrize("era", ERAS)
async def test_nothing_is_asked_if_something_else_is_wrong_or_no_form_can_hold_it(tmp_path: Path, era: Era) -> None:
    person = Person([])
    manifest = FORM.replace("type: integer, minimum: 1, multipleOf: 2", "type: array, items: {type: string}")
    async with serving(tmp_path, manifest, era, person) as client:
        assert (await client.list_tools()).tools[0].input_schema["required"] == ["count"]
        assert "`count`: required argument missing" in text_of(await client.call_tool("make", {}))
        assert "unknown argument" in text_of(await client.call_tool("make", {"count": ["1"], "sort": 1}))
    assert person.asked == []


@pytest.mark.parametrize("era", ERAS)
async def test_missing_arguments_come_before_the_confirmation(tmp_path: Path, era: Era) -> None:
    person = Person([yes(name="ab", count=2), yes()])
    manifest = FORM + "    confirm: 'Make {count} of {name}, {kind}?'\n"
    async with serving(tmp_path, manifest, era, person) as client:
        result = await client.call_tool("make", {"kind": "fast"})
    assert text_of(result) == "ab 2 fast"
    assert person.messages == ["Maker needs these: name, count", "Make 2 of ab, fast?"]


CHOICES = """
tools:
  order:
    arguments:
      size: {type: string, oneOf: [{const: s, title: Small}, {const: l, title: Large}]}
      toppings: {type: array, items: {type: string, enum: [ham, olives]}, ask: true, optional: true}
      extras: {type: array, items: {anyOf: [{const: c, title: Chilli}]}, ask: true, optional: true}
      count: {type: integer, default: 1, maximum: 9, ask: true}
      note: {type: string, optional: true}
    ask: true
    command: [echo, '{size}', '{toppings}', '{extras}', '{count}', '{note}']
    confirm: 'Order {count}?'
"""


@pytest.mark.parametrize("era", ERAS)
async def test_choices_have_titles_lists_are_chosen_and_defaults_are_filled_in(tmp_path: Path, era: Era) -> None:
    person = Person([yes(size="l", toppings=["ham", "olives"]), yes()])
    async with serving(tmp_path, CHOICES, era, person) as client:
        result = await client.call_tool("order", {"note": "now"})
    assert text_of(result) == "l ham olives 1 now"
    assert person.messages == ["order needs these: size, toppings, extras, count", "Order 1?"]
    assert person.asked[0].requested_schema == {
        "type": "object",
        "properties": {
            "size": {"type": "string", "oneOf": [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]},
            "toppings": {"type": "array", "items": {"type": "string", "enum": ["ham", "olives"]}},
            "extras": {"type": "array", "items": {"anyOf": [{"const": "c", "title": "Chilli"}]}},
            "count": {"type": "integer", "maximum": 9, "default": 1},
        },
        "required": ["size"],
    }


@pytest.mark.parametrize("era", ERAS)
async def test_an_argument_with_a_default_is_asked_for_only_where_it_was_not_given(tmp_path: Path, era: Era) -> None:
    person = Person([yes(count=3), yes()])
    async with serving(tmp_path, CHOICES, era, person) as client:
        result = await client.call_tool("order", {"size": "s", "toppings": ["ham"], "extras": ["c"]})
    assert text_of(result) == "s ham c 3"
    assert person.messages == ["order needs this: count", "Order 3?"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_default_holds_where_nobody_can_be_asked(tmp_path: Path, era: Era) -> None:
    manifest = CHOICES.replace("    confirm: 'Order {count}?'\n", "")
    async with serving(tmp_path, manifest, era) as client:
        assert text_of(await client.call_tool("order", {"size": "s"})) == "s 1"


def test_what_no_form_knows_is_left_to_the_check_of_the_answer() -> None:
    def form(**schema: Any) -> dict[str, Any] | None:
        return form_property(Argument.model_validate(schema))

    assert form(type="string", oneOf=[{"minLength": 3}], anyOf=[{"pattern": "a"}]) == {"type": "string"}
    assert form(type="integer", enum=[1, 2]) is None
    assert form(type="array", items={"type": "string"}) is None
    assert form(type="array", items={"enum": ["a", 1]}) is None
    assert form(type="array", items={"enum": ["a"], "minLength": 1}, maxItems=1) == {
        "type": "array",
        "items": {"type": "string", "enum": ["a"]},
        "maxItems": 1,
    }


def test_an_older_form_has_neither_lists_nor_defaults_and_titles_in_a_list_of_their_own() -> None:
    def form(schema: dict[str, Any]) -> dict[str, Any] | None:
        return form_property(Argument.model_validate(schema), "2025-06-18")

    titled = {"type": "string", "oneOf": [{"const": "s", "title": "Small"}], "default": "s"}
    assert form(titled) == {"type": "string", "enum": ["s"], "enumNames": ["Small"]}
    assert form({"type": "boolean", "default": True}) == {"type": "boolean", "default": True}
    assert form({"type": "array", "items": {"type": "string", "enum": ["a"]}}) is None


# --- at a terminal ---------------------------------------------------------------------------------------------------


def run(folder: Path, *options: str, answer: str | signal.Signals | None = None) -> tuple[int, str]:
    """Run the tool; the question gets `answer` at a terminal, without one there is none. Return status and words."""
    words = ["wipe", "name=a", *options]
    if answer is not None:
        return run_at_a_terminal(folder, WIPE, words, {"[y/N] ": answer})
    (folder / "tools.yaml").write_text(WIPE)
    ran = subprocess.run(
        [*CMDTOOL, "run", *words], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30
    )
    return ran.returncode, ran.stderr


def run_at_a_terminal(
    folder: Path, manifest: str, words: Sequence[str], answers: Mapping[str, str | signal.Signals]
) -> tuple[int, str]:
    """Run a tool at a terminal, where each question that ends with a key of `answers` is answered once."""
    (folder / "tools.yaml").write_text(manifest)
    left = dict(answers)
    terminal, other = pty.openpty()
    command = [*CMDTOOL, "run", *words]
    with subprocess.Popen(
        command, cwd=folder, stdin=other, stdout=subprocess.PIPE, stderr=other, start_new_session=True
    ) as process:
        os.close(other)
        said = b""
        try:
            while block := _read(terminal):
                said += block
                for question in [question for question in left if said.endswith(question.encode())]:
                    answer = left.pop(question)
                    if isinstance(answer, str):
                        os.write(terminal, answer.encode())
                    else:
                        process.send_signal(answer)
            status = process.wait(30)
            assert process.stdout is not None
            said += process.stdout.read()
        finally:
            process.kill()
    os.close(terminal)
    return status, said.decode()


def _read(terminal: int) -> bytes:
    assert select.select([terminal], [], [], 30)[0], "the terminal is silent"
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux tells the end of a terminal
        return b""


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("Yes\n", 0), ("\n", 2), ("n\n", 2), ("\x04", 2)])
def test_the_terminal_asks(tmp_path: Path, answer: str, status: int) -> None:
    ended, said = run(tmp_path, answer=answer)
    assert ended == status, said
    assert "Wipe a and (not given)? [y/N] " in said
    assert (tmp_path / "a").exists() == (status == 0)
    assert ("not confirmed: nothing was started" in said) == (status == 2)


def test_interrupting_the_question_starts_nothing(tmp_path: Path) -> None:
    ended, _ = run(tmp_path, answer=signal.SIGINT)
    assert ended == 130
    assert not (tmp_path / "a").exists()


def test_without_a_terminal_only_an_option_says_yes(tmp_path: Path) -> None:
    status, said = run(tmp_path)
    assert status == 2
    assert said.endswith("Wipe a and (not given)?\nhint: `--yes` says yes\n")
    assert not (tmp_path / "a").exists()
    assert run(tmp_path, "--yes")[0] == 0
    assert (tmp_path / "a").exists()


def test_a_dry_run_asks_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "--dry-run") == (0, "")
    assert not (tmp_path / "a").exists()


def test_the_terminal_asks_for_missing_arguments_until_they_fit(tmp_path: Path) -> None:
    answers = {
        "name: string · What it is called > ": "@ab\n",
        '"@ab" does not match the pattern `^[a-z]+$`\r\nname: string · What it is called > ': "ab\n",
        "\r\ncount: integer > ": "two\n",
        "found `two`\r\ncount: integer > ": "3\n",
        "3 is not a multiple of 2\r\ncount: integer > ": "4\n",
        "\r\nkind: fast|small > ": "small\n",
    }
    assert run_at_a_terminal(tmp_path, FORM, ["make", "extra=x"], answers)[1].endswith("ab 4 small x\n")


def test_the_terminal_takes_the_items_of_a_list_and_leaves_out_what_may_be(tmp_path: Path) -> None:
    answers = {
        "size: string > ": "s\n",
        "toppings?: array · an empty line ends it > ": "ham\nolives\n\n",
        "extras?: array · an empty line ends it > ": "\n",
        "count?: integer = 1 > ": "\n",
        "Order 1? [y/N] ": "y\n",
    }
    assert run_at_a_terminal(tmp_path, CHOICES, ["order"], answers)[1].endswith("s ham olives 1\n")


SECRET = """
tools:
  login:
    ask: true
    arguments: {token: {type: string, secret: true}}
    env: {TOKEN: '{token}'}
    command: [sh, -c, 'echo ${#TOKEN}']
"""


def test_a_secret_is_asked_for_without_showing_it(tmp_path: Path) -> None:
    _, said = run_at_a_terminal(tmp_path, SECRET, ["login"], {"token: string (secret) > ": "@hunter22\n"})
    assert said.endswith("9\n")
    assert "hunter22" not in said


@pytest.mark.parametrize(
    ("words", "answers", "message"),
    [
        (["make"], {"called > ": "\x04"}, "not answered: nothing was started"),
        (["make", "--yes"], {}, "`name`: required argument missing"),
        (["make", "kind=slow"], {}, '`kind`: "slow" is none of'),
    ],
)
def test_what_is_not_asked_or_not_answered_is_an_error(
    tmp_path: Path, words: list[str], answers: dict[str, str], message: str
) -> None:
    status, said = run_at_a_terminal(tmp_path, FORM, words, answers)
    assert (status, message in said) == (2, True), said


def test_a_tool_that_does_not_say_so_asks_for_nothing(tmp_path: Path) -> None:
    status, said = run_at_a_terminal(tmp_path, WIPE, ["wipe"], {})
    assert (status, "`name`: required argument missing" in said) == (2, True), said


def test_without_a_terminal_missing_arguments_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(FORM)
    ran = subprocess.run([*CMDTOOL, "run", "make"], cwd=tmp_path, capture_output=True, text=True, input="ab\n")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "`name`: required argument missing" in ran.stderr
