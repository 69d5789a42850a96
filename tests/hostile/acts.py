"""What is done to a call. An act returns the call's result; None where there can be none."""

import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from tests.hostile.stage import Stage
from tests.waiting import until


async def call(stage: Stage) -> CallToolResult | None:
    """Wait for the result."""
    return await stage.call()


def call_with(**arguments: Any) -> Callable[[Stage], Awaitable[CallToolResult | None]]:
    """Call with arguments and wait for the result."""

    async def act(stage: Stage) -> CallToolResult | None:
        return await stage.call(arguments)

    return act


async def call_1000_times(stage: Stage) -> CallToolResult | None:
    """Call 1,000 times, eight at once."""
    results: list[CallToolResult] = []

    async def call_in_turn() -> None:
        results.extend([await stage.call() for _ in range(125)])

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(call_in_turn)
    assert not any(result.is_error for result in results)
    return results[-1]


async def cancel(stage: Stage) -> None:
    """Cancel when the program is ready."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.call)
        await stage.ready()
        tasks.cancel_scope.cancel()


async def cancel_twice(stage: Stage) -> None:
    """Cancel, and tell the server twice more."""
    await cancel(stage)
    notice = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": stage.wire.sent["tools/call"]["id"]},
    }
    for _ in range(2):
        await stage.wire.send(json.dumps(notice).encode())


async def cancel_at_once(stage: Stage) -> None:
    """Cancel at once, and after ever longer times: around the moment at which the program starts or exits."""
    for number in range(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.call)
            await anyio.sleep(number * 0.0005)
            tasks.cancel_scope.cancel()
    stage.ended_at = time.monotonic()


async def cancel_in_line(stage: Stage) -> None:
    """Cancel a call that waits while another runs, then that one."""
    async with anyio.create_task_group() as running:
        running.start_soon(stage.call)
        await stage.ready()
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(stage.call)
            await until(lambda: any(text and "next in line" in text for text in stage.seen.messages))
            waiting.cancel_scope.cancel()
        running.cancel_scope.cancel()


async def hang_up(stage: Stage) -> None:
    """Close the server's standard input when the program is ready."""
    await _end_server(stage, stage.wire.hang_up)


def send_server(number: signal.Signals) -> Callable[[Stage], Awaitable[None]]:
    """Send the server a signal when the program is ready."""

    async def act(stage: Stage) -> None:
        async def send() -> None:
            stage.server.send_signal(number)

        await _end_server(stage, send)

    return act


async def _end_server(stage: Stage, end: Callable[[], Awaitable[None]]) -> None:
    """Call, and when the program is ready do what ends the server; what is begun then must be over in time."""

    async def lost() -> None:
        with suppress(MCPError):
            await stage.call()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lost)
        await stage.ready()
        await end()
        begun = time.monotonic()
        await stage.server.wait()
        tasks.cancel_scope.cancel()
    stage.ended_at = begun


async def stop_reading(stage: Stage) -> CallToolResult | None:
    """Read nothing until the program has done its work, then go on."""
    results = []

    async def keep() -> None:
        results.append(await stage.call())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep)
        await stage.ready()
        await _stop_reading(stage)
        await until(lambda: stage.made("done"), 60)
        stage.wire.go_on_reading()
    return results[0]


async def _stop_reading(stage: Stage) -> None:
    """Read nothing more, and ask for more than the pipe and the buffers before it can hold."""
    stage.wire.stop_reading()
    for number in range(1000):
        await stage.wire.send(json.dumps(stage.wire.sent["tools/list"] | {"id": f"unread-{number}"}).encode())


async def end_unread(stage: Stage) -> None:
    """Read nothing, and send the server SIGTERM."""

    async def send() -> None:
        await _stop_reading(stage)
        stage.server.terminate()

    await _end_server(stage, send)


async def call_near_a_listener(stage: Stage) -> CallToolResult | None:
    """Listen on a port of this machine, write it into the file `port`, and call."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        (stage.folder / "port").write_text(str(listener.extra(anyio.abc.SocketAttribute.local_port)))
        return await stage.call()


GARBAGE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe\x00",
    b"{}" * 1000,
    b"[" * 100_000,
    b'{"jsonrpc":"2.0","id":null,"method":"tools/call"}',
    b'{"jsonrpc":"1.0","id":"g1","method":"ping"}',
    b'{"jsonrpc":"2.0","id":"g2","method":"tools/call","params":{"name":7}}',
    b'{"jsonrpc":"2.0","id":"g3","method":"tools/call","params":{"name":"hostile","arguments":[1]}}',
    b'{"jsonrpc":"2.0","id":"g4","method":"no/such/method","params":{}}',
    b'{"jsonrpc":"2.0","id":"g5","method":"tools/call","params":{"name":"\\ud800","arguments":{"\\ud800":"\\udfff"}}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"never"}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}',
    b'{"jsonrpc":"2.0","id":"g6","result":{}}',
    b'{"jsonrpc":"2.0","id":"g7","method":"tools/list","params":{"cursor":' + b"9" * 1_000_000 + b"}}",
]


async def call_after_garbage(stage: Stage) -> CallToolResult | None:
    """Send what no client should, then call."""
    for line in GARBAGE:
        await stage.wire.send(line)
    return await stage.call()
