"""The machine as `argv.Resolve` sees it: its environment, its programs and its files."""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cmdtool.trust import check_trust

_MOST_BYTES: Final = 1 << 20


class LocalHost:
    """This machine. The environment is the one at the time of construction.

    With `trust`, files are read whoever could have written them.
    """

    def __init__(self, *, trust: bool = False) -> None:
        self.environ: Mapping[str, str] = dict(os.environ)
        self._trust = trust

    def which(self, program: str, path: str) -> str | None:
        """Return the absolute path of an executable regular file: `program` itself, or found in the folders of `path`.

        Relative folders of `path` are passed over: what they mean depends on where this process was started.
        """
        if "/" in program:
            return program if _is_executable(program) else None
        folders = [folder for folder in path.split(os.pathsep) if os.path.isabs(folder)]
        candidates = (os.path.join(folder, program) for folder in folders)
        return next(filter(_is_executable, candidates), None)

    def real_path(self, path: str) -> str:
        """Return `path` with all symbolic links followed; what does not exist stays as it is."""
        return os.path.realpath(path)

    def exists(self, path: str) -> bool:
        """Whether there is something at `path`."""
        return os.path.exists(path)

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder at `path`."""
        return os.path.isdir(path)

    def read_small(self, path: str) -> bytes:
        """Return what the regular file `path` holds.

        Raises:
            OSError: it cannot be read, is something else, or holds more than 1 MiB.
            CmdtoolError: others could have written it.
        """
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            if not self._trust:
                check_trust(Path(path), status, "choose variables of the command")
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return data


def _is_executable(path: str) -> bool:
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
    return is_file and os.access(path, os.X_OK)
