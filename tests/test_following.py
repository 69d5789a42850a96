"""Runs that are followed while they go on: a real server process, the SDK's client, both protocol eras."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import anyio
import anyio.abc
import pytest
from mcp import Client
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_types import SubscribeRequestParams

from cmdtool.server import following as module
from cmdtool.server.following import Followers
from cmdtool.server.resources import Runs
from cmdtool.spool import Spool
from tests.http_serving import http_server
from tests.serving import ERAS, Era, serving
from tests.test_resources import read
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")]

Transport: TypeAlias = Literal["stdio", "http"]

MANIFEST = r"""
tools:
  steps:
    arguments: {folder: {type: string}}
    shell: for i in 1 2 3; do echo "step $i"; until [ -e "$folder/$i" ]; do sleep 0.02; done; done
"""


async def first_listed(client: Client) -> str:
    """Wait until a run has printed something, and return its URI."""
    with anyio.fail_after(20):
        while not (listed := (await client.list_resources()).resources):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.02)
    return listed[0].uri


@asynccontextmanager
async def following(
    folder: Path, era: Era, seen: list[str], over: Transport = "stdio"
) -> AsyncIterator[tuple[Client, Callable[[str], Awaitable[None]]]]:
    """Yield a client and what subscribes it: the URIs it is told of are added to `seen`."""

    async def note(message: object) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            seen.append(message.params.uri)  # type: ignore[attr-defined]

    async with AsyncExitStack() as stack:
        if over == "http":
            server = stack.enter_context(http_server(folder, MANIFEST))
            client = await stack.enter_async_context(server.client(era, note=note))
        else:
            client = await stack.enter_async_context(serving(folder, MANIFEST, era, note=note))
        async with anyio.create_task_group() as tasks:

            async def listen(uri: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
                async with client.listen(resources_list_changed=True, resource_subscriptions=[uri]) as events:
                    task_status.started()
                    async for event in events:
                        if isinstance(event, ResourceUpdated):
                            seen.append(event.uri)
                        else:
                            assert event == ResourcesListChanged()

            async def subscribe(uri: str) -> None:
                if era == "auto":
                    await tasks.start(listen, uri)
                else:
                    await client.session.subscribe_resource(uri)

            yield client, subscribe
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("over", ["stdio", "http"])
@pytest.mark.parametrize("era", ERAS)
async def test_a_run_is_followed_while_it_goes_on(tmp_path: Path, era: Era, over: Transport) -> None:
    seen: list[str] = []
    async with following(tmp_path, era, seen, over) as (client, subscribe), anyio.create_task_group() as tasks:
        tasks.start_soon(partial(client.call_tool, "steps", {"folder": str(tmp_path)}))
        uri = await first_listed(client)
        assert await read(client, uri) == (
            "step 1\n",
            {"from": 0, "to": 7, "size": 7, "running": True, "next": 7},
            f"[bytes 0 to 7 of 7 so far; go on with {uri}?from=7]",
        )
        await subscribe(uri)
        (tmp_path / "1").touch()
        with anyio.fail_after(20):
            while (await read(client, f"{uri}?from=7"))[0] != "step 2\n":
                await until(lambda: uri in seen)  # told within a second of it
                seen.clear()
        seen.clear()
        (tmp_path / "2").touch()
        (tmp_path / "3").touch()
        await until(lambda: uri in seen)
        with anyio.fail_after(20):
            while (part := await read(client, f"{uri}?from=14"))[1]["running"]:
                await until(lambda: uri in seen)
                seen.clear()
        assert part[0] == "step 3\n"
        assert set(seen) <= {uri}


@pytest.mark.parametrize("era", ERAS)
async def test_nobody_is_told_of_runs_that_are_not_theirs_to_read(tmp_path: Path, era: Era) -> None:
    unknown = f"cmdtool://runs/{'0' * 32}/stdout"
    async with serving(tmp_path, MANIFEST, era) as client:
        if era == "auto":
            async with client.listen(resource_subscriptions=[unknown]) as events:
                assert not events.honored.resource_subscriptions
        else:
            with pytest.raises(MCPError, match="not found"):
                await client.session.subscribe_resource(unknown)


async def test_who_no_longer_wants_to_know_is_not_told(tmp_path: Path) -> None:
    """Of older revisions: a client that listens closes its stream."""
    seen: list[str] = []
    async with following(tmp_path, "legacy", seen) as (client, subscribe), anyio.create_task_group() as tasks:
        tasks.start_soon(partial(client.call_tool, "steps", {"folder": str(tmp_path)}))
        uri = await first_listed(client)
        await subscribe(uri)
        await client.session.unsubscribe_resource(uri)
        for step in "123":
            (tmp_path / step).touch()
    assert seen == []


class Deaf:
    """The session of a client that does not read."""

    client_params = None

    async def send_resource_updated(self, uri: str) -> None:
        await anyio.sleep_forever()


async def test_a_subscriber_that_does_not_read_holds_up_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 10)
    spool = Spool(tmp_path, "a")
    followers = Followers(spool, Runs(spool), InMemorySubscriptionBus())
    ctx: Any = SimpleNamespace(session=Deaf(), request=None)
    async with followers.working():
        with anyio.move_on_after(5) as call:
            async with followers.following("tool", None) as keep:
                with keep("0" * 32) as output:
                    output.feed("stdout", b"x")
                    uri = f"cmdtool://runs/{output.record.id}/stdout"
                    await followers.subscribe(ctx, SubscribeRequestParams(uri=uri))
        assert not call.cancel_called  # what it tells of its end cannot be cancelled
