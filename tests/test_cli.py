"""The command line as a process: its output, its errors and its exit status."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.recordings.score import FOLDER

CMDTOOL = [sys.executable, "-m", "cmdtool"]

MANIFEST = r"""
tools:
  greet:
    description: Say hello.
    arguments:
      name: {type: string}
      times: {type: integer, default: 1}
      tags: {type: array, items: {type: string}, optional: true}
      loud: {type: boolean}
    command: [printf, '%s\n', '--name={name}', 'times={times}', 'tag={tags}', {if: loud, then: LOUD}]
  upper: {command: tr a-z A-Z, arguments: {text: {type: string}}, stdin: '{text}'}
  where: {command: pwd}
  cat: {command: 'cat -- {file}', arguments: {file: {type: string, format: path}}}
  slow: {shell: 'for i in 1 2 3 4; do echo "$i of 4"; sleep 0.2; done', progress: '(\d) of (\d)'}
  fail: {shell: 'echo before; echo oops >&2; exit 7'}
  killed: {shell: 'kill -TERM $$'}
  hang: {shell: 'echo started; sleep 300', timeout: 300ms}
  wait: {shell: 'echo started; sleep 300'}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    return tmp_path


def cmdtool(
    *words: str, cwd: Path, stdin: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CMDTOOL, *words],
        cwd=cwd,
        input=stdin,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100", **(env or {})},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_run_prints_output_and_passes_text_json_and_repeated_values(folder: Path) -> None:
    ran = cmdtool("run", "greet", "name=a b", "times=2", "tags=x", "tags=y", "loud=true", cwd=folder)
    assert ran.stdout == "--name=a b\ntimes=2\ntag=x\ntag=y\nLOUD\n"
    assert ran.returncode == 0


def test_values_are_read_from_files_and_standard_input(folder: Path) -> None:
    (folder / "in.txt").write_text("from file")
    assert cmdtool("run", "upper", "text=@in.txt", cwd=folder).stdout == "FROM FILE"
    assert cmdtool("run", "upper", "text=@-", cwd=folder, stdin="from stdin").stdout == "FROM STDIN"
    assert cmdtool("run", "upper", "text=@@me", cwd=folder).stdout == "@ME"


def test_relative_paths_start_from_the_callers_folder(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "note").write_text("found")
    assert cmdtool("run", "-f", "../tools.yaml", "cat", "file=note", cwd=elsewhere).stdout == "found"
    assert cmdtool("run", "-f", "../tools.yaml", "where", cwd=elsewhere).stdout == f"{folder}\n"


@pytest.mark.parametrize(
    ("tool", "status", "words"),
    [("fail", 7, "exit status 7"), ("killed", 143, "killed by SIGTERM"), ("hang", 124, "timed out")],
)
def test_the_exit_status_is_the_commands(folder: Path, tool: str, status: int, words: str) -> None:
    ran = cmdtool("run", tool, cwd=folder)
    assert ran.returncode == status
    assert words in ran.stderr


def test_output_and_errors_keep_their_streams(folder: Path) -> None:
    ran = cmdtool("run", "fail", cwd=folder)
    assert ran.stdout == "before\n"
    assert ran.stderr.startswith("oops\n")


def test_the_result_as_json(folder: Path) -> None:
    ran = cmdtool("run", "--json", "fail", cwd=folder)
    result = json.loads(ran.stdout)
    assert result.pop("duration") < 10
    assert result == {
        "tool": "fail",
        "success": False,
        "outcome": "exit status 7",
        "exit_status": 7,
        "signal": None,
        "stdout": "before\n",
        "stderr": "oops\n",
        "bytes_left_out": 0,
    }


def test_a_dry_run_shows_exactly_what_would_run_and_runs_nothing(folder: Path) -> None:
    ran = cmdtool("run", "--dry-run", "--json", "greet", "name=$(x) y", cwd=folder, env={"SECRETISH": "no"})
    shown = json.loads(ran.stdout)
    assert shown["argv"] == ["printf", "%s\\n", "--name=$(x) y", "times=1"]
    assert shown["cwd"] == str(folder)
    assert os.path.isabs(shown["program"])
    assert "PATH" in shown["env"]
    assert "SECRETISH" not in shown["env"]
    assert (
        "argv:    printf '%s\\n' '--name=$(x) y' times=1"
        in cmdtool("run", "--dry-run", "greet", "name=$(x) y", cwd=folder).stdout
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "gret", "name=x"], "there is no tool `gret`"),
        (["run", "greet"], "`name`"),
        (["run", "greet", "name"], "`name`: arguments are written `name=value`"),
        (["run", "greet", "name=x", "times=many"], "`times`: expected integer as JSON, found `many`"),
        (["run", "greet", "name=x", "name=y"], "`name` is given twice"),
        (["run", "greet", "nam=x"], "did you mean `name`"),
        (["run", "-f", "absent.yaml", "greet"], "absent.yaml: there is no such file"),
        (["run"], "name a tool"),
        (["run", "--"], "there is no command"),
        (["run", "greet", "--", "ls"], "needs neither"),
        (["run", "greet", "--times=2"], "there is no option `--times`; an argument is written `times=...`"),
        (["run", "greet", "--times", "2"], "there is no option `--times`; an argument is written `times=...`"),
        (["run", "--json=1", "greet"], "does not take a value"),
        (["run", "--pty", "greet", "name=x"], "`--pty` is for a command after `--`"),
    ],
)
def test_usage_errors_say_what_is_wrong_and_exit_with_2(folder: Path, words: list[str], message: str) -> None:
    ran = cmdtool(*words, cwd=folder)
    assert message in ran.stderr.replace("\n", " ")
    assert "Traceback" not in ran.stderr
    assert (ran.returncode, ran.stdout) == (2, "")


def test_any_command_runs_without_a_manifest(tmp_path: Path) -> None:
    ran = cmdtool("run", "--", "sh", "-c", "echo {x} $HOME; pwd; exit 5", cwd=tmp_path, env={"HOME": "/me"})
    assert ran.stdout == f"{{x}} /me\n{tmp_path}\n"
    assert ran.returncode == 5


def test_a_command_gets_a_terminal_and_its_bytes_come_out_as_written(tmp_path: Path) -> None:
    script = 'test -t 1 && test -t 2 && stty size < /dev/tty && printf "1\\r2\\n" >&2'
    words = [*CMDTOOL, "run", "--pty", "--", "sh", "-c", script]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=30)  # text would not tell CR from LF
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"24 80\n", b"1\r2\n", 0)
    shown = json.loads(cmdtool("run", "--pty", "--dry-run", "--json", "--", "ls", cwd=tmp_path).stdout)
    assert shown["pty"] == {"columns": 80, "rows": 24, "controlling": "stdout"}
    assert shown["env"]["TERM"] == "xterm-256color"
    assert "24 rows" in cmdtool("run", "--pty", "--dry-run", "--", "ls", cwd=tmp_path).stdout


def test_a_command_that_has_options_of_its_own_keeps_them(tmp_path: Path) -> None:
    assert cmdtool("run", "--", "echo", "--json", "--", "-f", cwd=tmp_path).stdout == "--json -- -f\n"


def test_a_program_that_is_not_there_exits_as_a_shell_would(tmp_path: Path) -> None:
    ran = cmdtool("run", "--", "no-such-program", cwd=tmp_path)
    assert ran.returncode == 127
    assert "no-such-program" in ran.stderr


def test_without_a_terminal_progress_is_plain_lines_on_standard_error(folder: Path) -> None:
    ran = cmdtool("run", "slow", cwd=folder)
    assert ran.stdout == "1 of 4\n2 of 4\n3 of 4\n4 of 4\n"
    assert ran.stderr.splitlines()[-1] == "slow: 100% 4/4 4 of 4"


def test_a_terminal_gets_a_live_bar_and_whole_lines(folder: Path) -> None:
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [*CMDTOOL, "run", "slow"],
        cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        screen = b""
        try:
            while block := os.read(controller, 65536):
                screen += block
        except OSError:  # EIO: the other end is closed
            pass
        os.close(controller)
    assert process.returncode == 0
    assert b"3 of 4" in screen
    assert b" 50%" in screen
    assert b"100% 4/4" in screen


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_the_command_too(folder: Path, number: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        [*CMDTOOL, "run", "wait"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(number)
        begun = time.monotonic()
        assert process.stdout.read() == b""  # the pipe is closed once nobody has it open
        assert process.wait() == status
        assert time.monotonic() - begun < 10


def test_check_accepts_a_sound_manifest_and_shows_what_it_found(folder: Path) -> None:
    ran = cmdtool("check", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert "greet" in ran.stdout + ran.stderr


def test_check_warns_of_a_program_that_will_say_nothing_and_is_content(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("tools: {a: {command: 'git fetch', progress: git}}\n")
    ran = cmdtool("check", cwd=tmp_path)
    assert ran.returncode == 0
    assert ran.stdout.startswith("a: ")
    assert "tools.yaml:1:45: tools.a.progress: `git` says nothing without one of `--progress`" in ran.stderr


def test_check_shows_every_mistake_with_its_place_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("tools:\n  a: {comand: ls}\n  b: {command: 'ls | wc'}\n")
    ran = cmdtool("check", cwd=tmp_path)
    assert ran.returncode == 1
    assert "tools.yaml:2:7: tools.a.comand:" in ran.stderr
    assert "tools.yaml:3:" in ran.stderr
    assert "did you mean `command`" in ran.stderr


def test_a_manifest_with_mistakes_is_not_served_or_run(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("tools: {a: {comand: ls}}\n")
    for words in (["serve"], ["run", "a"], ["list"]):
        ran = cmdtool(*words, cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "did you mean `command`" in ran.stderr


def test_list_is_a_table_of_tools_arguments_and_parsers(folder: Path) -> None:
    lines = cmdtool("list", cwd=folder).stdout.splitlines()
    assert lines[0].split() == ["tool", "arguments", "progress", "description"]
    assert any(line.split()[:3] == ["greet", "name:", "string"] for line in lines)
    assert any("times?: integer = 1" in line for line in lines)
    assert any(line.startswith("slow") and r"(\d) of (\d)" in line for line in lines)


def test_schema_is_json_schema(tmp_path: Path) -> None:
    assert "tools" in json.loads(cmdtool("schema", cwd=tmp_path).stdout)["properties"]


def test_version_and_help(tmp_path: Path) -> None:
    assert cmdtool("--version", cwd=tmp_path).stdout.startswith("cmdtool ")
    assert "serve" in cmdtool("--help", cwd=tmp_path).stdout


def test_completion_knows_tools_and_arguments(folder: Path) -> None:
    def complete(line: str, word: int) -> list[str]:
        env = {"_CMDTOOL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(word)}
        script = "import sys; sys.argv = ['cmdtool']; from cmdtool.cli import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True
        )
        return ran.stdout.split()

    assert complete("cmdtool run gr", 2) == ["greet"]
    assert complete("cmdtool run greet ti", 3) == ["times="]
    assert complete("cmdtool parsers rsy", 2) == ["rsync"]
    assert complete("cmdtool parse --parser rsy", 3) == ["rsync"]
    assert complete("cmdtool parse --tool gr", 3) == ["greet"]


def test_check_warns_of_what_is_not_there_and_of_what_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("""\
defaults: {ask: true, cwd: ~/none}
tools:
  a: {command: ls, cwd: none}
  b: {command: ls, cwd: tools.yaml, sandbox: {read: [/, /none], write: none/x}}
  c: {command: ls, cwd: /, ask: true}
  d: {command: 'ls {x}', cwd: '{x}', ask: true, sandbox: {write: '{y}'}, arguments: {x: &p {format: path}, y: *p}}
  e: {command: 'ls {x}', ask: true, arguments: {x: {optional: true}}}
""")
    checked = cmdtool("check", cwd=tmp_path, env={"HOME": "/home/me"})
    warnings = [line for line in checked.stderr.splitlines() if line.startswith("warning: ")]
    none = "`ask` asks for required arguments, and the tool has none"
    assert (checked.returncode, warnings) == (
        0,
        [
            "warning: tools.yaml:1:28: defaults.cwd: `/home/me/none` does not exist",
            f"warning: tools.yaml:3:25: tools.a.cwd: `{tmp_path}/none` does not exist",
            f"warning: tools.yaml:4:25: tools.b.cwd: `{tmp_path}/tools.yaml` is not a folder",
            "warning: tools.yaml:4:57: tools.b.sandbox.read[1]: `/none` does not exist",
            f"warning: tools.yaml:4:72: tools.b.sandbox.write: `{tmp_path}/none/x` does not exist",
            f"warning: tools.yaml:5:28: tools.c.ask: {none}",
            f"warning: tools.yaml:7:26: tools.e.ask: {none}",
        ],
    )
    assert "hint: each call fails where it is not there\n" in checked.stderr


def test_the_command_line_starts_without_the_sdk(tmp_path: Path) -> None:
    script = "import sys, cmdtool.cli, cmdtool.commands.run, cmdtool.commands.check; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_ctrl_z_stops_the_command_too_and_it_goes_on_in_the_foreground(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    command = "echo $$ > pid; echo started; read line < go; echo done"
    job = f"{sys.executable} -m cmdtool run -- sh -c '{command}'"
    is_stopped = 'ps -o stat= -p "$(cat pid)" | grep T'
    shell = (
        f'set -m; {job}; echo "status $?"; until {is_stopped}; do sleep 0.01; done; echo > go & fg %1; echo "end $?"'
    )
    controller, terminal = pty.openpty()
    words = ["setsid", "--ctty", "bash", "-c", shell]
    with subprocess.Popen(words, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        screen, has_typed = b"", False
        try:
            while select.select([controller], [], [], 30)[0]:
                screen += os.read(controller, 65536)
                if b"started" in screen and not has_typed:
                    has_typed = bool(os.write(controller, b"\x1a"))
        except OSError:  # EIO: the other end is closed
            pass
        finally:
            os.close(controller)  # which hangs up, if it has not ended
    assert process.returncode == 0
    assert re.search(rb"status 148\r\nT", screen), screen
    assert re.search(rb"done.*end 0\r\n$", screen, re.DOTALL), screen


def test_a_reader_that_leaves_early_ends_the_command_quietly(tmp_path: Path) -> None:
    piped = f"{sys.executable} -m cmdtool run -- yes | head -n 1; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", piped], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert ran.stdout == "y\n"
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 141


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("check", -signal.SIGPIPE),
        ("list", -signal.SIGPIPE),
        ("parsers", -signal.SIGPIPE),
        ("parsers rsync", -signal.SIGPIPE),
        ("schema", -signal.SIGPIPE),
        (f"parse {FOLDER}/scrub.pty.jsonl", -signal.SIGPIPE),
        (f"parse --json {FOLDER}/scrub.pty.jsonl", -signal.SIGPIPE),
        ("run --dry-run greet name=x", 128 + signal.SIGPIPE),
        ("run --json greet name=x", 128 + signal.SIGPIPE),
    ],
)
def test_what_nobody_reads_ends_quietly(folder: Path, words: str, status: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ran = subprocess.run([*CMDTOOL, *words.split()], cwd=folder, env=env, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (status, b"")


def test_a_reader_that_takes_its_time_gets_all_of_the_output(tmp_path: Path) -> None:
    # As much as fits into the pipes on the way and one block: the command has ended, and the last of it is still here.
    piped = f"{sys.executable} -m cmdtool run -- seq 1 28000 | (sleep 4; wc -l)"
    ran = subprocess.run(["bash", "-c", piped], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert ran.stdout.strip() == "28000"


def test_a_manifest_cannot_act_on_the_terminal_of_whoever_looks_at_it(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(
        'tools: {a: {description: "x\\e]0;y\\a", command: [echo, "\\e[2Jz\\u202e"], '
        'arguments: {b: {type: string, default: "\\x9bc"}}, env: {B: "{b}"}}}'
    )
    for words in (["check"], ["list"], ["run", "--dry-run", "a"], ["run", "\x1b[2J"]):
        done = cmdtool(*words, cwd=tmp_path)
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(done.stdout + done.stderr)


@pytest.mark.parametrize("words", ["run --json -- seq 1 3", "list", "schema"])
def test_a_full_disk_is_one_line(folder: Path, words: str) -> None:
    command = f"exec {sys.executable} -m cmdtool {words} > /dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (
        1,
        ["error: cannot write the output: no space left on device"],
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_as_good_as_the_null_device(folder: Path, closed: str) -> None:
    command = f"exec {sys.executable} -m cmdtool run -- sh -c 'echo out; echo err >&2; exit 3' {closed}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
