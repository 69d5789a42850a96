"""Ends what a killed server leaves behind: a small process beside it, which costs a call one write to memory.

The server notes the runs that go on in a file that has no name, and in another one, now and then, the orphans that it
has adopted, of which some show nothing of their run. It holds one end of a pipe. When it has gone, however that came,
the pipe tells the keeper, which reads the files and ends what the runs have left; mostly nothing.
"""

import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cmdtool.trees import machine
from cmdtool.trees.entry import Entry
from cmdtool.trees.tree import Tree

GRACE: Final = 1.0
"""Seconds from SIGTERM to SIGKILL when the server is gone."""

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Blocked in the keeper from its first moment: whoever ends the server with its whole family needs the keeper too."""

_PATIENCE: Final = 20.0
_ID: Final = 16
_FREE: Final = bytes(_ID)
_ORPHAN: Final = struct.Struct("=qq")
"""Its pid and when it started."""

_ROOT: Final = str(Path(__file__).parents[2])
_START: Final = "import sys; sys.path.append(sys.argv[1]); from cmdtool.trees.keeper import main; main()"


class Keeper:
    """The server's side of it. The process is started with this object, and anew with a run if somebody killed it."""

    def __init__(self) -> None:
        self._register = machine.memory_file()
        self._adopted = machine.memory_file()
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def add(self, run_id: str) -> None:
        """Answer for a run from now on; before its command is started, so that there is no gap."""
        if self._process.poll() is not None:
            lifeline = self._lifeline
            self._start()
            os.close(lifeline)
        slot = self._free.pop() if self._free else len(self._slots)
        self._slots[run_id] = slot
        os.pwrite(self._register.fileno(), bytes.fromhex(run_id), slot * _ID)

    def remove(self, run_id: str) -> None:
        """Answer for a run no longer: it has ended, or goes on because it may."""
        slot = self._slots.pop(run_id)
        self._free.append(slot)
        os.pwrite(self._register.fileno(), _FREE, slot * _ID)

    def adopt(self, orphans: Iterable[Entry]) -> None:
        """Answer for these orphans, too, and no longer for those that it was told of before."""
        data = b"".join(_ORPHAN.pack(orphan.pid, orphan.started) for orphan in orphans)
        os.pwrite(self._adopted.fileno(), data, 0)
        os.ftruncate(self._adopted.fileno(), len(data))

    def close(self) -> None:
        """End the process; there is nothing left that it would have to do."""
        self._process.kill()
        self._process.wait()
        os.close(self._lifeline)
        self._register.close()
        self._adopted.close()

    def _start(self) -> None:
        files = self._register.fileno(), self._adopted.fileno()
        ours, self._lifeline = os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    *(["-S"] if sys.platform == "linux" else []),
                    "-c",
                    _START,
                    _ROOT,
                    *map(str, files),
                ],
                cwd="/",
                env={},
                stdin=ours,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=files,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(ours)


def main() -> None:
    """Wait for the end of the server, and end what it has left."""
    lifeline = select.poll()
    lifeline.register(sys.stdin, 0)  # the end of the pipe is told unasked
    lifeline.poll()
    register, adopted = map(_contents, sys.argv[2:])
    tree = Tree(record.hex() for record in _records(register) if record != _FREE)
    tree.claim(_orphans(adopted))
    if tree:
        end(tree)


def end(tree: Tree) -> None:
    """End all of a tree: SIGTERM, SIGCONT, and after `GRACE` SIGKILL."""
    tree.send(tree.look(), signal.SIGTERM, signal.SIGCONT)
    deadline = time.monotonic() + GRACE
    while tree.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    tree.kill(_PATIENCE)


def _contents(number: str) -> bytes:
    with open(int(number), "rb") as file:
        return file.read()


def _orphans(data: bytes) -> Iterator[Entry]:
    """Yield those that are still the processes they were."""
    for pid, started in _ORPHAN.iter_unpack(data):
        entry = machine.read_entry(pid)
        if entry and entry.started == started:
            yield entry


def _records(data: bytes) -> list[bytes]:
    return [data[at : at + _ID] for at in range(0, len(data), _ID)]
