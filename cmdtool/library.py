"""The built-in parsers: the YAML files in `cmdtool/parsers/`, each read when it is first asked for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from cmdtool.detect import Known
from cmdtool.manifest import load_parser
from cmdtool.model import ParserFile, ProgressSpec
from cmdtool.programs import running_programs

_SUFFIX: Final = ".yaml"
_MATCHES: Final = re.compile(r"^matches: \[(.*)\]", re.MULTILINE)

_SILENT: Final = frozenset(
    "[ cat cd chmod chown cp cut exit export false grep head ln mkdir mktemp mv popd pushd read return rm rmdir sed set"
    " shift sleep sort source tail tee test touch tr trap true ulimit umask uniq unset wait".split()
)
"""Commands of scripts that print no progress, or only pass on what they read."""


class _Library(Mapping[str, ProgressSpec]):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> ProgressSpec:
        if name not in self._names:
            raise KeyError(name)
        parser = builtin_parser(name)
        return ProgressSpec(rules=parser.rules, stages=parser.stages, bars=parser.bars)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)


@cache
def builtin_parsers() -> Mapping[str, ProgressSpec]:
    """Return the built-in parsers by name; only those that are looked up are read."""
    return _Library(frozenset(file.name.removesuffix(_SUFFIX) for file in _folder().iterdir() if _is_parser(file)))


@cache
def builtin_parser(name: str) -> ParserFile:
    """Return all that the file of a built-in parser says."""
    return load_parser(f"{name}{_SUFFIX}", builtin_text(name))


def builtin_text(name: str) -> str:
    """Return the file of a built-in parser as it is written."""
    return (_folder() / f"{name}{_SUFFIX}").read_text("utf-8")


def known_programs(argv: Sequence[str]) -> Known:
    """Return what the library knows of the programs that a command line runs."""
    names = running_programs(argv)
    index = _index()
    found = list(dict.fromkeys(index[name] for name in names if name in index))
    mines = any(name not in index and name not in _SILENT for name in names) or not found
    launches = any(builtin_parser(name).launches for name in found)
    return Known({name: builtin_parsers()[name] for name in found}, mines or launches)


@cache
def _index() -> Mapping[str, str]:
    """Return the parsers' names by the programs that they match; only that line of each file is read."""
    index: dict[str, str] = {}
    for file in _folder().iterdir():
        if _is_parser(file) and (found := _MATCHES.search(file.read_text("utf-8"))):
            index |= dict.fromkeys(re.findall(r"[^\s,'\"]+", found[1]), file.name.removesuffix(_SUFFIX))
    return index


def _folder() -> Traversable:
    return files("cmdtool") / "parsers"


def _is_parser(file: Traversable) -> bool:
    return file.name.endswith(_SUFFIX)
