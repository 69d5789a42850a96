"""`cmdtool parse`: what is read in a recording, a log file or standard input."""

import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmdtool.commands.files import find_tool, read_manifest
from cmdtool.commands.report import Report
from cmdtool.commands.sources import Source, open_source
from cmdtool.detect import NOTHING_KNOWN, Known
from cmdtool.errors import ArgumentError
from cmdtool.library import builtin_parsers, known_programs
from cmdtool.manifest import resolve_progress
from cmdtool.model import AUTO, PARSER_NAME, Progress
from cmdtool.replay import Client, Player, Sent
from cmdtool.suggest import write_progress

NOTHING: Final = 1
"""Exit status of `--suggest` where there is nothing to suggest."""


@dataclass(frozen=True, slots=True)
class Rules:
    """By what `parse` reads: a tool's rules, a parser's, or a pattern; by `auto` if none is given."""

    tool: str | None = None
    files: Sequence[Path] = ()
    parser: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class _Reads:
    name: str
    spec: Progress
    known: Known = NOTHING_KNOWN
    success: tuple[int, ...] = (0,)
    """Exit statuses that complete the progress."""


def show(path: Path | None, rules: Rules, *, show_all: bool) -> int:
    """Show a person what is read in `path`, or in standard input, what a client would see, and what nearly matched.

    Raises:
        CmdtoolError: there is no such file, tool or parser, or the recording is damaged.
    """
    source = open_source(path)
    reads = _reads(rules, source)
    player, client = _players(reads)
    report = Report(source, reads.name, reads.spec, show_all=show_all or source.is_live)
    for now, steps in source.ticks(player, client.wait):
        report.sent(client.advance(now))
        for step in steps:
            client.offer(step)
            report.step(step)
    report.sent(_closing(client, source, reads))
    report.finish()
    return source.status


def print_readings(path: Path | None, rules: Rules) -> int:
    """Print each reading that has a value as JSON, one a line, as it comes.

    Raises:
        CmdtoolError: as `show`.
    """
    source = open_source(path)
    player, _ = _players(_reads(rules, source))
    for _, steps in source.ticks(player, lambda: math.inf):
        for step in steps:
            for reading in step.readings:
                if reading.value is not None:
                    _print_line(step.t, reading.value, reading.total, reading.stage, reading.message)
    return source.status


def print_updates(path: Path | None, rules: Rules) -> int:
    """Print each update that a client would be sent as JSON, one a line, as it comes.

    Raises:
        CmdtoolError: as `show`.
    """
    source = open_source(path)
    reads = _reads(rules, source)
    player, client = _players(reads)
    for now, steps in source.ticks(player, client.wait):
        _print_updates(client.advance(now))
        for step in steps:
            client.offer(step)
    _print_updates(_closing(client, source, reads))
    return source.status


def suggest(path: Path | None) -> int:
    """Print rules that read what `auto` reads, as YAML.

    Raises:
        CmdtoolError: as `show`.
    """
    source = open_source(path)
    reads = _reads(Rules(), source)
    player, _ = _players(reads)
    has_read = False
    for _, steps in source.ticks(player, lambda: math.inf):
        has_read |= any(reading.value is not None for step in steps for reading in step.readings)
    if findings := player.scanner.findings():
        sys.stdout.write(write_progress(findings))
        return source.status
    if has_read and reads.known.parsers:
        sys.stdout.write(f"    progress: {next(iter(reads.known.parsers))}\n")
        return source.status
    sys.stderr.write("cmdtool: nothing that looks like progress was found: `cmdtool parse` shows what nearly is\n")
    return NOTHING


def _players(reads: _Reads) -> tuple[Player, Client]:
    player = Player(reads.spec, reads.known)
    return player, Client(reads.spec, player.scanner.total, reads.known)


def _closing(client: Client, source: Source, reads: _Reads) -> Iterator[Sent]:
    yield from client.advance(source.end)
    yield from client.finish(success=source.exit_code in reads.success)


# --- the rules -------------------------------------------------------------------------------------------------------


def _reads(rules: Rules, source: Source) -> _Reads:
    if rules.tool is not None:
        tool = find_tool(read_manifest(rules.files, trust=True).tools, rules.tool)
        spec = source.adapt(tool.progress)
        return _Reads(f"the tool `{tool.name}`", spec, _known(source, spec), tool.success)
    if rules.pattern is not None:
        return _Reads("the pattern", source.adapt(_pattern(rules.pattern)))
    name = rules.parser or AUTO
    if not re.fullmatch(PARSER_NAME, name):
        raise ArgumentError(f"`{name}` is no parser's name\nhint: a pattern is given to `--pattern`")
    spec = source.adapt(resolve_progress(name, builtin_parsers()))
    known = _known(source, spec)
    names = f" ({', '.join(known.parsers)})" if known.parsers else ""
    return _Reads(f"the parser `{name}`{names}", spec, known)


def _known(source: Source, spec: Progress) -> Known:
    return known_programs(source.argv) if spec.detects and source.argv else NOTHING_KNOWN


def _pattern(text: str) -> Progress:
    """Return the rule that a pattern is, also one that looks like a parser's name."""
    if re.fullmatch(PARSER_NAME, text):
        return Progress.model_validate({"rules": [text]})
    return resolve_progress(text, builtin_parsers())


# --- JSON ------------------------------------------------------------------------------------------------------------


def _print_updates(updates: Iterator[Sent]) -> None:
    for sent in updates:
        update = sent.update
        _print_line(sent.t, update.progress, update.total, sent.stage, update.message)


def _print_line(t: float, value: float, total: float | None, stage: str | None, message: str | None) -> None:
    line: dict[str, Any] = {"t": round(t, 4), "value": value, "total": total, "stage": stage, "message": message}
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()
