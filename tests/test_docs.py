"""README and docs: what they show works, and nothing that a person can write or type is missing from them.

The help texts in `docs/commands.md` are the program's own, and `docs/parsers.md` is made of the parsers' files;
`python -m tests.test_docs` writes both anew.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from cmdtool import model
from cmdtool.library import builtin_parser, builtin_parsers
from cmdtool.manifest import Source, check
from cmdtool.model import Model
from cmdtool.server.auth import AuthFile, OAuthKeys, TokenKeys, read_auth

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
MANIFEST = ROOT / "docs" / "manifest.md"
PARSERS = ROOT / "docs" / "parsers.md"
COMMANDS = ROOT / "docs" / "commands.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
DESIGN = ROOT / "docs" / "design.md"
HTTP = ROOT / "docs" / "http.md"
WITH_AUTH_FILES = (HTTP, ROOT / "docs" / "observability.md")
PAGES = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])

SECTIONS: dict[str, type[BaseModel]] = {
    "The file": model.ManifestFile,
    "`server`": model.ServerKeys,
    "A tool": model.ToolKeys,
    "`arguments`": model.Argument,
    "Elements of a command": model.Choice,
    "`progress`": model.ProgressSpec,
    "Rules": model.Rule,
    "Counted totals": model.Counted,
    "`output`": model.Output,
    "`confirm`": model.Confirm,
    "`task`": model.TaskKeys,
    "`pty`": model.Terminal,
    "`limits`": model.Limits,
    "`sandbox`": model.Sandbox,
    "`annotations`": model.Annotations,
    "`icons`": model.Icon,
}
"""The headings of `docs/manifest.md` below which each key of a model has its own."""

SUBCOMMANDS = ("serve", "run", "record", "parse", "check", "list", "parsers", "schema")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        if match[2] in languages:
            line = text.count("\n", 0, match.start()) + 1
            yield Block(page, line, match[2], textwrap.dedent(match[3]))


def sections(page: Path, level: int) -> dict[str, str]:
    """Return the text below each heading of a level; a heading that stands twice is a mistake."""
    mark = "#" * level
    parts = re.split(rf"^{mark} (.+)\n", page.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        name = base = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found.add(name)
    return found


def whole_manifest(text: str) -> str:
    """Return a manifest for what a page shows: one already, keys of the file, or keys of one tool."""
    keys = yaml.safe_load(text).keys()
    if "tools" in keys:
        return text
    if keys <= model.ManifestFile.model_fields.keys():
        return f"{text}tools: {{example: {{command: echo}}}}\n"
    return "tools:\n  example:\n" + textwrap.indent(text, "    ")


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`cmdtool` as an installation puts it on PATH."""
    return make_command(tmp_path_factory.mktemp("bin"))


def make_command(folder: Path) -> Path:
    script = folder / "cmdtool"
    script.write_text(f"#!{sys.executable}\nfrom cmdtool.cli import main\nmain()\n")
    script.chmod(0o755)
    return script


def environment(command: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "FORCE_", "_TYPER"))}
    path = f"{command.parent}:{kept['PATH']}"
    return kept | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}


def help_text(command: Path, *subcommand: str) -> str:
    words = [str(command), *subcommand, "--help"]
    done = subprocess.run(words, env=environment(command), capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines()).strip("\n")


# --- what the pages show ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block", [block for page in PAGES if page not in WITH_AUTH_FILES for block in blocks(page, "yaml")], ids=str
)
def test_every_manifest_shown_has_no_problem(block: Block) -> None:
    manifest, problems = check([Source(str(block), "/", whole_manifest(block.text))], builtin_parsers())
    assert manifest is not None, problems
    assert problems == []


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "json")], ids=str)
def test_every_json_shown_is_valid(block: Block) -> None:
    json.loads(block.text)


def test_readme_begins_with_a_whole_manifest_of_under_ten_lines() -> None:
    first = next(blocks(README, "yaml"))
    assert first.line < 10
    assert len(first.text.splitlines()) < 10
    assert all(name in first.text for name in ("rsync", "ffmpeg", r"'(\d+)%'"))
    assert first.text == whole_manifest(first.text)


def test_readme_says_what_cmdtool_is_in_one_sentence_first() -> None:
    title, sentence, *_ = README.read_text("utf-8").split("\n\n")
    assert title == "# cmdtool"
    assert re.fullmatch(r"[^.]+\.", sentence)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_tutorial_prints_what_it_shows(command: Path, tmp_path: Path) -> None:
    for block in blocks(TUTORIAL, "yaml", "console"):
        if block.language == "yaml":
            (tmp_path / "tools.yaml").write_text(block.text)
            continue
        for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, *expected = step.splitlines()
            done = subprocess.run(
                ["bash", "-c", f"{line} 2>&1"],
                cwd=tmp_path,
                env=environment(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
            )
            printed = iter(text.rstrip() for text in done.stdout.splitlines())
            for text in expected:
                assert text == "..." or text in printed, f"{block}: {line}\n{done.stdout}"
            assert "Traceback" not in done.stdout, done.stdout


# --- what the pages must hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_has_a_heading_and_an_example(section: str) -> None:
    keys = {field.alias or name for name, field in SECTIONS[section].model_fields.items()}
    below = sections(MANIFEST, 2)[section]
    parts = re.split(r"^### `(\w+)`\n", below, flags=re.MULTILINE)
    headings = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert headings.keys() == keys
    for key, text in headings.items():
        example = re.search(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert example, key
        assert re.search(rf"\b{key}:", example[1]), key


def test_no_model_of_the_manifest_is_without_a_section() -> None:
    undocumented = {model.Model, model.Defaults, model.ParserFile, model.Progress, model.Tool, model.Manifest}
    assert set(all_models(Model)) - undocumented - set(SECTIONS.values()) == set()


def all_models(kind: type[Model]) -> Iterator[type[Model]]:
    """Yield the models of the manifest; others are built in the same way."""
    if kind.__module__ == Model.__module__:
        yield kind
    for below in kind.__subclasses__():
        yield from all_models(below)


@pytest.mark.parametrize("block", [block for page in WITH_AUTH_FILES for block in blocks(page, "yaml")], ids=str)
def test_every_auth_file_shown_is_right(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "auth.yaml"
    file.write_text(block.text)
    file.chmod(0o600)
    assert read_auth(file)


def test_every_key_of_an_auth_file_is_explained() -> None:
    text = HTTP.read_text("utf-8")
    for kind in (AuthFile, TokenKeys, OAuthKeys):
        for key in kind.model_fields:
            assert re.search(rf"`{key}`|\b{key}:", text), key


def test_the_page_of_parsers_lists_the_library() -> None:
    assert PARSERS.read_text("utf-8") == parsers_page(), "write it anew: python -m tests.test_docs"


def test_the_parsers_that_the_readme_names_are_there() -> None:
    table = sections(README, 2)["rsync, ffmpeg and other programs"]
    named = set(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| .*$", table, re.MULTILINE))))
    assert len(named) > 40
    assert named <= set(builtin_parsers())


PARSERS_INTRODUCTION = """\
# Built-in parsers

A parser reads what one program prints. `progress: NAME` uses it, and so does `cmdtool run -p NAME -- COMMAND`. Each is
a YAML file in [cmdtool/parsers](../cmdtool/parsers), in the same form as your own: some facts, then `rules`, and
`stages` where the program has them. [How progress is read](progress.md) tells what the rules mean. The facts: `about`,
`matches` (names of programs), a `sample` that the rules read, `needs` and `hint` as below, `launches: true` where the
program runs others that print too, and `bars: true` where it may draw several bars at once.

A program in the second column is one that the parser is for; where there is none, it is for what a library prints.
Many programs print less, or nothing, into a pipe: where the fourth column is not empty, one of the things in it makes
them speak.

| parser | programs | reads | needs | hint |
| --- | --- | --- | --- | --- |
"""


def parsers_page() -> str:
    """Return `docs/parsers.md` as it has to be."""
    return PARSERS_INTRODUCTION + "".join(parser_row(name) for name in builtin_parsers())


def parser_row(name: str) -> str:
    parser = builtin_parser(name)
    options = [f"`{need}`" for need in parser.needs if need != "pty"] + ["a terminal"] * ("pty" in parser.needs)
    needs = " or ".join(filter(None, [", ".join(options[:-1]), *options[-1:]]))
    cells = [f"`{name}`", ", ".join(parser.matches), with_code(parser.about), needs, with_code(parser.hint or "")]
    return "".join(f"| {cell}".rstrip() + " " for cell in (cell.replace("|", "\\|") for cell in cells)) + "|\n"


def with_code(text: str) -> str:
    """Return `text` with its options and examples of output marked as code."""
    if "`" in text:
        return text  # its code is marked already
    return re.sub(r"(?<![^\s(])(--?[A-Za-z#][\w=.:-]*[\w#]|-[\w#]|[\d.]+\w*(?: ?/ ?|\.{3})[\d.]+\w*)", r"`\1`", text)


def test_every_subcommand_has_a_heading() -> None:
    assert set(SUBCOMMANDS) <= sections(COMMANDS, 2).keys()


def test_help_lists_the_documented_subcommands_and_no_others(command: Path) -> None:
    shown = help_text(command).partition("Commands")[2]
    assert tuple(re.findall(r"^│? *([a-z]+)  +[A-Z]", shown, re.MULTILINE)) == SUBCOMMANDS


def test_every_option_is_explained_in_words() -> None:
    words = re.sub(r"^```.*?^```$", "", COMMANDS.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    words += README.read_text("utf-8")
    helps = "".join(block.text for block in blocks(COMMANDS, "text"))
    for option in set(re.findall(r"(?<=[ │])--[a-z][a-z-]+", helps)) - {"--help", "--show-completion"}:
        assert option in words, option


@pytest.mark.parametrize("subcommand", [(), *((name,) for name in SUBCOMMANDS)], ids=" ".join)
def test_the_help_shown_is_the_real_one(command: Path, subcommand: tuple[str, ...]) -> None:
    line = " ".join(["$ cmdtool", *subcommand, "--help"])
    shown = {text.partition("\n")[0]: text for text in (block.text for block in blocks(COMMANDS, "text"))}
    expected = f"{line}\n{help_text(command, *subcommand)}\n"
    assert shown[line] == expected, "write it anew: python -m tests.test_docs"


def write_help(folder: Path) -> None:
    """Put the real help texts into `docs/commands.md`."""
    command = make_command(folder)
    text = COMMANDS.read_text("utf-8")
    for block in blocks(COMMANDS, "text"):
        line = block.text.partition("\n")[0]
        subcommand = line.removeprefix("$ cmdtool").removesuffix("--help").split()
        text = text.replace(block.text, f"{line}\n{help_text(command, *subcommand)}\n")
    COMMANDS.write_text(text, "utf-8")


def test_the_design_page_has_a_row_for_every_module() -> None:
    package = ROOT / "cmdtool"
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    described = set(
        re.findall(r"`([\w/*.]+)`", "\n".join(re.findall(r"^\| (.*?) \|", DESIGN.read_text(), flags=re.MULTILINE)))
    )
    assert modules | folders <= described | {"parsers/"}


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        write_help(Path(name))
    PARSERS.write_text(parsers_page(), "utf-8")
