"""What `auto` found in a run -> rules in YAML, ready to be pasted into a tool."""

from collections.abc import Sequence
from typing import Protocol

from cmdtool.text import clean_line


class Finding(Protocol):
    """A rule that reads what `auto` reads."""

    @property
    def pattern(self) -> str:
        """The pattern, as a manifest takes it."""

    @property
    def message(self) -> str | None:
        """The rule's message, if it has one."""

    @property
    def stage(self) -> str | None:
        """The rule's stage, if it has one."""

    @property
    def sample(self) -> bytes:
        """A record that it reads."""

    @property
    def kind(self) -> str:
        """What it is, in a word."""


def write_progress(findings: Sequence[Finding]) -> str:
    """Return the `progress` of a tool, indented as it stands there, with a sample above each rule."""
    lines = ["    progress:"]
    for finding in findings:
        lines.append(f"      # {finding.kind}: {clean_line(finding.sample.decode(errors='replace'), 100)}")
        others = {"stage": finding.stage, "message": finding.message}
        given = [f"        {key}: {_quote(text)}" for key, text in others.items() if text is not None]
        lines.append(f"      - {'pattern: ' * bool(given)}{_quote(finding.pattern)}")
        lines += given
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
