"""Manifest files -> a `Manifest`, or every problem found."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError

from cmdtool.errors import ArgumentError, BadValue, ManifestError, Problem
from cmdtool.manifest.holes import Holes
from cmdtool.manifest.nodes import Node, Report, Source, nearest
from cmdtool.manifest.parsers import Parsers
from cmdtool.manifest.reader import read_yaml
from cmdtool.manifest.rules import check_progress
from cmdtool.manifest.tools import (
    Facts,
    Shared,
    declared_arguments,
    has_lost_arguments,
    make_tool,
    resolve_at,
)
from cmdtool.manifest.validation import M, validate
from cmdtool.model import (
    AUTO,
    NONE,
    Argument,
    Defaults,
    Manifest,
    ManifestFile,
    ParserFile,
    Progress,
    ProgressSpec,
    ServerKeys,
    Tool,
)
from cmdtool.patterns import compile_pattern

_CONCURRENCY: Final = 8
_NOTHING_ASKED: Final = Facts()
_VARIABLES: Final = re.compile(r"[A-Za-z0-9_*?\[\]!-]+")
"""A variable's name, or a glob."""


def load(sources: Sequence[Source], parsers: Mapping[str, ProgressSpec]) -> Manifest:
    """Return the manifest that one or more files make.

    Args:
        sources: the files.
        parsers: the built-in parsers by name.

    Raises:
        ManifestError: with every mistake, in file order.
    """
    manifest, problems = check(sources, parsers)
    if manifest is None:
        raise ManifestError([problem for problem in problems if problem.severity == "error"])
    return manifest


def check(
    sources: Sequence[Source],
    parsers: Mapping[str, ProgressSpec],
    facts: Facts = _NOTHING_ASKED,
) -> tuple[Manifest | None, list[Problem]]:
    """Return the manifest, None if it has mistakes, and all problems, warnings too.

    Args:
        sources, parsers: as for `load`.
        facts: what of the machine may be asked; what is missing there is then a problem as well.
    """
    loaded = [_File(source, parsers, facts) for source in sources]
    _check_across(loaded)
    problems = [problem for file in loaded for problem in file.report.problems]
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    server = next((file.keys.server for file in loaded if file.keys.server), ServerKeys())
    concurrency = next((file.keys.concurrency for file in loaded if file.keys.concurrency), _CONCURRENCY)
    tools = {name: tool for file in loaded for name, tool in file.tools.items()}
    return Manifest(server=server, concurrency=concurrency, tools=tools), problems


def load_parser(name: str, text: str) -> ParserFile:
    """Return the parser that a file of the library holds.

    Raises:
        ManifestError: with every mistake, in file order.
    """
    return load_keys(ParserFile, name, text, "`rules`")


def load_keys(model: type[M], name: str, text: str, wanted: str) -> M:
    """Return what a YAML file of some other kind holds.

    Args:
        model: the keys it may have.
        name: the file's, as problems show it.
        text: its text.
        wanted: what a hint says to write into a file that holds no mapping.

    Raises:
        ManifestError: with every mistake, in file order.
    """
    report = Report(name, text)
    root = _read_mapping(report, wanted)
    keys = validate(model, root, report)[0] if root else None
    if keys is None or report.problems:
        raise ManifestError(report.problems)
    return keys


def resolve_progress(text: str, parsers: Mapping[str, ProgressSpec]) -> Progress:
    """Return what a parser's name or a pattern stands for, as a tool's `progress` would.

    Raises:
        ArgumentError: there is no such parser, or the pattern does not compile.
    """
    try:
        spec = Parsers({}, parsers).resolve(Defaults.model_validate({"progress": text}).progress)
        assert spec is not None, "only a file's own parsers can be unusable"
        for rule in spec.rules:
            compile_pattern(rule.pattern)
    except BadValue as exc:
        raise ArgumentError("\nhint: ".join(filter(None, (exc.message, exc.hint)))) from exc
    except ValidationError as exc:
        raise ArgumentError(f"`{text[:40]}…` is too long for a pattern") from exc
    return spec


class _File:
    """One file: its `keys` as written, its `tools` complete, and the `report` of its problems."""

    def __init__(
        self,
        source: Source,
        builtin: Mapping[str, ProgressSpec],
        facts: Facts,
    ) -> None:
        self.report = Report(source.name, source.text)
        self.keys = ManifestFile()
        self.tools: dict[str, Tool] = {}
        self.root = _read_mapping(self.report, "`tools:` and below it your first tool")
        if self.root is None:
            return
        if "tools" not in self.root.entries and not _is_misspelt(self.root, "tools"):
            self.report.at(self.root, "`tools` is missing", "write `tools:` and below it your first tool")
        self.keys, self.root = validate(ManifestFile, self.root, self.report)
        self._make_tools(self.root, source, builtin, facts)

    def _make_tools(
        self,
        root: Node,
        source: Source,
        builtin: Mapping[str, ProgressSpec],
        facts: Facts,
    ) -> None:
        self._check_path(root)
        self._check_secrets(root)
        tools = root.child("tools")
        nodes = tools.entries if tools else {}
        anywhere = self._arguments_of_all(nodes)
        parsers = self._parsers(root.child("parsers"), anywhere, builtin)
        defaults = root.child("defaults")
        shared = Shared(
            report=self.report,
            defaults=self.keys.defaults,
            node=defaults,
            parsers=parsers,
            progress=self._default_progress(defaults, anywhere, parsers),
            folder=source.folder,
            manifest=posixpath.join(source.folder, posixpath.basename(source.name)),
            path=self.keys.path,
            inherit_env=self.keys.inherit_env,
            secrets=self.keys.secrets,
            counted=anywhere.counted,
            facts=facts,
        )
        self.tools = {name: make_tool(name, node, self.keys.tools[name], shared) for name, node in nodes.items()}

    def _check_path(self, root: Node) -> None:
        path = root.child("path")
        for folder in path.items if path else ():
            if "$" in str(folder.value):
                self.report.at(folder, "variables are not replaced here", "write `~/...` or the whole path")

    def _check_secrets(self, root: Node) -> None:
        secrets = root.child("secrets")
        for place in secrets.items if secrets else ():
            if not _VARIABLES.fullmatch(str(place.value)):
                hint = "write names, not values: `[API_KEY, '*_TOKEN']`"
                self.report.at(place, "expected the name of an environment variable", hint)

    def _arguments_of_all(self, nodes: Mapping[str, Node]) -> Holes:
        """Return the arguments of all tools: what the file's own parsers and defaults can name."""
        arguments: dict[str, Argument] = {}
        for name, node in nodes.items():
            arguments |= declared_arguments(node, self.keys.tools[name]) or {}
        return Holes(arguments, self.report, are_known=not any(map(has_lost_arguments, nodes.values())))

    def _parsers(self, node: Node | None, anywhere: Holes, builtin: Mapping[str, ProgressSpec]) -> Parsers:
        own = self.keys.parsers
        broken = [str(step) for step in node.dropped] if node else []
        parsers = Parsers({**dict.fromkeys(broken), **own}, builtin)
        for name, place in node.entries.items() if node else ():
            if name in (AUTO, NONE):
                self.report.at(place, f"a parser cannot be named `{name}`", "choose another name", on_key=True)
            resolved = resolve_at(place, own[name], parsers, self.report, name)
            check_progress(place, own[name], resolved, anywhere, self.report)
        return parsers

    def _default_progress(self, node: Node | None, anywhere: Holes, parsers: Parsers) -> Progress | None:
        own = self.keys.defaults.progress
        place = node and node.child("progress")
        if place is None:
            return parsers.resolve(own)
        resolved = resolve_at(place, own, parsers, self.report)
        check_progress(place, own, resolved, anywhere, self.report)
        return resolved


def _read_mapping(report: Report, wanted: str) -> Node | None:
    root = read_yaml(report)
    if root is None or root.broken:
        return None
    if not isinstance(root.value, Mapping):
        report.at(root, f"expected a mapping, found {root.describe()}", f"write {wanted}")
        return None
    return root


def _is_misspelt(node: Node, key: str) -> bool:
    return any(nearest(name, [key]) for name in (*node.entries, *map(str, node.dropped)) if name != key)


def _check_across(files: Sequence[_File]) -> None:
    """Report what stands in two files and can only stand in one."""
    seen: dict[str, tuple[_File, Node]] = {}
    for file in files:
        for key, node in _unique(file):
            if key not in seen:
                seen[key] = (file, node)
                continue
            first, place = seen[key]
            where = f"{first.report.file}:{place.key.line}"
            file.report.at(node, f"`{key}` stands in {where} already", "it can stand in one file only", on_key=True)


def _unique(file: _File) -> list[tuple[str, Node]]:
    if file.root is None:
        return []
    entries = file.root.entries
    tools = entries["tools"].entries if "tools" in entries else {}
    once = [(key, entries[key]) for key in ("server", "concurrency") if key in entries]
    return [*once, *((f"tools.{name}", node) for name, node in tools.items())]
