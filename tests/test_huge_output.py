"""Gigabytes of output, a line of one gigabyte, standard error first: the server stays small, head and tail are kept."""

from pathlib import Path

import anyio
import psutil
import pytest

from tests.serving import serving, text_of
from tests.test_resources import read, uri_of

pytestmark = pytest.mark.anyio

HUGE = r"""
tools:
  bytes: {command: [head, -c, '2147483648', /dev/zero]}
  line: {shell: 'echo first; head -c 1073741824 /dev/zero | tr "\0" x; echo; echo last'}
  errors_first: {shell: 'echo first >&2; head -c 209715200 /dev/zero >&2; echo >&2; echo last >&2; echo out'}
"""


class Growth:
    """Watches how much memory the server takes; tells of the most it grew since it answered its first request."""

    def __init__(self) -> None:
        (self._server,) = [
            child for child in psutil.Process().children() if "cmdtool" in child.cmdline() and child.is_running()
        ]
        self._before = self._peak = self._server.memory_info().rss

    async def watch(self) -> None:
        while True:
            self._peak = max(self._peak, self._server.memory_info().rss)
            await anyio.sleep(0.05)

    @property
    def bytes(self) -> int:
        return self._peak - self._before


@pytest.mark.parametrize(
    ("tool", "stream", "head", "tail", "size"),
    [
        ("bytes", "stdout", "", "", 2 << 30),
        ("line", "stdout", "first\nx", "x\nlast\n", (1 << 30) + 12),
        ("errors_first", "stderr", "first\n", "last\n", (200 << 20) + 12),
    ],
)
async def test_however_much_is_printed_the_server_stays_small(
    tmp_path: Path, tool: str, stream: str, head: str, tail: str, size: int
) -> None:
    async with serving(tmp_path, HUGE) as client:
        await client.list_tools()
        growth = Growth()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(growth.watch)
            result = await client.call_tool(tool, {})
            uri = f"{uri_of(result)}/{stream}"
            text, place, _ = await read(client, f"{uri}?to=1000")
            assert text.startswith(head)
            text, place, _ = await read(client, f"{uri}?from=-1000")
            assert text.endswith(tail)
            text, _, _ = await read(client, f"{uri}?search=last")
            assert text == (f"{place['size'] - 5}: last" if tail else "")
            _, gap, note = await read(client, f"{uri}?from={(32 << 20) - 10}")
            tasks.cancel_scope.cancel()
    assert place["size"] == size
    assert gap["next"] == size - (32 << 20)
    assert f"the next {size - (64 << 20):,} were not kept" in note
    assert not result.is_error
    assert len(text_of(result)) < 70_000
    assert growth.bytes < 50e6
