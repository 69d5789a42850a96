"""A pattern of the manifest, compiled: RE2 on bytes, its groups by number, and a literal that every match contains.

RE2 runs in linear time on any input, and so it has no look-around and no back-references.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import re2

from cmdtool.errors import BadValue

NUMBERS: Final = frozenset({"progress", "total", "remaining", "percent", "increment"})
"""Fields that hold a number."""

FIELDS: Final = NUMBERS | {"message", "stage"}
"""Names of groups that set the state; any other name is kept for message templates."""

_UNNAMED: Final = {0: (), 1: ("percent",), 2: ("progress", "total")}
_MAX_MEMORY: Final = 8 << 20

_RARE: Final = 3
"""Bytes of a literal that is found in few other places."""

_WHOLE_TEXT: Final = re.compile(r"\\[AzQ]|\(\?[A-Za-z]*-")
"""What may mean another thing on one line of a text than on a record by itself."""

_TOKEN: Final = re.compile(
    r"""
      (?P<opaque> \\Q.*?(?:\\E|\Z) | \\x\{[^}]*\} | \\x..? | \\[pP](?:\{[^}]*\}|.) | \\[0-7]{1,3}
                | \[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\] | [.^$] | \\[A-Za-z] )
    | (?P<flags> \(\?[A-Za-z-]*\) )
    | \(\?P?<(?P<name>[^>]*)>
    | (?P<open> \( )
    | (?P<close> \) )
    | (?P<or> \| )
    | (?P<repeat> (?:[*+?]|\{(?P<least>\d*)(?:,\d*)?\})\?? )
    | \\?(?P<character> . )
    """,
    re.VERBOSE | re.DOTALL,
)

_NO_BACK_REFERENCE: Final = "RE2 has no back-references"
_WRITE_OUT: Final = "write out what the group would match again"
_SKIP: Final = "use a rule with `skip: true` before this one for the records to leave out"
_EXPLAINED: Final = (
    ("missing ):", "a `(` is never closed", r"a literal parenthesis is written `\(`"),
    ("unexpected ):", "a `)` closes nothing", r"a literal parenthesis is written `\)`"),
    ("missing ]:", "a `[` is never closed", r"a literal bracket is written `\[`"),
    ("trailing \\", "it ends in a single backslash", r"a literal backslash is written `\\`"),
    ("invalid UTF-8", "it is not valid Unicode", ""),
    ("invalid named capture group:", "a group's name is not closed or not a name", "write `(?P<name>...)`"),
    ("invalid repetition size:", "a repetition is out of bounds", "at most 1000 repetitions are allowed"),
    (
        "no argument for repetition operator:",
        "nothing stands before a `*`, `+` or `?`",
        r"a literal one is written `\*`",
    ),
    ("bad repetition operator:", "a repetition is repeated", r"a literal `+` or `*` is written `\+` or `\*`"),
    ("invalid character class range:", "a range in `[...]` runs backwards", r"a literal `-` is written `\-`"),
    ("pattern too large", "it is too large", "use smaller repetitions"),
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; unnamed groups have got their fields' names."""

    text: str
    regexp: Any
    groups: tuple[tuple[str, int], ...]
    """Names and numbers of the groups, in order."""
    literal: bytes
    """What stands in every record that matches; empty if nothing certain is known."""
    lines: Any
    """Where `literal` is too short to be rare: the pattern for a whole text at once, if there can be one."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.groups)

    def may_match_in(self, text: bytes) -> bool:
        """Whether a line of `text` may match; a fast pass in C where it says no."""
        return self.literal in text and (self.lines is None or self.lines.search(text) is not None)

    def matches(self, record: bytes) -> Iterator[Any]:
        """Iterate over the matches in `record`, from left to right."""
        if self.literal in record:
            yield from self.regexp.finditer(record)


def compile_search(text: str) -> Any:
    """Return `text` compiled for searching many lines at once; groups mean nothing.

    Raises:
        BadValue: RE2 cannot compile it.
    """
    try:
        return _compile(f"(?m:{text})")
    except re2.error as exc:
        raise _explain(exc) from exc


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """Return `text` compiled.

    Raises:
        BadValue: RE2 cannot compile it, or its groups make no sense: too many unnamed ones, a name twice, a name
            that is nearly a field's.
    """
    literal = _required_literal(text).encode(errors="replace")
    needs_lines = len(literal) < _RARE and not _WHOLE_TEXT.search(text)
    try:
        regexp = _compile(text)
        lines = _compile(f"(?m:{text})") if needs_lines else None
    except re2.error as exc:
        raise _explain(exc) from exc
    names = {number: name.decode() for name, number in regexp.groupindex.items()}
    _check_names(text)
    unnamed = [number for number in range(1, regexp.groups + 1) if number not in names]
    _check_unnamed(len(unnamed), sorted(NUMBERS.intersection(names.values())))
    names.update(zip(unnamed, _UNNAMED[len(unnamed)], strict=True))
    groups = tuple((names[number], number) for number in sorted(names))
    return Pattern(text, regexp, groups, literal, lines)


def _compile(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        encoded = text.encode()
    except UnicodeEncodeError as exc:
        raise BadValue("not a valid pattern: it is not valid Unicode") from exc
    return re2.compile(encoded, options)


def _explain(error: Exception) -> BadValue:
    cause = error.args[0] if error.args else ""
    said = cause.decode(errors="replace") if isinstance(cause, bytes) else str(cause)
    problem, _, part = said.partition(": ")
    if problem == "invalid perl operator":
        if re.match(r"\(\?<?[=!]", part):
            return _invalid("RE2 has no look-around", _SKIP)
        if part == "(?P":
            return _invalid(_NO_BACK_REFERENCE, _WRITE_OUT)
        return _invalid(f"RE2 does not know `{part}`", "a group that is not read is written `(?:...)`")
    if problem == "invalid escape sequence":
        if re.match(r"\\[1-9]", part):
            return _invalid(_NO_BACK_REFERENCE, _WRITE_OUT)
        hint = r"the end of a record is `$`, a literal backslash is written `\\`"
        return _invalid(f"RE2 does not know `{part}`", hint)
    for start, message, hint in _EXPLAINED:
        if said.startswith(start):
            return _invalid(message, hint)
    return _invalid(problem, "")


def _invalid(message: str, hint: str) -> BadValue:
    return BadValue(f"not a valid pattern: {message}", hint)


def _check_names(text: str) -> None:
    """RE2 passes duplicate names in silence and keeps the first; a field misspelt would never be set."""
    seen: set[str] = set()
    for token in _TOKEN.finditer(text):
        name = token["name"]
        if name is None:
            continue
        if name in seen:
            raise BadValue(
                f"two groups are named `{name}`", "use one rule for each, or join them with `|` in one group"
            )
        seen.add(name)
        near = difflib.get_close_matches(name.casefold(), FIELDS, n=1, cutoff=0.85)
        if name not in FIELDS and near:
            raise BadValue(f"`{name}` is not a field, but nearly one", f"did you mean `{near[0]}`?")


def _check_unnamed(count: int, named: list[str]) -> None:
    if count > max(_UNNAMED):
        raise BadValue(
            f"{count} unnamed groups: one is a percentage, two are progress and total",
            "name them, `(?P<progress>...)`; a group that is not read is written `(?:...)`",
        )
    if count and named:
        raise BadValue(
            f"an unnamed group beside `{named[0]}`",
            "name every group that is read; one that is not is written `(?:...)`",
        )


def _required_literal(text: str) -> str:
    """Return the longest text that stands in every match of pattern `text`, or nothing where that is not plain.

    Groups are not looked into, and a pattern with flags or alternatives has none: too short a literal costs time, a
    wrong one would cost readings.
    """
    runs = [""]
    depth = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "flags" or (kind == "or" and depth == 0):
            return ""
        if kind == "close":
            depth -= 1
        elif kind in {"open", "name"}:
            depth += 1
        if depth or kind != "character":
            if kind == "repeat" and depth == 0 and not token[0].startswith("+") and not int(token["least"] or 0):
                runs[-1] = runs[-1][:-1]
            runs.append("")
        else:
            runs[-1] += token["character"]
    return max(runs, key=len)
