import pytest

from cmdtool.model import Tool
from cmdtool.outcome import EndedBy
from cmdtool.output import Excerpt
from cmdtool.process import Exit
from cmdtool.run import RunResult
from cmdtool.server.results import RUN_FACTS, call_result, list_tool
from tests.serving import text_of

DONE = Exit(0, None)


def result(
    stdout: bytes = b"",
    stderr: bytes = b"",
    *,
    outcome: str | None = None,
    ended_by: EndedBy = "exit",
    exit_: Exit | None = DONE,
) -> RunResult:
    return RunResult(
        outcome is None, outcome, ended_by, exit_, 1.23456, Excerpt(stdout, 0, b""), Excerpt(stderr, 0, b"")
    )


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (result(b"out\n"), "out"),
        (result(b"out\n", b"err\n"), "out\n--- standard error ---\nerr"),
        (result(b"", b"err\n"), "--- standard error ---\nerr"),
        (result(), "(no output)"),
        (result(b"out\n", outcome="exit status 3", exit_=Exit(3, None)), "out\n[exit status 3]"),
        (result(outcome="killed by SIGKILL", exit_=Exit(None, "SIGKILL")), "[killed by SIGKILL]"),
    ],
)
def test_the_text_is_output_then_errors_then_outcome(run: RunResult, text: str) -> None:
    assert text_of(call_result(run, "2025-11-25")) == text


@pytest.mark.parametrize(
    ("run", "facts"),
    [
        (result(), {"ended_by": "exit", "exit_status": 0}),
        (
            result(outcome="x", exit_=Exit(None, "SIGTERM"), ended_by="timeout"),
            {"ended_by": "timeout", "signal": "SIGTERM"},
        ),
        (result(outcome="x", exit_=None, ended_by="start"), {"ended_by": "start"}),
    ],
)
def test_the_facts_of_the_run_are_in_meta(run: RunResult, facts: dict[str, object]) -> None:
    meta = call_result(run, "2025-11-25").meta
    assert meta == {RUN_FACTS: {**facts, "duration": 1.235, "bytes_left_out": 0}}


def test_what_cannot_be_shown_is_cleaned_from_what_a_client_reads() -> None:
    tool = Tool.model_validate({"name": "t", "title": "\x1b[1mT", "description": "a\u202eb", "folder": "/"})
    listed = list_tool(tool, "2025-11-25")
    assert (listed.title, listed.description) == ("T", "a<U+202E>b")
