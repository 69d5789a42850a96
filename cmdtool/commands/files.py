"""Manifest files -> a `Manifest`, for all subcommands."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from cmdtool.errors import ArgumentError, CmdtoolError
from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, load
from cmdtool.model import Manifest, Tool

DEFAULT = Path("tools.yaml")


def read_manifest(paths: Sequence[Path]) -> Manifest:
    """Read and check the files.

    Raises:
        CmdtoolError: a file cannot be read.
        ManifestError: the manifest has mistakes.
    """
    return load(read_files(paths), builtin_parsers())


def find_tool(tools: Mapping[str, Tool], name: str, hint: str = "") -> Tool:
    """Return the tool of that name.

    Raises:
        ArgumentError: there is none; `hint` is one more for whoever wrote it.
    """
    if name in tools:
        return tools[name]
    near = get_close_matches(name, tools, n=1)
    known = f"did you mean `{near[0]}`?" if near else f"the tools are {', '.join(tools)}"
    hints = "".join(f"\nhint: {each}" for each in (known, hint) if each)
    raise ArgumentError(f"there is no tool `{name}`{hints}")


def read_files(paths: Sequence[Path]) -> list[Source]:
    """Return the files, `tools.yaml` of the working folder if none is given.

    Raises:
        CmdtoolError: a file cannot be read.
    """
    return [Source(str(path), str(path.resolve().parent), _read(path)) for path in paths or [DEFAULT]]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as exc:
        hint = "\nhint: name the file, or go to the folder that has a `tools.yaml`" if path == DEFAULT else ""
        raise CmdtoolError(f"{path}: there is no such file{hint}") from exc
    except OSError as exc:
        raise CmdtoolError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    except UnicodeDecodeError as exc:
        raise CmdtoolError(f"{path}: not UTF-8 (byte {exc.start})") from exc
