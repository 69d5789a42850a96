"""The built-in parsers: the YAML files in `cmdtool/parsers/`, each read when it is first asked for."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from cmdtool.manifest import load_parser
from cmdtool.model import ParserFile, ProgressSpec

_SUFFIX = ".yaml"


class _Library(Mapping[str, ProgressSpec]):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> ProgressSpec:
        if name not in self._names:
            raise KeyError(name)
        parser = builtin_parser(name)
        return ProgressSpec(rules=parser.rules, stages=parser.stages)

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


def _folder() -> Traversable:
    return files("cmdtool") / "parsers"


def _is_parser(file: Traversable) -> bool:
    return file.name.endswith(_SUFFIX)
