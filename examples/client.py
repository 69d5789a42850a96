"""The demo: a real MCP client starts `cmdtool serve tools.yaml` and calls its tools side by side, with live bars.

It talks to the server as Claude, Cursor or VS Code would: through the official SDK, over standard input and output.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import CallToolResult, TextContent
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

MANIFEST = Path(__file__).resolve().parent.parent / "tools.yaml"


def make_data(folder: Path) -> None:
    """Make what the demo works on: a folder of files for rsync and a video for ffmpeg."""
    source = folder / "photos"
    source.mkdir()
    for number in range(150):
        (source / f"photo-{number:03}.raw").write_bytes(os.urandom(200_000))
    pattern = "testsrc2=duration=8:size=640x360:rate=25"
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", pattern, "-c:v", "mpeg4", folder / "film.avi"],
        check=True,
    )


def show_result(console: Console, name: str, result: CallToolResult) -> None:
    """Print how a call ended and the last lines of what it returned."""
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    facts = (result.meta or {}).get("cmdtool/run", {"duration": 0.0})
    console.print(f"\n[bold]{name}[/bold]: {'failed' if result.is_error else 'done'} in {facts['duration']:.1f} s")
    for line in text.splitlines()[-3:]:
        console.print(f"  {line}", markup=False, highlight=False, overflow="ellipsis", no_wrap=True)


async def main() -> int:
    """Run the demo; return 0 if every call succeeded."""
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_data(folder)
        calls: dict[str, dict[str, object]] = {
            "copy": {"source": f"{folder}/photos/", "destination": f"{folder}/backup", "rate": 8192},
            "encode": {"input": f"{folder}/film.avi", "output": f"{folder}/film.mp4"},
            "percentage": {},
            "count": {"files": 30},
            "search": {},
            "release": {},
        }
        server = StdioServerParameters(command=sys.executable, args=["-m", "cmdtool", "serve", str(MANIFEST)])
        log = stack.enter_context((folder / "server.log").open("w+"))  # beside the bars it would be in the way
        async with Client(stdio_client(server, errlog=log)) as client:
            listed = (await client.list_tools()).tools
            console.print(f"connected: MCP {client.protocol_version}, {len(listed)} tools")
            for tool in listed:
                console.print(f"  {tool.name}: {tool.description}", markup=False, highlight=False)
            results = await call_all(client, calls, console)
    for name, result in results.items():
        show_result(console, name, result)
    return 0 if not any(result.is_error for result in results.values()) else 1


async def call_all(client: Client, calls: dict[str, dict[str, object]], console: Console) -> dict[str, CallToolResult]:
    """Call all tools at once and draw a bar for each from its `notifications/progress`."""
    results: dict[str, CallToolResult] = {}
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False),
    )
    with Progress(*columns, console=console) as bars:

        async def call(name: str, arguments: dict[str, object]) -> None:
            bar = bars.add_task(name, total=None, message="")

            async def show(progress: float, total: float | None, message: str | None) -> None:
                bars.update(bar, completed=progress, total=total, message=(message or "")[:50])

            results[name] = await client.call_tool(name, arguments, progress_callback=show)
            bars.update(bar, total=bars.tasks[bar].total or bars.tasks[bar].completed)
            bars.stop_task(bar)

        async with anyio.create_task_group() as tasks:
            for name, arguments in calls.items():
                tasks.start_soon(call, name, arguments)
    return {name: results[name] for name in calls}


if __name__ == "__main__":
    sys.exit(anyio.run(main))
