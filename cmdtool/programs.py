"""A command line -> the names of the programs that run: behind `env`, `nice` and `python -m`, and in a shell script.

Pure, and no shell: a script is only skimmed for the first word of each simple command, so a name that only the run of
the script would tell is not found.
"""

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"})

_WRAPPERS: Final = {
    "chronic": "", "chrt": "", "command": "", "doas": "uC", "env": "uCS", "exec": "a", "ionice": "cnpu", "nice": "n",
    "nohup": "", "numactl": "CNm", "proxychains": "f", "setsid": "", "stdbuf": "ioe", "sudo": "ugCDhprRTU",
    "systemd-run": "pu", "taskset": "", "time": "fo", "timeout": "ks", "torsocks": "", "unbuffer": "", "uvx": "p",
    "npx": "p", "pipx": "", "caffeinate": "t", "parallel-ssh": "h",
}  # fmt: skip
"""Programs that run the command that follows, and their single-letter options that take a word of their own."""

_OPERANDS: Final = {"timeout": 1, "taskset": 1, "chrt": 1}
"""Operands before the command."""

_RUNNERS: Final = {
    "uv": "run",
    "poetry": "run",
    "pipenv": "run",
    "conda": "run",
    "pdm": "run",
    "hatch": "run",
    "bundle": "exec",
}
_PYTHON: Final = re.compile(r"(?:python|pypy)(?:\d+(?:\.\d+)*)?")
_KEYWORDS: Final = frozenset(
    "! { ( if then else elif fi for while until do done case esac in function select time coproc".split()
)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_LONGEST_SCRIPT: Final = 64 * 1024
_DEEPEST: Final = 4


def running_programs(argv: Sequence[str]) -> list[str]:
    """Return the names, without folders, of the programs that `argv` runs, in order and each once."""
    return list(dict.fromkeys(_programs(list(argv), _DEEPEST)))


def _programs(words: list[str], depth: int) -> Iterator[str]:
    while words and depth:
        name = posixpath.basename(words[0])
        if name in _SHELLS:
            script = _script(words[1:])
            if script is None:
                yield name
            else:
                yield from _in_script(script, depth - 1)
            return
        if _PYTHON.fullmatch(name):
            yield from _module(words[1:], name)
            return
        if name in _RUNNERS and words[1:2] == [_RUNNERS[name]]:
            words = _operands(words[2:], "")
        elif name in _WRAPPERS:
            words = _operands(words[1:], _WRAPPERS[name])[_OPERANDS.get(name, 0) :]
        else:
            yield name
            return


def _operands(words: list[str], with_value: str) -> list[str]:
    """Return what follows the options and the assignments of a wrapper."""
    while words:
        word = words[0]
        if word == "--":
            return words[1:]
        takes_next = len(word) == 2 and word[0] == "-" and word[1] in with_value
        if not (word.startswith("-") or _ASSIGNMENT.fullmatch(word)):
            return words
        words = words[2 if takes_next else 1 :]
    return []


def _script(words: Sequence[str]) -> str | None:
    """Return the text of `sh -c TEXT`, None where the shell runs a file."""
    for place, word in enumerate(words):
        if not word.startswith("-") and word != "pipefail":
            return None
        if re.fullmatch(r"-[a-z]*c[a-z]*", word):
            rest = [other for other in words[place + 1 :] if not other.startswith("-") and other != "pipefail"]
            return rest[0] if rest else None
    return None


def _module(words: Sequence[str], name: str) -> Iterator[str]:
    """`python -m NAME` runs NAME, `python FILE` the file."""
    for place, word in enumerate(words):
        if word == "-m":
            yield from (module.partition(".")[0] for module in words[place + 1 : place + 2])
            return
        if word == "-c":
            break
        if not word.startswith("-"):
            yield posixpath.basename(word)
            return
    yield name


def _in_script(text: str, depth: int) -> Iterator[str]:
    for words in simple_commands(text):
        yield from _programs(words, depth)


def simple_commands(text: str) -> list[list[str]]:
    """Return the words of each simple command of a shell script, without assignments, redirections and keywords.

    A script that cannot be split, for a quote is never closed, has none.
    """
    lexer = shlex.shlex(text[:_LONGEST_SCRIPT].replace("\\\n", " "), posix=True, punctuation_chars="|&;<>()\n")
    lexer.whitespace = " \t\r"
    lexer.commenters = "#"
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    try:
        tokens = list(lexer)
    except ValueError:
        return []
    skips = False
    for token in tokens:
        if set(token) <= set("<>&") and set(token) & set("<>"):
            skips = True  # the word that follows is a file, a number before it is a descriptor
            if commands[-1] and commands[-1][-1].isdigit():
                commands[-1].pop()
        elif set(token) <= set("|&;()\n"):
            commands.append([])
            skips = False
        elif skips:
            skips = False
        elif commands[-1] or not (token in _KEYWORDS or _ASSIGNMENT.fullmatch(token)):
            commands[-1].append(token)
    return [command for command in commands if command]
