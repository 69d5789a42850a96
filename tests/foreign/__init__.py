"""MCP clients that others wrote: the TypeScript SDKs, the Inspector's command line, the conformance suite."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import anyio

FOLDER: Final = Path(__file__).parent
PACKAGES: Final = FOLDER / "node_modules" / "@modelcontextprotocol"
INSPECTOR: Final = str(PACKAGES / "inspector" / "clients" / "launcher" / "build" / "index.js")
CONFORMANCE: Final = str(PACKAGES / "conformance" / "dist" / "index.js")

_BIN: Final = FOLDER / "node_modules" / ".bin"


async def run_node(*args: str, home: Path, limit: float = 120) -> subprocess.CompletedProcess[bytes]:
    """Run a script with the Node of `package.json`; `home` is where it may keep what it likes to keep."""
    path = f"{_BIN}{os.pathsep}{os.environ['PATH']}"
    node = shutil.which("node", path=path)
    assert node, "Node is not there: `make tests/foreign/node_modules/installed`"
    with anyio.fail_after(limit):
        return await anyio.run_process(
            [node, *args], check=False, env={**os.environ, "PATH": path, "HOME": str(home)}, cwd=home
        )


async def call_by_typescript(
    sdk: int,
    era: str,
    server: Sequence[str] | str,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    patience: float,
    home: Path,
) -> dict[str, Any]:
    """Call a tool with version 1 or 2 of the TypeScript SDK, whose timeout, `patience` seconds, each progress resets.

    Args:
        sdk: the version.
        era: `legacy` or `modern`; version 1 knows the first only.
        server: the command that serves over standard input and output, or the URL of a server.
        tool, arguments: what is called.
        patience: seconds.
        home: as for `run_node`.

    Returns:
        `tools`, the names it lists; `progress`, a list of what it was told; and `result` or `error`.
    """
    where = {"url": server} if isinstance(server, str) else {"command": server}
    request = {"sdk": sdk, "era": era, **where, "tool": tool, "arguments": arguments}
    done = await run_node(
        str(FOLDER / "call.mjs"), json.dumps({**request, "timeout": round(patience * 1000)}), home=home
    )
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
