"""Numbers, sizes, durations and clock times as people write them: text in, floats out."""

import math
import re
from collections.abc import Mapping
from typing import Final

from cmdtool.errors import BadValue

_BINARY: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DECIMAL: Final = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) {0,3}(?:([kmgtp])(i?)(b?)|b(?:ytes)?)?", re.ASCII | re.IGNORECASE)
_SPAN: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[dhms])(?: (?=\d))?)+", re.ASCII)
_SPAN_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)
_CLOCK: Final = re.compile(r"(?:(\d+):)?(\d+):(\d\d(?:\.\d+)?)", re.ASCII)
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
_PLAIN: Final = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_FIRST: Final = re.compile(r"(?P<digits>\d[\d.,]*)[\w.,:]*", re.ASCII)

MAX_NUMBER_LENGTH: Final = 20
"""Characters of a printed number that are believed; more is garbage or an attack."""


def parse_number(text: str) -> float | None:
    """Return the number a program printed, or None where `text` is none.

    Reads `42`, `1,234`, `0.75`, sizes (`1.5MiB`, in bytes), clock times (`00:01:02.50`) and spans (`3m20s`),
    both in seconds. The result is finite and not negative.
    """
    text = text.strip()
    if not text or len(text) > MAX_NUMBER_LENGTH:
        return None
    if _PLAIN.fullmatch(text):
        return float(text)
    if _GROUPED.fullmatch(text):
        return float(text.replace(",", ""))
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600.0 + int(minutes) * 60.0 + float(seconds)
    if size := _SIZE.fullmatch(text):  # before spans: a bare `5m` is five megabytes
        return _bytes(size)
    return _seconds(text) if _SPAN.fullmatch(text) else None


def stage_key(name: str) -> str:
    """Return what two names of one stage have in common: outer spaces and case do not count."""
    return name.strip().casefold()


def first_number(text: str) -> float | None:
    """Return the first number in `text`, with its unit where it has one: 1.5 MiB of `1.5M ./folder`."""
    found = _FIRST.search(text)
    if found is None:
        return None
    number = parse_number(found[0].rstrip(".,:"))
    return parse_number(found["digits"].rstrip(".,")) if number is None else number


def parse_duration(value: object) -> float:
    """Return the seconds of a manifest's duration: a number, or text such as `90s` and `1h30m`.

    Raises:
        BadValue: it is neither, or not finite and above zero.
    """
    seconds = _plain_number(value)
    if isinstance(value, str):
        text = value.strip()
        if _PLAIN.fullmatch(text):
            seconds = float(text)
        elif _SPAN.fullmatch(text):
            seconds = _seconds(text)
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        raise BadValue(
            f"expected a duration, found {describe(value)}", "write a time above zero: `90`, `90s`, `30m` or `1h30m`"
        )
    return seconds


def parse_size(value: object) -> int:
    """Return the bytes of a manifest's size: a number, or text such as `64KiB`, `2G` and `10MB`.

    `K M G` and `KiB MiB GiB` are powers of 1024, `kB MB GB` of 1000.

    Raises:
        BadValue: it is neither, or not above zero.
    """
    number = _plain_number(value)
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        number = _bytes(match)
    if number is None or not math.isfinite(number) or number < 1:
        raise BadValue(f"expected a size, found {describe(value)}", "write `65536`, `64KiB` or `10MB`")
    return int(number)


def format_size(size: float) -> str:
    """Return a number of bytes as people write it, in powers of 1024: `2 GiB`, `1.5 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"


def _plain_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond what a float can be
        return math.inf


def _seconds(text: str) -> float:
    return sum(float(number) * _SECONDS[unit] for number, unit in _SPAN_PART.findall(text))


def _bytes(match: re.Match[str]) -> float:
    number, prefix, binary, byte = match.groups()
    if not prefix:
        return float(number)
    powers = _DECIMAL if byte and not binary else _BINARY
    return float(number) * powers[prefix.lower()]


def describe(value: object) -> str:
    """Return what a YAML value is, in the words of an error: "the boolean `true`", "a list"."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean `{str(value).lower()}`"
        case int() | float():
            return f"the number `{value}`"
        case str():
            return f"`{value}`"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return f"`{value}`"  # YAML makes dates of some text


def is_unquoted_hole(value: object) -> bool:
    """Whether `value` is what YAML makes of a hole without quotes: `{source}` is the mapping `{source: null}`."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value.values())) is None


def quoting_hint(value: object) -> str:
    """Return how to write what was probably meant, where text was expected and YAML gave `value`."""
    if is_unquoted_hole(value):
        assert isinstance(value, Mapping)
        return f'YAML reads this as a mapping; quote it: "{{{next(iter(value))}}}"'
    if value is None:
        return "YAML reads `~` and an empty value as null; quote it: '~'"
    return "" if isinstance(value, Mapping | list | tuple) else "quote it if it is meant as text"
