"""`cmdtool run -- COMMAND` with real programs and real data: the bar says what the program printed.

There is no manifest and, but for git, no parser. What a program prints on standard error, where the bar is, is kept by
a stand-in for it, earlier in PATH, that runs the real one. The programs are slowed down, so that there is something to
see.
"""

import contextlib
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from tests.package_index import WHEEL, serving_wheel

SECONDS = 2.5
"""About how long each program runs."""

SIZE = 16_000_000
"""What dd copies."""

BAR = r"^{name} [━╸╺]+ +(?:(?P<percent>\d+)%(?: [\d,.]+/[\d,.]+)?|(?P<count>[\d,]+)) +\d+:\d\d:\d\d "
LINE = r"{name}: +(?:(?P<percent>\d+)%|(?P<count>[\d,]+))"
"""A plain line; it may follow what the program has not ended with a line end."""

Read = Callable[[str], set[int]]


@dataclass(frozen=True)
class Command:
    """What to run, and what its output stands for."""

    words: list[str]
    printed: Read
    """Reads the percentages, cut to whole ones, or the counts that the output tells."""
    options: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return os.path.basename(self.words[0])


@dataclass(frozen=True)
class Shown:
    """What `cmdtool run` showed of one run."""

    percents: list[int]
    counts: list[int]
    """Where there is no total."""
    lines: int
    screen: str
    """Standard error, without escape sequences."""
    output: str
    """What the program printed."""
    seconds: float

    def assert_rises_to(self, end: int, printed: set[int]) -> None:
        """Several different values, each of them printed; what is complete before the exit stands at 99 %."""
        values = self.percents or self.counts
        assert all(before <= after for before, after in pairwise(values)), values
        assert len(set(values)) >= 3, self.screen
        assert values[-1] == end
        almost = {99} if 100 in printed else set()
        assert set(values) <= printed | {end} | almost, (values, sorted(printed))


class Machine:
    """A folder with data, and the programs that work on it."""

    def __init__(self, folder: Path, index: str, require: Callable[[str], None]) -> None:
        self.folder = folder
        self.index = index
        self.require = require
        self._stand_ins = folder / "bin"
        self._stand_ins.mkdir()
        self._kept = folder / "kept"

    def keep(self, program: str) -> None:
        """Let what `program` prints on standard error be kept; it ends when all of that has been passed on."""
        self.require(program)
        run = f'{shutil.which(program)} "$@" 2>&1 >&3 3>&- | tee -a {shlex.quote(str(self._kept))} >&2 3>&-'
        self.write_script(self._stand_ins / program, f"#!/bin/bash\nexec 3>&1\n{run}\nexit ${{PIPESTATUS[0]}}\n")

    def write_script(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def write_files(self, count: int, size: int) -> Path:
        source = self.folder / "source"
        source.mkdir()
        for number in range(count):
            (source / f"file{number}").write_bytes(os.urandom(size))
        return source

    def prepare(self, *words: str) -> bytes:
        return subprocess.run(
            words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
        ).stdout

    def run(self, command: Command, *, on_terminal: bool) -> Shown:
        """Run a command that must succeed."""
        env = {
            **os.environ,
            "PATH": f"{self._stand_ins}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "COLUMNS": "150",
            "LC_ALL": "C.UTF-8",
        }
        reader, writer = pty.openpty() if on_terminal else os.pipe()
        begun = time.monotonic()
        with (
            (self.folder / "stdout").open("wb") as stdout,
            subprocess.Popen(
                [sys.executable, "-m", "cmdtool", "run", *command.options, "--", *command.words],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=writer,
            ) as process,
        ):
            os.close(writer)
            data = b"".join(blocks(reader))
        seconds = time.monotonic() - begun
        screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace")).replace("\r", "\n")
        assert process.returncode == 0, screen
        pattern = (BAR if on_terminal else LINE).format(name=re.escape(command.name))
        found = [match.groupdict() for match in re.finditer(pattern, screen, re.MULTILINE)]
        return Shown(
            percents=[int(match["percent"]) for match in found if match["percent"]],
            counts=[int(match["count"].replace(",", "")) for match in found if match["count"]],
            lines=len(found),
            screen=screen,
            output="".join(
                path.read_text(errors="replace") for path in (self.folder / "stdout", self._kept) if path.exists()
            ),
            seconds=seconds,
        )


def blocks(descriptor: int) -> Iterator[bytes]:
    """Read until nobody has the other end open."""
    with contextlib.suppress(OSError):  # EIO, of a terminal
        while block := os.read(descriptor, 65536):
            yield block
    os.close(descriptor)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    begun: list[float] = []

    def may_pass(fraction: float) -> bool:
        begun[:] = begun or [time.monotonic()]
        return time.monotonic() - begun[0] >= fraction * SECONDS

    with serving_wheel(tmp_path, may_pass) as url:
        yield url


@pytest.fixture
def machine(tmp_path: Path, index: str, require: Callable[[str], None]) -> Machine:
    return Machine(tmp_path, index, require)


def percentages(output: str) -> set[int]:
    return {int(percent) for percent in re.findall(r"(\d+)%", output)}


def shares(pattern: str) -> Read:
    """Return what reads a value and a total where `pattern` matches."""

    def read(output: str) -> set[int]:
        return {int(100 * float(value) / float(total) + 1e-9) for value, total in re.findall(pattern, output)}

    return read


def anything(output: str) -> set[int]:
    """What it prints goes to a terminal of its own, and is not kept."""
    return set(range(101))


def rsync(machine: Machine) -> Command:
    machine.require("rsync")
    machine.write_files(50, 100_000)
    limit = f"--bwlimit={int(5000 / SECONDS)}"
    return Command(["rsync", "-a", "--info=progress2", "--no-inc-recursive", limit, "source/", "copy"], percentages)


def ffmpeg(machine: Machine) -> Command:
    machine.keep("ffmpeg")
    film = ["-f", "lavfi", "-i", "testsrc=duration=10:size=160x120:rate=25"]
    machine.prepare("ffmpeg", "-v", "error", *film, "-c:v", "mpeg4", "film.avi")

    def printed(output: str) -> set[int]:
        return {0} | {int(10 * float(clock) + 1e-9) for clock in re.findall(r"time=00:00:([\d.]+)", output)}

    words = ["ffmpeg", "-nostdin", "-y", "-readrate", str(10 / SECONDS), "-i", "film.avi", "film.mp4"]
    return Command(words, printed)


def curl(machine: Machine) -> Command:
    machine.keep("curl")

    def printed(output: str) -> set[int]:
        return {int(percent) for percent in re.findall(r"(?:^|[\r\n]) *(\d+) .*?:", output)}

    limit = str(int(5e6 / SECONDS))
    return Command(["curl", "--limit-rate", limit, "-o", "got", machine.index + WHEEL], printed)


def git(machine: Machine) -> Command:
    machine.keep("git")
    command = cloning(machine)
    command.words.insert(2, "--progress")
    return Command(command.words, phases, command.options)


def git_with_pty(machine: Machine) -> Command:
    machine.require("git")
    command = cloning(machine)
    return Command(command.words, anything, ["--pty", *command.options])


def cloning(machine: Machine) -> Command:
    machine.require("pv")
    source = machine.write_files(300, 10_000)
    machine.prepare("git", "init", "-q", "source")
    machine.prepare("git", "-C", "source", "add", ".")
    name = ["-c", "user.name=x", "-c", "user.email=x"]
    machine.prepare("git", "-C", "source", *name, "commit", "-q", "-m", "all")
    slowly = machine.folder / "slowly"
    machine.write_script(slowly, f'#!/bin/sh\ngit-upload-pack "$@" | pv -q -L {int(3e6 / SECONDS)}\n')
    words = ["git", "clone", "--no-local", "--upload-pack", str(slowly), str(source), "clone"]
    return Command(words, anything)


def phases(output: str) -> set[int]:
    """Each phase has its share of the whole, as the parser's `stages` say."""
    spans = {"Counting": (1, 5), "Compressing": (5, 15), "Receiving": (15, 75), "Resolving": (75, 90)}
    spans["Updating"] = (90, 100)
    found = {0, 1}
    for phase, done, total in re.findall(r"(\w+) (?:objects|deltas|files): +\d+% \((\d+)/(\d+)\)", output):
        start, end = spans[phase]
        found |= {start, int(start + (end - start) * int(done) / int(total) + 1e-9)}
    return found


def tar_with_pv(machine: Machine) -> Command:
    machine.keep("pv")
    return Command(["sh", "-c", packing(machine, "pv -f")], percentages)


def tar_with_pv_and_pty(machine: Machine) -> Command:
    machine.require("pv")
    return Command(["sh", "-c", packing(machine, "pv")], anything, ["--pty"])


def packing(machine: Machine, pv: str) -> str:
    machine.require("tar")
    machine.write_files(50, 100_000)
    size = len(machine.prepare("tar", "-C", "source", "-c", "."))
    return f"cd source && tar -c . | {pv} -s {size} -L {int(size / SECONDS)} -i 0.2 > ../out"


def pip(machine: Machine) -> Command:
    words = downloading(machine, "raw")
    return Command(words, shares(r"Progress (\d+) of (\d+)"))


def pip_with_pty(machine: Machine) -> Command:
    return Command(downloading(machine, "on"), shares(r"(\d[\d.]*)/(\d[\d.]*) MB"), ["--pty"])


def downloading(machine: Machine, style: str) -> list[str]:
    words = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "download"]
    words += ["--no-deps", "--no-index", "--progress-bar", style, "--dest", "downloads"]
    return [*words, "--find-links", machine.index, "big"]


def dd(machine: Machine) -> Command:
    machine.keep("dd")
    machine.require("pv")
    script = f"head -c {SIZE} /dev/zero | pv -q -L {int(SIZE / SECONDS)} | dd of=copy bs=64k status=progress"
    return Command(["sh", "-c", script], lambda output: {int(count) for count in re.findall(r"(\d+) bytes", output)})


def tqdm(machine: Machine) -> Command:
    (machine.folder / "work.py").write_text(
        "import time\n"
        "from tqdm import tqdm\n"
        "for step in tqdm(range(20), desc='working'):\n"
        f"    time.sleep({SECONDS / 20})\n"
    )
    return Command([sys.executable, "work.py"], lambda output: set(range(0, 101, 5)))


def make(machine: Machine) -> Command:
    """A build that prints what one of CMake does."""
    machine.require("make")
    machine.require("cc")
    parts = range(1, 9)
    rules = ["lib: " + " ".join(f"{part}.o" for part in parts), "\t@echo '[100%] Built target lib'"]
    for part in parts:
        (machine.folder / f"{part}.c").write_text(f"int part{part}(int x) {{ return x + {part}; }}\n")
        rules += [
            f"{part}.o: {part}.c",
            f"\t@echo '[{100 * part // 9:3}%] Building C object {part}.o'",
            f"\t@cc -c -o $@ $< && sleep {SECONDS / 4}",  # as if there were more to compile
        ]
    (machine.folder / "Makefile").write_text("\n".join(rules) + "\n")
    return Command(["make", "-j2"], percentages)


def script(machine: Machine) -> Command:
    steps = [f"echo Step {step} of 8\nsleep {SECONDS / 8}\n" for step in range(1, 9)]
    (machine.folder / "steps").write_text("".join(steps))
    return Command(["sh", "steps"], shares(r"Step (\d) of (\d)"))


def named(prepare: Callable[[Machine], Command]) -> str:
    return prepare.__name__


@pytest.mark.parametrize(
    "prepare",
    [
        *(rsync, ffmpeg, curl, git, git_with_pty, tar_with_pv, tar_with_pv_and_pty, pip, pip_with_pty),
        *(tqdm, make, script),
    ],
    ids=named,
)
def test_on_a_terminal_the_bar_rises_as_the_program_says(
    machine: Machine, prepare: Callable[[Machine], Command]
) -> None:
    command = prepare(machine)
    shown = machine.run(command, on_terminal=True)
    shown.assert_rises_to(100, command.printed(shown.output))


def test_where_there_is_no_total_the_bar_is_a_count_and_no_percentage_is_made_up(machine: Machine) -> None:
    command = dd(machine)
    shown = machine.run(command, on_terminal=True)
    assert shown.percents == []
    shown.assert_rises_to(SIZE, command.printed(shown.output))


@pytest.mark.parametrize("prepare", [rsync, ffmpeg, script], ids=named)
def test_without_a_terminal_there_is_at_most_one_plain_line_a_second(
    machine: Machine, prepare: Callable[[Machine], Command]
) -> None:
    command = prepare(machine)
    shown = machine.run(command, on_terminal=False)
    assert "━" not in shown.screen
    assert shown.lines <= shown.seconds + 2  # one at once, one at the end
    shown.assert_rises_to(100, command.printed(shown.output))
