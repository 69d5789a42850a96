"""`cmdtool serve --http` as a process, called by the SDK's client or by requests that no client would send."""

import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.session import MessageHandlerFnT
from mcp.client.streamable_http import streamable_http_client

from tests.serving import Era

PROGRAM = ("-m", "cmdtool")
MODERN = "2026-07-28"
ACCEPT = {"Accept": "application/json, text/event-stream"}


class HttpServer:
    """A server on a free port of this machine; `log` is what it has said so far."""

    def __init__(
        self, folder: Path, manifest: str, *options: str, address: str = "0", program: Sequence[str] = PROGRAM
    ) -> None:
        (folder / "tools.yaml").write_text(manifest)
        self.process = subprocess.Popen(
            [sys.executable, *program, "serve", "--http", address, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""
        self._said = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._said.wait(30), self.log
        found = re.search(r"https?://\S+/mcp", self.log)
        assert found, self.log
        self.url = found[0]
        self.root = self.url.removesuffix("/mcp")

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.log += line
                if "/mcp" in line:
                    self._said.set()
        self._said.set()

    def end(self) -> None:
        """End it with what it runs: the second signal kills, but two at once are one."""
        while self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)
        self._reader.join(20)

    @asynccontextmanager
    async def client(
        self, era: Era = "auto", token: str | None = None, note: MessageHandlerFnT | None = None
    ) -> AsyncIterator[Client]:
        """Connect the SDK's client; `note` is told what the server sends unasked."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=era, message_handler=note) as client,
        ):
            yield client

    async def post(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> httpx2.Response:
        """Send one request of the 2026-07-28 revision; `headers` come over the right ones, an empty one is left out."""
        async with httpx2.AsyncClient(timeout=60) as http:
            body = request(method, params, meta)
            return await http.post(self.url, json=body, headers=headers_for(method, params, headers))


def request(
    method: str, params: dict[str, Any] | None = None, more_meta: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a request of the 2026-07-28 revision."""
    prefix = "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": MODERN, f"{prefix}clientCapabilities": {}, "progressToken": "p"}
    meta |= more_meta or {}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": meta}}


def legacy_request(number: int, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a request of an older revision."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def headers_for(
    method: str, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> dict[str, str]:
    """Return the headers that go with it."""
    right = {**ACCEPT, "MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    if params and "name" in params:
        right["Mcp-Name"] = params["name"]
    return {name: value for name, value in {**right, **(headers or {})}.items() if value}


@contextmanager
def http_server(folder: Path, manifest: str, *options: str, **how: Any) -> Iterator[HttpServer]:
    """Serve the manifest, written to `folder`."""
    server = HttpServer(folder, manifest, *options, **how)
    try:
        yield server
    finally:
        server.end()
