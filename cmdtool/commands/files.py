"""Manifest files -> a `Manifest`, for all subcommands."""

from collections.abc import Sequence
from pathlib import Path

from cmdtool.errors import CmdtoolError
from cmdtool.library import builtin_parsers
from cmdtool.manifest import load
from cmdtool.model import Manifest

DEFAULT = Path("tools.yaml")


class FileError(CmdtoolError):
    """A manifest file cannot be read."""


def read_manifest(paths: Sequence[Path]) -> Manifest:
    """Read and check the files, `tools.yaml` of the working folder if none is given.

    Raises:
        FileError: a file cannot be read.
        ManifestError: the manifest has mistakes.
    """
    return load(read_files(paths), builtin_parsers())


def read_files(paths: Sequence[Path]) -> list[tuple[str, str, str]]:
    """Return display name, absolute folder and text of each file.

    Raises:
        FileError: a file cannot be read.
    """
    return [(str(path), str(path.resolve().parent), _read(path)) for path in paths or [DEFAULT]]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as exc:
        hint = "\nhint: name the file, or go to the folder that has a `tools.yaml`" if path == DEFAULT else ""
        raise FileError(f"{path}: there is no such file{hint}") from exc
    except OSError as exc:
        raise FileError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    except UnicodeDecodeError as exc:
        raise FileError(f"{path}: not UTF-8 (byte {exc.start})") from exc
