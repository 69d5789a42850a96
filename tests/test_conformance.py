"""The official conformance suite against `examples/conformance.yaml`, held to two revisions over HTTP.

What may fail stands in `tests/conformance/`, each with its reason. The suite's exit status is 1 if anything else fails,
and if something passes that stands there.
"""

import json
import re
from pathlib import Path

import pytest

from tests.foreign import CONFORMANCE, run_node
from tests.http_serving import http_server

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
BASELINES = Path(__file__).parent / "conformance"

PENDING = {
    "2025-11-25": {"server-session-lifecycle"},
    "2026-07-28": {"http-header-validation", "http-custom-header-server-validation"},
}
"""Scenarios that the suite runs but does not count for the revision, and that pass."""

CHANGING = """
tools:
  test_trigger_tool_change:
    description: Changed 0.
    shell: 'sed -i "s/^    description: .*/    description: Changed $(date +%s%N)./" changing.yaml'
"""
"""A manifest with a tool that changes what this tool is said to do: the suite waits for the news of it."""


@pytest.mark.parametrize("revision", sorted(PENDING))
async def test_nothing_fails_but_what_no_command_does(revision: str, tmp_path: Path) -> None:
    manifest = (ROOT / "examples" / "conformance.yaml").read_text("utf-8")
    baseline = BASELINES / f"baseline-{revision}.yaml"
    (tmp_path / "changing.yaml").write_text(CHANGING)
    with http_server(tmp_path, manifest, "--watch", "tools.yaml", "changing.yaml") as server:
        suite = [CONFORMANCE, "server", "--url", server.url, "-o", str(tmp_path / "out")]
        done = await run_node(*suite, "--requirements", revision, "--expected-failures", str(baseline), home=tmp_path)
    report = done.stdout.decode()
    assert done.returncode == 0, report[report.find("=== SUMMARY") :]
    assert re.search(r"Total: \d+ passed", report)
    assert {name for name in PENDING[revision] if failures(tmp_path / "out", name)} == set()


def failures(results: Path, scenario: str) -> list[str]:
    """Return what failed in a scenario; it must have run."""
    (folder,) = results.glob(f"server-{scenario}-20*")
    checks = json.loads((folder / "checks.json").read_text("utf-8"))
    assert any(check["status"] == "SUCCESS" for check in checks)
    return [check["id"] for check in checks if check["status"] == "FAILURE"]


@pytest.mark.parametrize("baseline", sorted(BASELINES.iterdir()), ids=lambda file: file.name)
def test_every_failure_that_is_expected_has_its_reason(baseline: Path) -> None:
    """An entry stands below a comment, alone or in a group; it names one check, so that it excuses no other."""
    head, _, entries = baseline.read_text("utf-8").partition("server:\n")
    assert head.startswith("# ")
    for group in entries.split("\n\n"):
        first, *_, last = group.splitlines()
        assert first.startswith("  # "), group
        assert re.fullmatch(r"  - [\w-]+:[\w-]+", last), group
    assert all(re.fullmatch(r"  (- [\w-]+:[\w-]+|# .+)|", line) for line in entries.splitlines())
