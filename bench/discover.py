"""How soon `server/discover` is answered over HTTP: by an idle server, beside 50 calls that report progress, and beside
50 that print as fast as they can.

    python -m bench.discover [REQUESTS]

Only the ratio says something on a busy machine: client, server and the 50 commands share it.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx2
from rich.console import Console
from rich.table import Table

from tests.http_serving import HttpServer, headers_for, http_server, request

CALLS: Final = 50
MANIFEST: Final = f"""
concurrency: {CALLS}
tools:
  work: {{shell: 'while :; do i=$((i+1)); echo "$i of 1000000"; sleep 0.1; done', progress: '(\\d+) of (\\d+)'}}
  flood: {{shell: 'while :; do i=$((i+1)); echo "$i of 100000000"; done'}}
"""
TOOLS: Final = ("work", "flood")


async def measure(server: HttpServer, requests: int) -> dict[str, list[float]]:
    """Return the milliseconds that each `server/discover` took, idle and beside calls of each tool."""
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=None)) as http:
        measured = {"idle": [await _ask(http, server) for _ in range(requests)]}
        for tool in TOOLS:
            begun = asyncio.Semaphore(0)
            calls = [asyncio.create_task(_call(http, server, tool, begun)) for _ in range(CALLS)]
            for _ in calls:
                await begun.acquire()
            measured[f"{CALLS} calls of `{tool}`"] = [await _ask(http, server) for _ in range(requests)]
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
    return measured


async def _ask(http: httpx2.AsyncClient, server: HttpServer) -> float:
    begun = time.perf_counter()
    answer = await http.post(server.url, json=request("server/discover"), headers=headers_for("server/discover"))
    answer.raise_for_status()
    return (time.perf_counter() - begun) * 1000


async def _call(http: httpx2.AsyncClient, server: HttpServer, tool: str, begun: asyncio.Semaphore) -> None:
    params = {"name": tool, "arguments": {}}
    headers = headers_for("tools/call", params)
    async with http.stream("POST", server.url, json=request("tools/call", params), headers=headers) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        begun.release()
        async for _ in lines:
            pass


def main(requests: int) -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as name, http_server(Path(name), MANIFEST) as server:
        measured = asyncio.run(measure(server, requests))
    table = Table("server/discover", "median", "95th percentile", "slowest")
    for state, times in measured.items():
        tail = statistics.quantiles(times, n=20)[-1]
        table.add_row(state, *(f"{each:.1f} ms" for each in (statistics.median(times), tail, max(times))))
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
