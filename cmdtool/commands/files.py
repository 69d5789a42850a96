"""Manifest files -> a `Manifest`, for all subcommands."""

import os
import stat
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from cmdtool.errors import ArgumentError, CmdtoolError
from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, load
from cmdtool.manifest.reader import MAX_BYTES
from cmdtool.model import Manifest, Tool
from cmdtool.trust import check_trust

DEFAULT = Path("tools.yaml")


def read_manifest(paths: Sequence[Path], *, trust: bool = False) -> Manifest:
    """Read and check the files.

    Raises:
        CmdtoolError: a file cannot be read, or, without `trust`, others could have written it.
        ManifestError: the manifest has mistakes.
    """
    return load(read_files(paths, trust=trust), builtin_parsers())


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


def read_files(paths: Sequence[Path], *, trust: bool = False) -> list[Source]:
    """Return the files, `tools.yaml` of the working folder if none is given.

    Raises:
        CmdtoolError: a file cannot be read, or, without `trust`, others could have written it.
    """
    sources = []
    for path in paths or [DEFAULT]:
        text = _read(path, trust=trust)  # before its links are followed, for they may be a circle
        sources.append(Source(str(path), str(path.resolve().parent), text))
    return sources


def _read(path: Path, *, trust: bool) -> str:
    try:
        with path.open("rb") as file:
            if not trust:
                status = os.fstat(file.fileno())
                if stat.S_ISCHR(status.st_mode):  # everybody may write to most of them, and has to
                    raise CmdtoolError(f"{path}: it is a device, not a file")
                check_trust(path, status)
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CmdtoolError(f"{path}: larger than a manifest may be ({MAX_BYTES:,} bytes)")
        return data.decode("utf-8")
    except FileNotFoundError as exc:
        hint = "\nhint: name the file, or go to the folder that has a `tools.yaml`" if path == DEFAULT else ""
        raise CmdtoolError(f"{path}: there is no such file{hint}") from exc
    except OSError as exc:
        raise CmdtoolError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    except UnicodeDecodeError as exc:
        raise CmdtoolError(f"{path}: not UTF-8 (byte {exc.start})") from exc
