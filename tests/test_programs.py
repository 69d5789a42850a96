import pytest

from cmdtool.programs import running_programs, simple_commands


@pytest.mark.parametrize(
    ("argv", "programs"),
    [
        (["rsync", "-a", "x", "y"], ["rsync"]),
        (["/usr/bin/rsync"], ["rsync"]),
        (["env", "A=1", "-u", "B", "nice", "-n", "5", "ffmpeg"], ["ffmpeg"]),
        (["sudo", "-u", "root", "--", "apt-get", "install"], ["apt-get"]),
        (["timeout", "-k", "5", "60", "curl", "x"], ["curl"]),
        (["stdbuf", "-oL", "make"], ["make"]),
        (["python3", "-m", "pytest", "-q"], ["pytest"]),
        (["python3.12", "-u", "-m", "pip.__main__"], ["pip"]),
        (["python3", "job.py"], ["job.py"]),
        (["python3", "-c", "print(1)"], ["python3"]),
        (["uv", "run", "pytest"], ["pytest"]),
        (["uv", "sync"], ["uv"]),
        (["sh", "script.sh"], ["sh"]),
        (["bash", "-eo", "pipefail", "-c", "tar -c a | pv | zstd > out; echo done"], ["tar", "pv", "zstd", "echo"]),
        (["bash", "-c", "bash -c 'git clone x'"], ["git"]),
        (["sh", "-c", "it's"], []),
        (["sudo"], []),
        ([], []),
    ],
)
def test_programs_are_found_behind_what_runs_them(argv: list[str], programs: list[str]) -> None:
    assert running_programs(argv) == programs


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        ("a 1 && b 2 || c; d & e", [["a", "1"], ["b", "2"], ["c"], ["d"], ["e"]]),
        ("A=1 B=$x rsync -a 'x y' z 2>&1 >log # no", [["rsync", "-a", "x y", "z"]]),
        ('for i in 1 2; do echo "$i"; done', [["i", "in", "1", "2"], ["echo", "$i"]]),
        ("if x; then\n  y |\n z\nfi", [["x"], ["y"], ["z"]]),
        ("a \\\n b", [["a", "b"]]),
        ("out=$(a b) c", [["a", "b"], ["c"]]),
    ],
)
def test_a_script_is_skimmed_for_its_simple_commands(script: str, commands: list[list[str]]) -> None:
    assert simple_commands(script) == commands
