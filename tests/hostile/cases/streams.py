"""Programs that treat their standard input, output and terminal in an unusual way."""

from mcp_types import CallToolResult

from tests.hostile import proc
from tests.hostile.acts import call_with, cancel
from tests.hostile.case import Case
from tests.hostile.cases.ending import LIMIT, made
from tests.hostile.stage import Stage


def idle(stage: Stage, result: CallToolResult | None) -> None:
    """An end of file that is no exit must not keep the server busy."""
    assert proc.cpu(stage.server.pid) < 4, "a busy loop"


STREAMS = [
    Case("child that holds the output after the exit", "late_writer.sh", dead_in=1.5, says=("^early",)),
    Case(
        "output closed long before the exit",
        "closes_output.sh",
        status=3,
        fails=True,
        says=("^before\n",),
        check=made("went_on"),
    ),
    Case("output closed, no exit", "closes_output_for_good.sh", act=cancel, ended_by=None, dead_in=LIMIT, check=idle),
    Case("reads standard input", "reads_input.sh", says=("nothing to read",)),
    Case("asks for a password", "asks.sh", status=5, fails=True, says=("/dev/tty",)),
    Case(
        "asks for a password on a terminal",
        "asks.sh",
        keys={"pty": True, "idle_timeout": "1s"},
        ended_by="idle_timeout",
        status=None,
        fails=True,
        says=("Password:",),
        hides=("got",),
    ),
    Case("torments its terminal", "terminal.py", keys={"pty": True}, says=("the end$",), hides=("ttttt",)),
    Case(
        "tells what it has inherited",
        "descriptors.py",
        says=("open 0 1 2\n", "ignored 0 blocked 0\n", "\nleader\n"),
        hides=("SECRET_OF_THE_SERVER", "LD_"),
        env={"SECRET_OF_THE_SERVER": "x"},
    ),
    Case("pipe made tiny, huge, non-blocking", "pipe_tricks.py", says=("/proc/self/fd/1\n", "the end")),
    Case("writes of one byte on both streams", "single_bytes.c", says=("bytes left out",)),
    Case(
        "argument larger than the kernel takes",
        "reads_input.sh",
        keys={"command": ["echo", "--", "{text}"], "arguments": {"text": {"type": "string"}}},
        act=call_with(text="x" * 200_000),
        ended_by="arguments",
        status=None,
        fails=True,
    ),
    Case(
        "standard input that is not read",
        "waits.sh",
        keys={"stdin": "{text}", "arguments": {"text": {"type": "string"}}, "timeout": "1s"},
        act=call_with(text="x" * 3_000_000),
        ended_by="timeout",
        status=None,
        fails=True,
    ),
]
