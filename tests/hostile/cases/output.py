"""Output that is too much, or no text."""

import base64
import re
import urllib.parse

from mcp_types import CallToolResult, TextContent

from tests.hostile.case import Case
from tests.hostile.stage import Stage

MB = 1_000_000
TOKEN = "sk-Zq7/x+Y9&Wq==:8mJ5"
"""Has what URLs and JSON write differently."""

IN_BASE64 = [base64.b64encode((before + TOKEN + "tail").encode()).decode()[8:20] for before in ("", "a", "ab")]
FORMS = tuple(map(re.escape, [TOKEN, TOKEN[:12], *IN_BASE64, urllib.parse.quote(TOKEN, safe="")]))


def only_text(stage: Stage, result: CallToolResult | None) -> None:
    """What a program prints makes no link and no other content."""
    assert result is not None
    assert [type(block) for block in result.content] == [TextContent]


OUTPUT = [
    Case("2 GB", "writer.c", (str(2000 * MB),), says=("^the beginning", "the end$", "bytes left out"), dead_in=2),
    Case("one line of 1 GB", "writer.c", (str(1000 * MB), "line"), says=("^the beginning", "the end$")),
    Case("200 MB on standard error first", "writer.c", (str(200 * MB), "stderr"), says=("the end\n",)),
    Case("2 GB without a spool", "writer.c", (str(2000 * MB),), {"output": {"spool": False}}, says=("the end$",)),
    Case("binary", "bytes.py", ("binary",), says=("bytes left out",)),
    Case("broken UTF-8 in pieces", "bytes.py", ("invalid",), says=("ok é 😀 bad �", "the end$")),
    Case("NULs", "bytes.py", ("nuls",), says=("the end$",)),
    Case("unterminated link of 10 MB", "bytes.py", ("osc",), says=("^shown",)),
    Case("escapes within escapes", "bytes.py", ("nested_escapes",), says=("the end$",)),
    Case("backspaces", "bytes.py", ("backspaces",), says=("the end$",)),
    Case("redraws", "bytes.py", ("redraws",), says=("last frame$",)),
    Case("carriage returns", "bytes.py", ("bare_returns",), says=("the end$",)),
    Case(
        "escape sequences in pieces",
        "bytes.py",
        ("escapes",),
        says=("red", "link", "the end$"),
        hides=("title", "cm0g", "etc/passwd", r"\[31m"),
    ),
    Case(
        "invisible and reordering characters", "bytes.py", ("unseen",), says=(r"100<U\+202E>", "zero<U\\+200B>", "👩‍💻")
    ),
    Case("forged JSON-RPC", "forger.py", ("protocol",), says=("forged", "elicitation/create"), check=only_text),
    Case("forged commands and links", "forger.py", ("commands",), says=("::add-path::", "cmdtool://"), check=only_text),
    Case(
        "secret in every form",
        "blabs.py",
        keys={"progress": r"(?P<percent>\d+)%.*"},
        file={"secrets": ["API_TOKEN"], "inherit_env": ["API_TOKEN"]},
        env={"API_TOKEN": TOKEN},
        says=("plain ", "\nerror "),
        hides=FORMS,
    ),
]
