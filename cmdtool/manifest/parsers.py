"""A progress that names a parser -> one that holds its rules."""

from collections.abc import Mapping
from functools import reduce
from typing import Final

from cmdtool.errors import BadValue
from cmdtool.manifest.nodes import did_you_mean
from cmdtool.model import AUTO, NONE, Progress, ProgressSpec

_LONGEST_CHAIN: Final = 8


class Parsers:
    """The parsers that a file can name: its own, and behind them the built-in ones."""

    def __init__(self, own: Mapping[str, ProgressSpec | None], builtin: Mapping[str, ProgressSpec]) -> None:
        """A parser of the file's own is None if it cannot be used."""
        self._own = dict(own)
        self._builtin = builtin

    def resolve(self, spec: ProgressSpec, name: str | None = None) -> Progress | None:
        """Return `spec` with the rules of its parser behind its own, and what else it does not say itself.

        Args:
            spec: what a tool or a parser says.
            name: the parser's, where `spec` is one of the file's own. Its own name there is the built-in parser's.

        Returns:
            None where a parser cannot be used and that has been said already.

        Raises:
            BadValue: there is no such parser, or it leads back to itself.
        """
        chain, names = [spec], [name] if name else []
        while (wanted := chain[-1].parser) not in (None, NONE, AUTO):
            assert wanted is not None
            try:
                found = self._find(wanted, names)
            except BadValue:
                self._own.update(dict.fromkeys(names))  # so that whoever names one of them hears nothing more
                raise
            if found is None:
                return None
            names.append(wanted)
            chain.append(found)
        merged = reduce(lambda parser, own: _merge(own, parser), reversed(chain))
        detects = wanted == AUTO or (wanted is None and not merged.rules)
        parser = AUTO if merged.parser is None and detects else merged.parser
        return as_progress(merged, parser=parser, detects=detects)

    def builtin_name(self, spec: ProgressSpec) -> str | None:
        """Return the built-in parser that `spec`, which can be resolved, leads to."""
        name, seen = spec.parser, set[str]()
        while name in self._own and name not in seen:
            seen.add(name)
            own = self._own[name]
            name = own.parser if own else None
        return name if name in self._builtin else None

    def _find(self, name: str, names: list[str]) -> ProgressSpec | None:
        """Return the parser `name`, to which `names` have led."""
        if len(names) == _LONGEST_CHAIN:
            raise BadValue(f"more than {_LONGEST_CHAIN} parsers lead to one another", "write the rules out")
        if name in self._own and name not in names:
            return self._own[name]
        if name in self._builtin and name not in names[:-1]:
            return self._builtin[name]
        if name in names:
            raise BadValue(f"the parser leads back to itself: {' → '.join([*names, name])}")
        hint = did_you_mean(name, [*self._own, *self._builtin, AUTO, NONE])
        raise BadValue(f"there is no parser `{name}`", hint)


def _merge(own: ProgressSpec, parser: ProgressSpec) -> ProgressSpec:
    inherited = {key: getattr(parser, key) for key in parser.model_fields_set - own.model_fields_set}
    return own.model_copy(update={**inherited, "rules": (*own.rules, *parser.rules), "parser": own.parser})


def as_progress(spec: ProgressSpec, **changes: object) -> Progress:
    """Return a progress, as a manifest writes it, as one that is complete."""
    keys = {key: getattr(spec, key) for key in ProgressSpec.model_fields}
    return Progress.model_construct(None, **{**keys, **changes})
