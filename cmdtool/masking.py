"""Secrets in what a program prints: bytes in, the same bytes out with a mask wherever one of the secrets stood.

A secret is known by its text and by the forms in which programs write text: JSON, URLs, base64, a shell's quotes. What
a program makes of it beyond these, such as its reverse or a hash, is not known. Pure, and in linear time.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote, quote_plus

import re2

LEAST: Final = 6
"""Characters of the shortest secret that is masked: a shorter one would be found where it is none."""

MOST_BYTES: Final = 32 * 1024
MOST_LINES: Final = 200
"""How long a secret may be that a client gives, room for any key: each line is looked for in a dozen forms."""

MASK: Final = "[masked]"
"""What stands in place of a secret: no digit, and nothing that a bar is drawn with."""

_MASK: Final = MASK.encode()
_UNQUOTED_IN_URLS: Final = ("", "/", "!'()*", "!'()*;/?:@&=+$,#")
"""What the functions of several languages leave as it is: quote_plus, quote, encodeURIComponent, encodeURI."""

_BASE64_LINES: Final = (64, 76)
"""Characters of a line: PEM (RFC 7468, 2), MIME (RFC 2045, 6.8) and base64(1)."""


_MOST_MEMORY: Final = 64 << 20
"""Bytes that RE2 may take: with its usual 8 MiB it is slow for a few hundred lines."""


class Secrets:
    """Texts that must not leave, in all forms in which they are known; false if there is none."""

    def __init__(self, values: Iterable[str]) -> None:
        """Take the secrets; of one with several lines each line counts. What is shorter than `LEAST` is passed over."""
        forms = {form for value in values for form in _forms(value) if len(form) >= LEAST}
        self._by_head: dict[bytes, list[bytes]] = {}
        for form in sorted(forms, key=len, reverse=True):
            self._by_head.setdefault(form[:LEAST], []).append(form)
        self._beginnings = frozenset(form[:length] for form in forms for length in range(1, LEAST))
        self._longest = max(map(len, forms), default=0)
        self._head = _compile(self._by_head) if forms else None

    def __bool__(self) -> bool:
        return self._head is not None

    def mask(self, text: str) -> str:
        """Return a whole text with its secrets masked."""
        if not self:
            return text
        stream = StreamMask(self)
        data = stream.feed(text.encode("utf-8", "surrogatepass")) + stream.finish()
        return data.decode("utf-8", "surrogatepass")

    def find(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where secrets stand, by their starts; they may overlap. Of several with one start it is the longest."""
        at = 0
        while self._head and (found := self._head.search(data, at)):
            start = found.start()
            for form in self._by_head[data[start : start + LEAST]]:
                if data.startswith(form, start):
                    yield start, start + len(form)
                    break
            at = start + 1

    def open_end(self, data: bytes) -> int:
        """Return from where on `data` is the beginning of a secret that may go on; its length if it is of none."""
        at = max(len(data) - self._longest + 1, 0)
        while self._head and (found := self._head.search(data, at)):
            start = found.start()
            length = len(data) - start
            for form in self._by_head[data[start : start + LEAST]]:
                if len(form) > length and data.endswith(form[:length]):
                    return int(start)
            at = start + 1
        lengths = range(min(LEAST - 1, len(data)), 0, -1)
        return len(data) - next((length for length in lengths if data[-length:] in self._beginnings), 0)


NO_SECRETS: Final = Secrets(())


class StreamMask:
    """Masks one stream as it comes; any blocks give the same bytes.

    What could be the beginning of a secret is held back until it is known whether it is one.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._held = b""
        self._covered = 0
        """How much of what is held stands under a mask already given out: secrets may overlap."""

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, block: bytes) -> bytes:
        """Take the next block; return what is known to be no part of a secret, or masked."""
        if not self._secrets:
            return block
        data = self._held + block
        return self._give_out(data, self._secrets.open_end(data))

    def finish(self) -> bytes:
        """Return the rest: the stream has ended."""
        return self._give_out(self._held, len(self._held))

    def _give_out(self, data: bytes, end: int) -> bytes:
        parts = []
        told = self._covered
        for start, stop in self._secrets.find(data):
            if start >= end:
                break
            if start >= told:
                parts += [data[told:start], _MASK]
            told = max(told, stop)
        parts.append(data[told:end])
        self._held = data[end:]
        self._covered = max(told - end, 0)
        return b"".join(parts)


def is_too_short(value: str) -> bool:
    """Whether a secret is too short to be masked."""
    return len(value.strip()) < LEAST


def is_too_long(value: str) -> bool:
    """Whether looking for a secret would hold up all other calls."""
    return len(value.encode("utf-8", "surrogatepass")) > MOST_BYTES or len(value.splitlines()) > MOST_LINES


def named(globs: Iterable[str], environ: Iterable[str]) -> list[str]:
    """Return the names among `environ` that one of the globs stands for."""
    patterns = list(globs)
    return [name for name in environ if any(fnmatchcase(name, glob) for glob in patterns)]


def _compile(heads: Iterable[bytes]) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are
    options.log_errors = False  # it would go to standard error, which nobody may be reading
    options.max_mem = _MOST_MEMORY
    return re2.compile(b"|".join(b"".join(b"\\x%02x" % byte for byte in head) for head in heads), options)


def _forms(value: str) -> Iterator[bytes]:
    """Yield the forms of a secret."""
    for text in {value, value.strip(), *map(str.strip, value.splitlines())}:
        if is_too_short(text):
            continue
        raw = text.encode("utf-8", "surrogateescape")  # variables may be any bytes
        yield raw
        yield text.replace("'", r"'\''").encode("utf-8", "surrogateescape")  # as `set -x` shows it
        yield from _json_forms(text)
        yield from _url_forms(raw)
        yield from _base64_forms(raw)


def _json_forms(text: str) -> Iterator[bytes]:
    for is_ascii in (False, True):
        form = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        for_html = re.sub("[<>&]", lambda match: rf"\u{ord(match[0]):04x}", form)  # Go's habit
        for each in (form, for_html, form.replace("/", r"\/")):
            yield each.encode("utf-8", "surrogateescape")


def _url_forms(raw: bytes) -> Iterator[bytes]:
    for form in (quote_plus(raw), *(quote(raw, safe=safe) for safe in _UNQUOTED_IN_URLS)):
        yield form.encode()
        yield re.sub("%..", lambda match: match[0].lower(), form).encode()


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """Yield base64 of the whole, and what of it is the same whatever stands around it (RFC 4648, 4 and 5)."""
    forms = []
    for text in (raw, raw + b"\n"):  # `echo` ends it with a line feed
        whole = base64.b64encode(text).rstrip(b"=")
        forms += [
            whole[at : at + width] for width in (len(whole), *_BASE64_LINES) for at in range(0, len(whole), width)
        ]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        bits = 8 * (before + len(raw))
        forms.append(encoded[-(-8 * before // 6) : bits // 6])
    for form in forms:
        yield form
        yield form.translate(bytes.maketrans(b"+/", b"-_"))
