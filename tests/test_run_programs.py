"""`cmdtool run -- COMMAND` with real programs and real data: the bar says what the program printed.

No manifest and no parser is given. What a program prints is also kept by a stand-in for it, earlier in PATH, that runs
the real one. The programs are slowed down, so that there is something to see.
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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.package_index import WHEEL, serving_wheel

SECONDS = 2.5
"""About how long each program runs."""

Require = Callable[[str], None]
Percentages = Callable[[str], set[int]]


@dataclass(frozen=True)
class Command:
    """What to run, and how to tell what it printed."""

    words: list[str]
    printed: Percentages
    """The percentages, cut to whole ones, that its output stands for."""

    @property
    def name(self) -> str:
        return os.path.basename(self.words[0])


def percentages(pattern: str) -> Percentages:
    """Return what reads a percentage, or a value and a total, where `pattern` matches."""

    def read(output: str) -> set[int]:
        found = re.findall(pattern, output)
        pairs = [match if isinstance(match, tuple) else (match, "100") for match in found]
        return {int(100 * float(value) / float(total) + 1e-9) for value, total in pairs}

    return read


@dataclass(frozen=True)
class Bar:
    """One redraw of the bar."""

    percent: int | None
    count: int | None
    message: str


BAR = r"^{name} [━╸╺]+ +(?:(\d+)%(?: [\d,]+/[\d,]+)?|([\d,]+))? +\d+:\d\d:\d\d *(.*)$"


@dataclass(frozen=True)
class Ran:
    """What was seen of one run."""

    status: int
    stdout: str
    stderr: str
    """Of a terminal without escape sequences, each redraw a line of its own."""
    printed: str
    """What the program printed, as far as its stand-in kept it."""
    seconds: float

    def bars(self, name: str) -> list[Bar]:
        """Return the redraws that say how far it is."""
        matches = re.finditer(BAR.format(name=re.escape(name)), self.stderr, re.MULTILINE)
        found = [(match[1], match[2], match[3].strip()) for match in matches]
        return [
            Bar(int(percent) if percent else None, int(count.replace(",", "")) if count else None, message)
            for percent, count, message in found
            if percent or count
        ]


class Runner:
    """Runs `cmdtool run` in a folder, with stand-ins that keep what their programs print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stand_ins = folder / "bin"
        self.stand_ins.mkdir()
        self.log = folder / "printed"

    def keep(self, program: str) -> None:
        """Let what `program` prints on either stream be kept."""
        tee = f"tee -a {shlex.quote(str(self.log))}"
        script = self.stand_ins / program
        script.write_text(f'#!/bin/bash\nexec {shutil.which(program)} "$@" > >({tee}) 2> >({tee} >&2)\n')
        script.chmod(0o755)

    def run(self, *words: str, on_terminal: bool) -> Ran:
        env = {
            **os.environ,
            "PATH": f"{self.stand_ins}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "COLUMNS": "150",
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        controller, terminal = pty.openpty() if on_terminal else os.pipe()
        begun = time.monotonic()
        out = self.folder / "stdout"
        with (
            out.open("wb") as stdout,
            subprocess.Popen(
                [sys.executable, "-m", "cmdtool", "run", *words],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=terminal,
            ) as process,
        ):
            os.close(terminal)
            screen = b"".join(blocks(controller))
        return Ran(
            process.returncode,
            out.read_text(errors="replace"),
            re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode(errors="replace")).replace("\r", "\n"),
            self.log.read_text(errors="replace") if self.log.exists() else "",
            time.monotonic() - begun,
        )


def blocks(descriptor: int) -> Iterator[bytes]:
    """Read until nobody has the other end open."""
    with contextlib.suppress(OSError):  # EIO, of a terminal
        while block := os.read(descriptor, 65536):
            yield block
    os.close(descriptor)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    begun: list[float] = []

    def may_pass(fraction: float) -> bool:
        begun[:] = begun or [time.monotonic()]
        return time.monotonic() - begun[0] >= fraction * SECONDS

    with serving_wheel(tmp_path, may_pass) as url:
        yield url


def made_of_files(folder: Path, count: int, size: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"file{number}").write_bytes(os.urandom(size))
    return folder


PERCENT = percentages(r"(\d+)%")


def rsync(runner: Runner, index: str) -> Command:
    made_of_files(runner.folder / "source", 50, 100_000)
    limit = f"--bwlimit={int(5000 / SECONDS)}"
    words = ["rsync", "-a", "--info=progress2", "--no-inc-recursive", limit, "source/", "copy"]
    return Command(words, PERCENT)


def ffmpeg(runner: Runner, index: str) -> Command:
    film = "testsrc=duration=10:size=160x120:rate=25"
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", film, "-c:v", "mpeg4", "film.avi"]
    subprocess.run(words, cwd=runner.folder, stdin=subprocess.DEVNULL, check=True)
    words = ["ffmpeg", "-nostdin", "-y", "-readrate", str(10 / SECONDS), "-i", "film.avi", "film.mp4"]
    return Command(words, lambda output: {0} | percentages(r"time=00:00:([\d.]+)(?:)")(tenths(output)))


def tenths(output: str) -> str:
    """Write the clocks of a film of ten seconds as percentages."""
    return re.sub(r"time=00:00:([\d.]+)", lambda match: f"time=00:00:{10 * float(match[1]):.6f}", output)


def curl(runner: Runner, index: str) -> Command:
    return Command(["curl", "-o", "got", index + WHEEL], percentages(r"(?m)(?:^|\r) *(\d+) +\S+ +\d+ .*:"))


def git(runner: Runner, index: str) -> Command:
    source = made_of_files(runner.folder / "source", 300, 10_000)
    git = ["git", "-C", str(source), "-c", "user.name=x", "-c", "user.email=x", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    slowly = runner.folder / "slowly"
    slowly.write_text(f'#!/bin/sh\ngit-upload-pack "$@" | pv -q -L {int(3e6 / SECONDS)}\n')
    slowly.chmod(0o755)
    words = ["git", "clone", "--progress", "--no-local", "--upload-pack", str(slowly), str(source), "clone"]
    return Command(words, git_phases)


def git_phases(output: str) -> set[int]:
    """Each phase has its share of the whole, whose end is where the next one starts."""
    shares = {"Counting": (1, 5), "Compressing": (5, 15), "Receiving": (15, 75), "Resolving": (75, 90)}
    shares["Updating"] = (90, 100)
    found = {0, 1}
    for phase, done, total in re.findall(r"(\w+) (?:objects|deltas|files): +\d+% \((\d+)/(\d+)\)", output):
        start, end = shares[phase]
        found.add(int(start + (end - start) * int(done) / int(total) + 1e-9))
    return found


def tar_with_pv(runner: Runner, index: str, force: str = "-f ") -> Command:
    made_of_files(runner.folder / "source", 50, 100_000)
    pipe = "cd source && tar -c . | pv "
    size = len(subprocess.run(["tar", "-c", "."], cwd=runner.folder / "source", capture_output=True).stdout)
    return Command(["sh", "-c", f"{pipe}{force}-s {size} -i 0.2 -L {int(size / SECONDS)} > ../out"], PERCENT)


def pip(runner: Runner, index: str, style: str = "raw") -> Command:
    words = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "download"]
    words += ["--no-deps", "--no-index", "--progress-bar", style, "--dest", "downloads", "--find-links", index, "big"]
    return Command(words, percentages(r"Progress (\d+) of (\d+)" if style == "raw" else r"([\d.]+)/([\d.]+) MB"))


WORK = """
import time
from tqdm import tqdm
for step in tqdm(range(20), desc="working"):
    time.sleep({seconds} / 20)
"""


def tqdm(runner: Runner, index: str) -> Command:
    (runner.folder / "work.py").write_text(WORK.format(seconds=SECONDS))
    return Command([sys.executable, "work.py"], lambda output: set(range(0, 101, 5)))


def make(runner: Runner, index: str) -> Command:
    objects = [f"part{number}.o" for number in range(8)]
    lines = ["lib: " + " ".join(objects), "\t@echo '[100%] Built target lib'"]
    for number, name in enumerate(objects):
        function = f"int part{number}(int x) {{ return x + {number}; }}\n"
        (runner.folder / name.replace(".o", ".c")).write_text(function)
        lines += [
            f"{name}: {name.replace('.o', '.c')}",
            f"\t@echo '[{100 * (number + 1) // 9:3}%] Building C object {name}'",
            f"\t@cc -c -o $@ $< && sleep {SECONDS / 4}",  # as if there were more to compile
        ]
    (runner.folder / "Makefile").write_text("\n".join(lines) + "\n")
    return Command(["make", "-j2"], PERCENT)


def script(runner: Runner, index: str) -> Command:
    lines = [f"echo Step {step} of 8\nsleep {SECONDS / 8}\n" for step in range(1, 9)]
    (runner.folder / "steps").write_text("".join(lines))
    return Command(["sh", "steps"], percentages(r"Step (\d) of (8)"))


NEEDS = {git: ["git", "pv"], tar_with_pv: ["tar", "pv"], make: ["make", "cc"]}
KEPT = {"tar_with_pv": "pv"}
WITHOUT_A_PROGRAM = (pip, tqdm, script)

Prepare = Callable[[Runner, str], Command]
PROGRAMS: list[Prepare] = [rsync, ffmpeg, curl, git, tar_with_pv, pip, tqdm, make, script]


def prepare(program: Prepare, runner: Runner, index: str, require: Require) -> Command:
    for name in [] if program in WITHOUT_A_PROGRAM else NEEDS.get(program, [program.__name__]):
        require(name)
    command = program(runner, index)
    if program not in WITHOUT_A_PROGRAM:
        runner.keep(KEPT.get(program.__name__, program.__name__))
    return command


def assert_agrees(shown: list[int], printed: set[int]) -> None:
    """All that was shown before the end was printed; what was complete before the exit stands at 99 %."""
    assert set(shown) <= printed | {100} | ({99} if 100 in printed else set()), (shown, printed)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_on_a_terminal_the_bar_rises_as_the_program_says(
    runner: Runner, index: str, program: Prepare, require: Require
) -> None:
    command = prepare(program, runner, index, require)
    ran = runner.run("--", *command.words, on_terminal=True)
    shown = [bar.percent for bar in ran.bars(command.name)]
    print(*dict.fromkeys(ran.bars(command.name)), sep="\n")
    assert ran.status == 0, ran
    percents = [percent for percent in shown if percent is not None]
    assert len(percents) == len(shown), ran.stderr
    assert all(before <= after for before, after in pairwise(percents)), percents
    assert len(set(percents)) >= 4, ran.stderr
    assert percents[-1] == 100
    assert_agrees(percents, command.printed(ran.printed + ran.stdout))
