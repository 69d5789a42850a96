"""`cmdtool serve` as a client sees it: a real server process, the SDK's client over stdio, both protocol eras."""

import os
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest
from mcp.shared.exceptions import MCPError

from tests.serving import ERAS, Era, Seen, serving, text_of
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]

PATTERNS = r"""
tools:
  percentage:
    shell: for i in $(seq 0 10 100); do echo "$i%"; sleep 0.12; done
    progress: '(\d+)%'
  absolute:
    arguments: {n: {type: integer}}
    shell: for i in $(seq 1 "$n"); do echo "item $i of $n"; sleep 0.12; done
    progress: 'item (\d+) of (\d+)'
  indeterminate:
    shell: for i in 1 2 3 4 5 6; do echo "found $i"; sleep 0.12; done
    progress: 'found (?P<progress>\d+)'
  stages:
    arguments: {seen: {type: string}}
    shell: |
      for s in validate export transform import; do
        echo "-- $s"; until [ -e "$seen/$s" ]; do sleep 0.02; done
      done
    progress:
      rules: ['^-- (?P<stage>\w+)']
      stages: {validate: 25, export: 35, transform: 20, import: 20}
  failing:
    shell: echo 50%; sleep 0.2; echo 100%; echo broken >&2; sleep 0.2; exit 3
    progress: '(\d+)%'
  counted:
    shell: for i in 1 2 3 4; do echo "done $i"; sleep 0.3; done
    progress:
      rules: ['done (?P<progress>\d+)']
      total: {shell: 'echo counting; echo "4 files"'}
  dots:
    shell: for i in 1 2 3 4 5; do printf .; sleep 0.12; done
    progress: {rules: ['\.'], total: 5}
  silent:
    shell: sleep 1.3
    progress: {heartbeat: 300ms}
"""


async def call(folder: Path, era: Era, name: str, arguments: dict[str, object] | None = None) -> Seen:
    seen = Seen()
    async with serving(folder, PATTERNS, era) as client:
        result = await client.call_tool(name, arguments or {}, progress_callback=seen)
    assert not result.is_error
    seen.assert_increasing()
    return seen


async def test_percentages_run_to_100_of_100(tmp_path: Path, era: Era) -> None:
    seen = await call(tmp_path, era, "percentage")
    assert seen.totals == {100}
    assert set(seen.values) <= {*range(0, 101, 10), 99.9}
    assert len(seen.values) >= 5
    assert seen.values[-1] == 100


async def test_absolute_counts_are_i_of_n(tmp_path: Path, era: Era) -> None:
    seen = await call(tmp_path, era, "absolute", {"n": 8})
    assert seen.totals == {8}
    assert set(seen.values) <= {*range(1, 9), 7.992}
    assert len(seen.values) >= 4
    assert seen.updates[-1][:2] == (8, 8)


async def test_indeterminate_progress_has_no_total(tmp_path: Path, era: Era) -> None:
    seen = await call(tmp_path, era, "indeterminate")
    assert seen.totals == {None}
    assert set(seen.values) <= set(range(1, 7))
    assert seen.values[-1] == 6


class Acknowledging(Seen):
    """Makes a file for each message, which the command waits for: no stage can pass unseen."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        await super().__call__(progress, total, message)
        assert message is not None
        (self._folder / message).touch()


async def test_stages_step_through_their_weights_with_a_message_each(tmp_path: Path, era: Era) -> None:
    seen = Acknowledging(tmp_path)
    async with serving(tmp_path, PATTERNS, era) as client:
        await client.call_tool("stages", {"seen": str(tmp_path)}, progress_callback=seen)
    assert seen.updates == [
        (0, 100, "validate"),
        (25, 100, "export"),
        (60, 100, "transform"),
        (80, 100, "import"),
        (100, 100, "import"),
    ]


async def test_without_a_token_nothing_is_sent_and_nothing_breaks(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, PATTERNS, era) as client:
        result = await client.call_tool("absolute", {"n": 2})
    assert not result.is_error
    assert text_of(result) == "item 1 of 2\nitem 2 of 2"


async def test_a_failure_never_shows_completion(tmp_path: Path, era: Era) -> None:
    seen = Seen()
    async with serving(tmp_path, PATTERNS, era) as client:
        result = await client.call_tool("failing", {}, progress_callback=seen)
    seen.assert_increasing()
    assert seen.totals == {100}
    assert seen.values[-1] == 99.9
    assert result.is_error
    assert text_of(result) == "50%\n100%\n--- standard error ---\nbroken\n[exit status 3]"
    assert result.meta is not None
    assert result.meta["cmdtool/run"]["exit_status"] == 3


async def test_a_total_counted_by_a_command_makes_progress_determinate(tmp_path: Path, era: Era) -> None:
    seen = await call(tmp_path, era, "counted")
    assert seen.updates[-1][:2] == (seen.updates[-1][1],) * 2
    assert seen.updates[-1][1] in (4, 40)  # 40 where `done 1` went out before the total was there


async def test_dots_count_while_their_line_grows(tmp_path: Path, era: Era) -> None:
    seen = await call(tmp_path, era, "dots")
    assert len(seen.values) >= 3
    assert seen.updates[-1][:2] == (5, 5)


async def test_a_silent_command_shows_signs_of_life(tmp_path: Path, era: Era) -> None:
    seen = await call(tmp_path, era, "silent")
    assert len(seen.values) >= 2
    assert seen.totals == {None}
    assert all(message and "elapsed" in message for message in seen.messages)


TOOLS = r"""
server: {name: media, title: Media tools, instructions: Long jobs.}
concurrency: 20
tools:
  second:
    title: Wait
    description: Waits a second.
    command: sleep 1
    annotations: {read_only: true}
    icons: [{src: 'https://example.org/i.png', mime_type: image/png, sizes: [48x48]}]
  alone:
    shell: sleep 0.5
    concurrency: 1
    progress: {heartbeat: 200ms}
  background: {command: "sh -c 'sleep 300 & sleep 300'"}
  flood: {command: 'yes 50%', timeout: 3s, progress: '(\d+)%'}
  missing: {command: no-such-program-here}
  greet:
    arguments:
      name: {type: string, maxLength: 5}
      loud: {type: boolean}
    command: [echo, hello, {if: loud, then: LOUD}, --, '{name}']
  stubborn:
    command: [sh, -c, 'trap "" TERM; echo $$; while :; do sleep 0.1; done']
    grace: 300ms
    timeout: 500ms
  quiet: {command: sleep 300, idle_timeout: 300ms}
  suicide: {command: [sh, -c, 'kill -KILL $$']}
  big: {command: [sh, -c, 'seq 1 100000'], output: {limit: 1KiB}}
  two: {command: [sh, -c, 'exit 2'], success: [0, 2]}
  never: {command: 'true', success: [1]}
"""


async def test_tools_are_listed_in_manifest_order_with_what_the_manifest_says(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, TOOLS, era) as client:
        tools = (await client.list_tools()).tools
        assert client.instructions == "Long jobs."
    assert [tool.name for tool in tools][:3] == ["second", "alone", "background"]
    second, greet = tools[0], next(tool for tool in tools if tool.name == "greet")
    assert (second.title, second.description) == ("Wait", "Waits a second.")
    assert second.annotations is not None
    assert second.annotations.read_only_hint is True
    assert second.icons is not None
    assert second.icons[0].sizes == ["48x48"]
    assert second.input_schema == {"type": "object", "properties": {}, "additionalProperties": False}
    assert greet.input_schema == {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 5}, "loud": {"type": "boolean", "default": False}},
        "required": ["name"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "`name`"),
        ({"name": 3}, "`name`"),
        ({"name": "abcdef"}, "`name`"),
        ({"name": "a", "nam": "b"}, "did you mean `name`"),
        ({"name": "a\0b"}, "NUL"),
    ],
)
async def test_bad_arguments_are_tool_errors_that_say_what_to_change(
    tmp_path: Path, era: Era, arguments: dict[str, object], words: str
) -> None:
    async with serving(tmp_path, TOOLS, era) as client:
        result = await client.call_tool("greet", arguments)
    assert result.is_error
    assert words in text_of(result)


async def test_an_unknown_tool_is_a_protocol_error(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, TOOLS, era) as client:
        with pytest.raises(MCPError, match="unknown tool: nope") as caught:
            await client.call_tool("nope", {})
    assert caught.value.error.code == -32602


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("missing", "no-such-program-here"),
        ("stubborn", "timed out after 0.5s"),
        ("quiet", "`idle_timeout`"),
        ("suicide", "killed by SIGKILL"),
        ("never", "exit status 0"),
    ],
)
async def test_failures_are_tool_errors_that_say_which(tmp_path: Path, era: Era, tool: str, words: str) -> None:
    async with serving(tmp_path, TOOLS, era) as client:
        result = await client.call_tool(tool, {})
    assert result.is_error
    assert words in text_of(result)


async def test_a_status_that_the_manifest_calls_success_is_none_of_an_error(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, TOOLS, era) as client:
        assert not (await client.call_tool("two", {})).is_error


async def test_a_large_result_keeps_head_and_tail_and_says_what_is_left_out(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, TOOLS, era) as client:
        result = await client.call_tool("big", {})
    text = text_of(result)
    assert text.startswith("1\n2\n")
    assert text.endswith("\n100000")
    assert len(text) < 1200
    assert result.meta is not None
    assert f"{result.meta['cmdtool/run']['bytes_left_out']:,} bytes left out" in text


async def test_twenty_calls_run_side_by_side(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, TOOLS, era) as client:
        await client.list_tools()
        with anyio.fail_after(3):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(client.call_tool, "second", {})


async def test_waiting_calls_say_where_they_stand(tmp_path: Path, era: Era) -> None:
    handlers = [Seen() for _ in range(3)]
    async with serving(tmp_path, TOOLS, era) as client:
        async with anyio.create_task_group() as tasks:
            for seen in handlers:
                tasks.start_soon(partial(client.call_tool, "alone", {}, progress_callback=seen))
    told = [[message for message in seen.messages if message and "waiting" in message] for seen in handlers]
    first, second, third = sorted(told, key=len)
    assert first == []
    assert second[0] == "waiting for a free slot, next in line"
    assert third[0] == "waiting for a free slot, 1 call ahead in line"
    assert "waiting for a free slot, next in line" in third
    assert any(message.endswith("elapsed · waiting for a free slot, next in line") for message in third)


async def test_other_requests_are_answered_while_a_command_floods(tmp_path: Path, era: Era) -> None:
    seen = Seen()
    async with serving(tmp_path, TOOLS, era) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(client.call_tool, "flood", {}, progress_callback=seen))
            await until(lambda: bool(seen.updates))
            with anyio.fail_after(1.5):
                result = await client.call_tool("greet", {"name": "you"})
            tasks.cancel_scope.cancel()
    assert text_of(result) == "hello -- you"


def running(pattern: str) -> list[int]:
    processes = [process.info for process in psutil.process_iter(["pid", "cmdline", "status"])]
    return [
        info["pid"]
        for info in processes
        if info["status"] != psutil.STATUS_ZOMBIE and pattern in " ".join(info["cmdline"] or [])
    ]


async def test_a_cancelled_call_leaves_no_process_two_seconds_later(tmp_path: Path, era: Era) -> None:
    mark = f"300.{os.getpid()}{'0' if era == 'auto' else '1'}"
    manifest = f"tools: {{job: {{command: \"sh -c 'sleep {mark} & sleep {mark}'\"}}}}"
    async with serving(tmp_path, manifest, era) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "job", {})
            await until(lambda: len(running(mark)) == 3, 10)
            tasks.cancel_scope.cancel()
        await until(lambda: not running(mark), 2)
        assert (await client.list_tools()).tools


HIDDEN = r"""
server: {name: media, title: "Me\u202edia", instructions: "Be\U000e0041 \e[8mgood"}
tools:
  show:
    title: "Sh\u200bow"
    description: "Shows\e]0;title\a \u2066it"
    arguments: {text: {type: string, description: "Any\ufeff text"}}
    command: printf %s {text}
"""


async def test_no_text_that_reaches_a_client_hides_or_acts(tmp_path: Path, era: Era) -> None:
    async with serving(tmp_path, HIDDEN, era) as client:
        assert client.instructions == "Be<U+E0041> good"
        assert client.server_info is not None
        assert client.server_info.title == "Me<U+202E>dia"
        [tool] = (await client.list_tools()).tools
        assert (tool.title, tool.description) == ("Sh<U+200B>ow", "Shows <U+2066>it")
        assert tool.input_schema["properties"]["text"]["description"] == "Any<U+FEFF> text"
        seen = Seen()
        text = "1%\r\x1b[31m2%\x1b[0m a\u202eb\x9b1mc\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")
        result = await client.call_tool("show", {"text": text}, progress_callback=seen)
        assert text_of(result) == "2% a<U+202E>bc\U0001f600"
        with pytest.raises(MCPError, match=r"^unknown tool: a<U[+]202E>b$"):
            await client.call_tool("a\u202e\x1b[1mb", {})
    assert not {"\x1b", "\r", "\u202e"} & set("".join(map(str, seen.messages)))
