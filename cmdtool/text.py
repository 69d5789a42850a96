"""What may be shown: program output and messages without escape sequences, control and invisible characters.

Pure text in, pure text out, in linear time; nothing here knows where the text goes.
"""

import re
from typing import Final

_STRING_END: Final = r"(?:\x07|\x1b\\|\x9c)"
_NO_STRING: Final = r"\x07\x1b\x90\x98\x9c-\x9f"  # without what opens another, so that no search is quadratic
_ESCAPES: Final = re.compile(
    rf"""
      (?:\x1b\[|\x9b)[0-?]*[ -/]*(?P<final>[@-~]?)                 # CSI
    | (?:\x1b\]|\x9d)[^{_NO_STRING}\r\n]*{_STRING_END}             # OSC: titles, links
    | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^{_NO_STRING}]*{_STRING_END}   # DCS, SOS, PM, APC
    | \x1b[\ -/]*[0-~]?                                            # charsets, two-byte and lone escapes
    """,
    re.VERBOSE,
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_INVISIBLE: Final = re.compile(
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def clean(text: str) -> str:
    """Return `text` as a terminal would have left it, fit to be shown: line breaks and tabs are the only controls.

    Escape sequences go, a redrawn line keeps its last state, backspaces take back what they erase, and characters
    that hide or reorder text are written out, as `<U+202E>`. Joiners stay: scripts and emoji need them.
    """
    text = _ESCAPES.sub(lambda match: " " if match["final"] == "C" else "", text)
    text = "\n".join(_last_state(line) for line in text.split("\n"))
    text = _CONTROLS.sub("", text)
    return _INVISIBLE.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)


def clean_line(text: str, limit: int = 200) -> str:
    """Return `text` cleaned, on one line, without outer whitespace, and cut with `…` to at most `limit` characters."""
    lines = (line.strip() for line in clean(text[: limit * 10]).splitlines())  # of megabytes only the start is shown
    line = " ".join(filter(None, lines)).replace("\t", " ")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _last_state(line: str) -> str:
    line = line.rstrip("\r").rpartition("\r")[2]
    if "\b" not in line:
        return line
    shown: list[str] = []
    for character in line:
        if character != "\b":
            shown.append(character)
        elif shown:
            shown.pop()
    return "".join(shown)
