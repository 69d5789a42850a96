"""The server's log: a process of its own writes it, as `cmdtool serve` does."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

SCRIPT = """
import logging, os, sys, time
from cmdtool.masking import Secrets
from cmdtool.server.log import StderrLog

log = StderrLog({form!r})
log.conceal(Secrets(["tiger-lily"]))
logger = logging.getLogger("program")
{body}
log.flush()
os._exit(0)
"""


def logged(body: str, form: str = "text") -> list[str]:
    script = SCRIPT.format(body=body, form=form)
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, check=True)
    return done.stderr.decode("utf-8").splitlines()


def logged_json(body: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(body, "json")]


def test_a_line_is_one_line_clean_and_without_secrets() -> None:
    [line] = logged(
        r"logger.warning('%s: \x1b]0;x\x07\x1b[31mred\x9b0m\nWARNING forged\u202e\U000e0041', 'tiger-lily')"
    )
    assert line == "WARNING program: [masked]: red WARNING forged<U+202E><U+E0041>"


def test_a_line_is_not_long() -> None:
    [line] = logged("logger.warning('x' * 10_000_000)")
    assert len(line) == 1000


def test_a_traceback_says_where_and_quotes_no_value() -> None:
    lines = logged(
        """
class Group(Exception):
    exceptions = (ValueError("the value is orchid"), OSError("tiger-lily\\x1b[1m is gone"))
try:
    raise Group("orchid")
except Group:
    logger.exception("call failed")
"""
    )
    assert lines[0] == "ERROR program: call failed"
    assert lines[1].startswith('  File "<string>", line ')
    assert lines[2:] == ["Group", "ValueError", "OSError: [masked] is gone"]


def test_a_flood_is_cut_and_says_so() -> None:
    lines = logged(
        """
import time
for number in range(50_000):
    logger.info("line %d", number)
log.flush()
for _ in range(20): log.flush()
time.sleep(0.05)  # room for a few lines
logger.info("the last")
"""
    )
    assert 500 <= len(lines) < 5_000
    assert lines[0] == "INFO program: line 0"
    assert any("lines before this one were left out" in line for line in lines)


def test_json_is_an_object_a_line_clean_and_without_secrets() -> None:
    [entry] = logged_json(
        r"""
facts = {'tool': 'copy', 'caller': 'tiger-lily\x1b[1m\n\u202e', 'exit_status': 3, 'success': False, 'uri': None}
logger.warning('%s: \x1b[31mred\n{"level": "ERROR"}\ud800', 'tiger-lily', extra={'facts': facts})
"""
    )
    moment = datetime.fromisoformat(entry.pop("time"))
    assert moment.tzinfo is UTC
    assert abs(datetime.now(UTC) - moment) < timedelta(hours=1)
    assert entry == {
        "level": "WARNING",
        "logger": "program",
        "message": '[masked]: red {"level": "ERROR"}<U+D800>',
        "tool": "copy",
        "caller": "[masked] <U+202E>",
        "exit_status": 3,
        "success": False,
        "uri": None,
    }


def test_json_is_not_long_and_has_tracebacks_without_values() -> None:
    long, failed = logged_json(
        """
logger.info('x' * 10_000_000, extra={"facts": {"arguments": "y" * 10_000_000}})
try:
    raise ValueError("the value is orchid")
except ValueError:
    logger.exception("call failed")
"""
    )
    assert (len(long["message"]), len(long["arguments"])) == (1000, 1000)
    assert failed["message"] == "call failed"
    assert failed["exception"].startswith('  File "<string>", line ')
    assert failed["exception"].endswith("\nValueError")


def test_a_flood_of_json_is_cut_and_says_so() -> None:
    entries = logged_json(
        """
for number in range(50_000):
    logger.info("line %d", number)
for _ in range(20): log.flush()
time.sleep(0.05)  # room for a few lines
logger.info("the last")
"""
    )
    assert 500 <= len(entries) < 5_000
    assert entries[0]["message"] == "line 0"
    assert 0 < sum(entry.get("lines_left_out", 0) for entry in entries) <= 50_001 - len(entries)
