"""YAML text -> nodes with their places, within limits, and without the surprises of YAML 1.1.

PyYAML's parser gives events and the tree is built here: PyYAML's own composer recurses and expands aliases without
bound, and lets the last of two equal keys win.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor

from cmdtool.manifest.nodes import Node, Position, Report, Step, join
from cmdtool.manifest.syntax import MAX_DEPTH, TOO_DEEP, explain

MAX_BYTES: Final = 1 << 20
MAX_NODES: Final = 100_000

_Loader: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)?\.[0-9]*(?:[eE][-+][0-9]+)?", re.ASCII)
_TAG: Final = "tag:yaml.org,2002:"
_LIST: Final = _TAG + "seq"
_MAPPING: Final = _TAG + "map"


class _RefusedError(Exception):
    """The file cannot be read any further."""

    def __init__(self, place: Position | Any, message: str, hint: str = "") -> None:
        """`place` is a position, one of PyYAML's marks, or None for the file as a whole."""
        super().__init__(message)
        self.position = place if place is None or isinstance(place, Position) else _position(place)
        self.message = message
        self.hint = hint


def read_yaml(report: Report) -> Node | None:
    """Return the document of the report's file; None if there is no reading it, which is then in the report."""
    try:
        _check_text(report)
        root = _Composer(report.text).document()
        return _Builder(report).build(root)
    except _RefusedError as exc:
        report.add(exc.position, "", exc.message, exc.hint)
    except yaml.MarkedYAMLError as exc:
        position = _position(exc.problem_mark or exc.context_mark)
        report.add(*explain(exc, position, report))
    except yaml.YAMLError as exc:
        report.add(None, "", f"not YAML: {exc}")
    return None


def _check_text(report: Report) -> None:
    size = len(report.text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise _RefusedError(None, f"{size:,} bytes are more than a manifest may have ({MAX_BYTES:,})")
    if not _UNREADABLE.search(report.text):
        return
    for number, line in enumerate(report.lines, 1):
        if found := _UNREADABLE.search(line):
            position = Position(number, found.start() + 1)
            raise _RefusedError(position, f"the character U+{ord(found[0]):04X} cannot stand in YAML", "remove it")


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _too_many(mark: Any) -> _RefusedError:
    return _RefusedError(mark, f"more than {MAX_NODES:,} values, aliases expanded, are more than a manifest may have")


def _too_deep(mark: Any) -> _RefusedError:
    return _RefusedError(mark, TOO_DEEP)


class _Composer:
    """Events -> PyYAML's own nodes, an alias being the node that it names."""

    def __init__(self, text: str) -> None:
        self._loader = _Loader(text)
        self._next: Callable[[], Any] = self._loader.get_event
        self._anchors: dict[str, yaml.Node | None] = {}
        self._sizes: dict[str, int] = {}
        self._count = 0
        """Nodes so far, aliases expanded; `_sizes` is what they come to at each anchor."""
        self._end: Any = None
        """Where the collection that was read last ends."""

    def document(self) -> yaml.Node:
        self._next()  # the stream starts
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise _RefusedError(None, "the file is empty", "write `tools:` and below it your first tool")
        root = self._node(self._next(), 1)
        self._next()  # the document ends
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise _RefusedError(event.start_mark, "a second document begins here", "a file holds one manifest")
        return root

    def _node(self, event: Any, depth: int) -> yaml.Node:
        is_alias = isinstance(event, yaml.AliasEvent)
        before = self._count
        self._count += self._sizes.get(event.anchor, 1) if is_alias else 1
        if self._count > MAX_NODES:
            raise _too_many(event.start_mark)
        if is_alias:
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise _too_deep(event.start_mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._new(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
            self._sizes[event.anchor] = self._count - before
        return node

    def _alias(self, event: Any) -> yaml.Node:
        name, mark = event.anchor, event.start_mark
        node = self._anchors.get(name)
        if node is not None:
            return node
        if name in self._anchors:
            raise _RefusedError(mark, f"the alias `*{name}` stands inside what it names")
        hint = "text that begins with `*` is put in single quotes"
        raise _RefusedError(mark, f"the alias `*{name}` names nothing before it", hint)

    def _new(self, event: Any, depth: int) -> yaml.Node:
        tag = None if event.tag == "!" else event.tag
        start: Any = event.start_mark
        if isinstance(event, yaml.ScalarEvent):
            tag = tag or self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            return yaml.ScalarNode(tag, event.value, start, event.end_mark, event.style)  # type: ignore[arg-type]
        if isinstance(event, yaml.SequenceStartEvent):
            items = list(self._children(yaml.SequenceEndEvent, depth))
            return yaml.SequenceNode(tag or _LIST, items, start, self._end)
        children = list(self._children(yaml.MappingEndEvent, depth))
        pairs = list(zip(children[::2], children[1::2], strict=True))
        return yaml.MappingNode(tag or _MAPPING, pairs, start, self._end)

    def _children(self, end: type[Any], depth: int) -> Iterator[yaml.Node]:
        while not isinstance(event := self._next(), end):
            yield self._node(event, depth + 1)
        self._end = event.end_mark


class _Builder:
    """PyYAML's nodes -> ours: aliases and `<<` expanded, key paths known, surprises reported."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def build(self, root: yaml.Node) -> Node:
        return self._build(root, "", None, 1)

    def _build(self, raw: yaml.Node, path: str, key: Position | None, depth: int) -> Node:
        if depth > MAX_DEPTH:  # aliases inside aliases go deeper than the text does
            raise _too_deep(raw.start_mark)
        start = _position(raw.start_mark)
        node = Node(path, start, _position(raw.end_mark), key or start, None)
        if isinstance(raw, yaml.ScalarNode):
            return self._scalar(raw, node)
        if raw.tag not in (_LIST, _MAPPING):
            return self._bad_tag(raw, node)
        if isinstance(raw, yaml.SequenceNode):
            items = (self._build(item, join(path, index), None, depth + 1) for index, item in enumerate(raw.value))
            return replace(node, value=tuple(items))
        return self._mapping(raw, node, depth)

    def _break(self, node: Node, message: str, hint: str) -> Node:
        self._report.at(node, message, hint)
        return replace(node, broken=True)

    def _bad_tag(self, raw: yaml.Node, node: Node) -> Node:
        tag = _short(raw.tag.replace(_TAG, "!!"))
        return self._break(node, f"the tag `{tag}` has no meaning here", "leave it out")

    # --- scalars ---

    def _scalar(self, raw: yaml.ScalarNode, node: Node) -> Node:
        text: str = raw.value
        if not raw.style:
            node = replace(node, written=text)
        match raw.tag.removeprefix(_TAG):
            case "str" | "merge" | "value":
                if "\0" in text:
                    return self._break(node, "it holds a NUL character", "no program can be given one")
                return replace(node, value=text)
            case "null":
                return node
            case "bool" if text.lower() in SafeConstructor.bool_values:
                return replace(node, value=SafeConstructor.bool_values[text.lower()])
            case "int":
                return self._integer(raw, node)
            case "float":
                return self._float(raw, node)
            case "timestamp":
                return self._break(node, f"YAML reads `{_short(text)}` as a date", "quote it")
        return self._bad_tag(raw, node)

    def _integer(self, raw: yaml.ScalarNode, node: Node) -> Node:
        if _INTEGER.fullmatch(raw.value):
            return replace(node, value=int(raw.value))
        return self._surprise(raw, node, SafeConstructor.construct_yaml_int)

    def _float(self, raw: yaml.ScalarNode, node: Node) -> Node:
        if _FLOAT.fullmatch(raw.value) and math.isfinite(number := float(raw.value)):
            return replace(node, value=number)
        return self._surprise(raw, node, SafeConstructor.construct_yaml_float)

    def _surprise(self, raw: yaml.ScalarNode, node: Node, read: Callable[[Any, Any], object]) -> Node:
        text = _short(raw.value)
        hint = "quote it if it is meant as text, else write the plain number"
        if ":" in text:
            hint = "quote it if it is meant as text; a duration is written `90s` or `1h30m`"
        try:
            meaning = read(SafeConstructor(), raw) if len(raw.value) < 40 else math.inf
        except ValueError:
            return self._break(node, f"`{text}` is not a number", hint)
        if isinstance(meaning, float) and not math.isfinite(meaning):
            return self._break(node, f"the number `{text}` is not one that JSON can hold", hint)
        return self._break(node, f"YAML reads `{text}` as the number {meaning}", hint)

    # --- mappings ---

    def _mapping(self, raw: yaml.Node, node: Node, depth: int) -> Node:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merges: list[yaml.Node] = []
        dropped: set[Step] = set()
        for raw_key, raw_value in raw.value:
            name = self._key(raw_key, node, depth)
            if name is None:
                dropped.add(raw_key.value if isinstance(raw_key, yaml.ScalarNode) else "")
                continue
            position, path = _position(raw_key.start_mark), join(node.path, name)
            if name in lines:
                self._report.add(position, path, f"`{_short(name)}` stands here twice", f"first in line {lines[name]}")
                continue
            lines[name] = position.line
            if raw_key.tag == f"{_TAG}merge":
                merges += raw_value.value if isinstance(raw_value, yaml.SequenceNode) else [raw_value]
            elif not node.path and name.startswith("x-"):
                self._ignore(raw_value, path, depth)
            else:
                entries[name] = self._build(raw_value, path, position, depth + 1)
        for merged in merges:
            source = self._build(merged, node.path, None, depth + 1)
            if not isinstance(source.value, Mapping):
                self._report.at(
                    source, f"`<<` takes a mapping, found {source.describe()}", "name an anchor: `<<: *name`"
                )
            entries = {**source.entries, **entries}
        return replace(node, value=entries, dropped=frozenset(dropped))

    def _key(self, raw: yaml.Node, parent: Node, depth: int) -> str | None:
        path = join(parent.path, raw.value) if isinstance(raw, yaml.ScalarNode) else parent.path
        node = self._build(raw, path, None, depth + 1)
        if node.broken:
            return None
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            return str(node.value)
        if isinstance(node.value, str):
            return node.value
        hint = f"quote it: '{node.written}'" if node.written else "quote it if it is meant as text"
        self._report.at(node, f"a key must be text, found {node.describe()}", hint)
        return None

    def _ignore(self, raw: yaml.Node, path: str, depth: int) -> None:
        """Hold what is not used to the limits only."""
        report, self._report = self._report, Report("", "")
        self._build(raw, path, None, depth + 1)
        self._report = report


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
