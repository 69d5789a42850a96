"""Reads the manifest again: when its files change, or when told to. A broken one changes nothing."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import anyio
from anyio.to_thread import run_sync
from watchfiles import awatch

from cmdtool.errors import CmdtoolError
from cmdtool.model import Manifest
from cmdtool.server.catalogue import Catalogue

logger = logging.getLogger(__name__)

_DEBOUNCE: Final = 200
"""Milliseconds in which several changes count as one: editors write a file in steps."""

_LOOK_ANYWAY: Final = 2000
"""Milliseconds after which the files are looked at in any case: a folder may have been replaced."""


class Reloader:
    """Reloads what `read` reads from `paths`; make it before the first reading, so that no change is missed."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], Manifest]) -> None:
        self._paths = paths
        self._read = read
        self._seen = self._state()
        self._turn = anyio.Lock()

    async def reload(self, catalogue: Catalogue) -> bool:
        """Read, check and swap, or say in one message what is wrong and keep the old manifest; return if it is new.

        Calls go on meanwhile: the reading is done in a thread.
        """
        async with self._turn:
            try:
                manifest = await run_sync(self._read)
            except CmdtoolError as exc:
                logger.error("the manifest was not reloaded, the old one stays:\n%s", exc)
                return False
            except Exception:  # whatever a file holds must not end the calls that go on
                logger.exception("the manifest was not reloaded, the old one stays; please report this")
                return False
            await catalogue.replace(manifest)
            return True

    async def watch(self, catalogue: Catalogue) -> None:
        """Reload at each change, until cancelled. Folders are watched, for editors replace files."""
        folders = {folder for path in self._paths for folder in (path.absolute().parent, path.resolve().parent)}
        changes = awatch(
            *folders,
            watch_filter=None,
            debounce=_DEBOUNCE,
            rust_timeout=_LOOK_ANYWAY,
            yield_on_timeout=True,
            recursive=False,
        )
        try:
            async for _ in changes:
                if (state := self._state()) != self._seen:
                    self._seen = state
                    await self.reload(catalogue)
        except (OSError, RuntimeError) as exc:  # say, the limit of inotify(7)
            logger.error("the manifest is not watched: %s", exc)

    def _state(self) -> list[tuple[int, ...] | None]:
        return [_status(path) for path in self._paths]


def _status(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a file, and with who may write it."""
    try:
        found, folder = os.stat(path), os.stat(path.absolute().parent)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, folder.st_mode, folder.st_uid
