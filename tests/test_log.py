"""The server's log: a process of its own writes it, as `cmdtool serve` does."""

import subprocess
import sys

SCRIPT = """
import logging, os, sys
from cmdtool.masking import Secrets
from cmdtool.server.log import StderrLog

log = StderrLog(Secrets(["tiger-lily"]))
logger = logging.getLogger("program")
{body}
log.flush()
os._exit(0)
"""


def logged(body: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(body=body)], stderr=subprocess.PIPE, check=True)
    return done.stderr.decode("utf-8").splitlines()


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
