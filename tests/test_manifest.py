"""What a sound manifest becomes: complete tools, in order; and its JSON Schema."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from cmdtool.errors import ArgumentError, ManifestError, StartError
from cmdtool.library import builtin_parser, builtin_parsers
from cmdtool.manifest import Facts, Source, check, load, load_parser, manifest_schema, resolve_progress
from cmdtool.model import Choice, Counted, Group, Manifest, Terminal, Tool
from cmdtool.template import Template

from .test_manifest_mistakes import HERE, MISTAKES


def read(text: str) -> Manifest:
    return load([Source("tools.yaml", "/work", text)], builtin_parsers())


def read_tool(body: str) -> Tool:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    [tool] = read(f"tools:\n  a:\n{lines}").tools.values()
    return tool


FULL = """\
version: 1
server: {name: media, title: Media tools, instructions: "Long jobs; progress is real."}
defaults: {timeout: 2h, grace: 5s, env: {LEVEL: 5, MODE: fast}, annotations: {open_world: false}}
concurrency: 3
path: [~/.local/bin, tools]
inherit_env: [AWS_PROFILE, "CUDA_*"]
parsers:
  steps: 'step (\\d+) of (\\d+)'
  staged: {parser: steps, rules: ['^== (?P<stage>\\w+)'], stages: {get: 1, put: 3}, total: 5}
  rsync: {parser: rsync, rules: [{pattern: '^sending', skip: true}]}
x-ignored: {anything: [010, no, 2024-01-01]}
tools:
  backup:
    title: Back up a folder
    description: Keeps everything.
    arguments:
      source: {type: string, format: path, within: ~/media, must_exist: true, description: What to keep.}
      level: {type: integer, minimum: 0, maximum: 9, default: 6}
      exclude: {type: array, items: {type: string}, optional: true}
      dry_run: {type: boolean}
      token: {description: A word., x-order: 3}
      mode: {enum: ['yes', 'no'], default: 'no', allow_dash: true}
    command:
      - restic
      - backup
      - "--exclude={exclude}"
      - {if: dry_run, then: --dry-run, else: [--really, {if: exclude, then: -x}]}
      - [--compression, "{level}"]
      - 10
      - --mode={mode}
      - --
      - "{source}"
    env: {RESTIC_PASSWORD: "{token}", MODE: slow}
    cwd: "{source}"
    stdin: "{{literal}} {token}"
    timeout: none
    idle_timeout: 60s
    success: 3
    concurrency: 1
    progress: staged
    output: {format: text, stream: stderr, limit: 64KiB}
    annotations: {read_only: no, destructive: true}
    icons: [{src: "https://example.com/x.png", mime_type: image/png, sizes: [48x48], theme: dark}]
  copy:
    command: rsync -a -- {source} '{destination}'
    progress: rsync
  pack:
    shell: 'tar -c "$source" | zstd -o {out}.zst'
    arguments: {source: {type: string}, count: {type: integer}}
    progress: {rules: '(?P<progress>\\d+) {source}', total: "{count}", interval: 1s, heartbeat: 1m}
  count:
    command: [find, "{folder}"]
    progress: {rules: [''], total: {command: [ls, "{folder}"]}}
"""


def test_a_full_manifest_becomes_complete_tools_in_order() -> None:
    manifest = read(FULL)
    assert (manifest.server.name, manifest.concurrency) == ("media", 3)
    assert list(manifest.tools) == ["backup", "copy", "pack", "count"]
    tool = manifest.tools["backup"]
    assert (tool.name, tool.title, tool.folder) == ("backup", "Back up a folder", "/work")
    assert (tool.path, tool.inherit_env) == (("~/.local/bin", "tools"), ("AWS_PROFILE", "CUDA_*"))
    assert (tool.timeout, tool.idle_timeout, tool.grace, tool.success, tool.concurrency) == (None, 60, 5, (3,), 1)
    assert (tool.output.stream, tool.output.limit) == ("stderr", 65536)
    assert tool.icons[0].sizes == ("48x48",)
    assert manifest.tools["copy"].timeout == 7200


def test_a_command_keeps_its_elements() -> None:
    command = read(FULL).tools["backup"].command
    assert command is not None
    assert [type(element) for element in command[:6]] == [Template, Template, Template, Choice, Group, Template]
    assert command[2] == Template.parse("--exclude={exclude}")
    assert command[5] == Template(("10",))
    copy = read(FULL).tools["copy"].command
    assert copy == tuple(map(Template.parse, ["rsync", "-a", "--", "{source}", "{destination}"]))


def test_arguments_are_json_schemas_with_what_is_meant_filled_in() -> None:
    arguments = read(FULL).tools["backup"].arguments
    assert arguments["source"].within == ("~/media",)
    assert arguments["source"].property_schema == {
        "type": "string",
        "format": "path",
        "description": "What to keep.",
    }
    assert arguments["token"].property_schema == {"type": "string", "description": "A word.", "x-order": 3}
    assert arguments["dry_run"].property_schema == {"type": "boolean", "default": False}
    assert arguments["mode"].property_schema == {"enum": ["yes", "no"], "default": "no"}
    assert [name for name, argument in arguments.items() if argument.is_required] == ["source", "token"]


def test_an_optional_boolean_has_no_default() -> None:
    tool = read_tool("command: [ls, '--all={all}']\narguments: {all: {type: boolean, optional: true}}")
    assert tool.arguments["all"].property_schema == {"type": "boolean"}


def test_without_arguments_each_hole_is_a_required_string() -> None:
    tool = read_tool("command: tar {b} x{a}y {b}\nenv: {C: '{c}'}\ncwd: '{a}'\nstdin: '{d}'")
    assert list(tool.arguments) == ["b", "a", "c", "d"]
    assert all(argument.is_required for argument in tool.arguments.values())
    assert tool.arguments["a"].property_schema == {"type": "string"}


def test_a_shell_has_no_holes() -> None:
    assert read_tool("shell: echo {x} ${y}").arguments == {}


def test_defaults_give_way_to_a_tool_and_env_and_annotations_are_joined() -> None:
    tools = read(FULL).tools
    assert {name: str(text) for name, text in tools["backup"].env.items()} == {
        "LEVEL": "5",
        "MODE": "slow",
        "RESTIC_PASSWORD": "{token}",
    }
    annotations = tools["backup"].annotations
    assert (annotations.read_only, annotations.destructive, annotations.open_world) == (False, True, False)
    assert tools["copy"].annotations.open_world is False
    assert str(tools["copy"].env["MODE"]) == "fast"


def test_a_terminal_is_a_switch_or_a_size_and_defaults_give_way() -> None:
    tools = read(
        "defaults: {pty: true}\ntools:\n"
        "  a: {command: ls}\n  b: {command: ls, pty: false}\n  c: {command: ls, pty: {columns: 120, rows: 40}}\n"
    ).tools
    assert {name: tool.pty for name, tool in tools.items()} == {
        "a": Terminal(columns=80, rows=24, controlling="stdout"),
        "b": None,
        "c": Terminal(columns=120, rows=40),
    }


def test_a_progress_holds_its_own_rules_and_then_its_parsers() -> None:
    tools = read(FULL).tools
    backup = tools["backup"].progress
    assert backup.parser == "staged"
    assert [rule.pattern for rule in backup.rules] == [r"^== (?P<stage>\w+)", r"step (\d+) of (\d+)"]
    assert (backup.stages, backup.total) == ({"get": 1, "put": 3}, 5)
    assert tools["pack"].progress.parser is None
    assert (tools["pack"].progress.interval, tools["pack"].progress.heartbeat) == (1, 60)
    counted = tools["count"].progress.total
    assert isinstance(counted, Counted)


def test_a_files_own_parser_may_build_on_the_built_in_one_of_its_name() -> None:
    copy = read(FULL).tools["copy"].progress
    assert copy.rules[0].skip
    assert copy.rules[1:] == builtin_parsers()["rsync"].rules


def test_no_progress_and_none_read_nothing() -> None:
    assert read_tool("command: ls").progress.rules == ()
    none = read_tool("command: ls\nprogress: none").progress
    assert (none.parser, none.rules) == ("none", ())


def test_a_default_progress_holds_for_tools_without_one() -> None:
    tools = read(
        "defaults: {progress: percent}\ntools:\n  a: {command: ls}\n  b: {command: ls, progress: none}\n"
    ).tools
    assert tools["a"].progress.rules == builtin_parsers()["percent"].rules
    assert tools["b"].progress.rules == ()


def test_limits_are_joined_key_by_key_and_a_sandbox_is_replaced() -> None:
    tools = read("""\
defaults: {limits: {cpu: 10m, memory: 1GiB}, sandbox: {network: false}}
tools:
  a: {command: ls}
  b: {command: ls, limits: {memory: none, processes: 5}, sandbox: {write: x}}
  c: {command: ls, sandbox: false}
""").tools
    assert [tool.limits.model_dump(exclude_none=True) for tool in tools.values()] == [
        {"cpu": 600, "memory": 1 << 30},
        {"cpu": 600, "processes": 5},
        {"cpu": 600, "memory": 1 << 30},
    ]
    assert [tool.sandbox and tool.sandbox.network for tool in tools.values()] == [False, True, None]


def test_anchors_and_merges_work_and_what_is_written_wins() -> None:
    tools = read("""\
x-base: &base
  timeout: 5
  env: &env {A: a}
x-more: &more {timeout: 6, grace: 7}
tools:
  one: {<<: *base, command: ls}
  two:
    <<: [*base, *more]
    command: &command [ls, -l]
    env: {<<: *env, B: b}
  three: {command: *command, <<: *base, timeout: 8}
""").tools
    assert [(tool.timeout, tool.grace) for tool in tools.values()] == [(5, 5), (5, 7), (8, 5)]
    assert {name: str(text) for name, text in tools["two"].env.items()} == {"A": "a", "B": "b"}
    assert tools["three"].command == tools["two"].command


def test_json_is_a_manifest_too() -> None:
    tool = read('{"tools": {"a": {"command": ["ls", "{x}"], "timeout": 1.5e+1, "description": "\\u00e4"}}}').tools["a"]
    assert (tool.timeout, tool.description) == (15, "ä")


@pytest.mark.parametrize(
    "body",
    [
        "command: [ls, 10, -5, 'no', '~', '$HOME', '|', '{{x}}', '010', a~/b]",
        "command: ls '|' \"$HOME\" \\* 'a b' {{x}} {print {}",
        "command: ~/bin/ls",
        "command: [~/bin/ls, '~/x']",
        "command: >-\n  ls\n  -l",
        "command: [ls, -o, ['{x}']]\narguments: {x: {optional: true}}",
        "command: ls -o -- {x}\narguments: {x: {optional: true}}",
        "command: ls -o {x}\narguments: {x: {default: y}}",
        "command: [ls, [-o, '{x}']]\narguments: {x: {optional: true}}",
        "command: ls {x}\narguments: {x: {type: boolean, default: no}}",
        "command: ls {x}\narguments: {x: {type: array, items: {type: string, format: path}, within: [a, b]}}",
        "command: ls {x}\narguments: {x: {type: [string, 'null'], enum: [a, null]}}",
        "command: ls {x}\narguments: {x: {anyOf: [{type: string}, {type: integer}]}}",
        "command: ls\narguments: {x: {}}\nenv: {X: '{x}'}",
        "command: ls\narguments: {x: {}}\nprogress: {rules: [{pattern: 'a', message: '{x}'}]}",
        "command: ls\narguments: {x: {}}\nprogress: {rules: ['a'], total: {shell: 'ls \"$x\"'}}",
        "command: git commit -m {message}\nprogress: git",
        "command: ls\nprogress: (\\d+)% # a comment",
        'command: ls\nprogress: "([0-9]+)%\\t"',
        "command: ls\nprogress: {rules: [{pattern: '(\\d+)/(\\d+)', message: '{progress} of {total}'}]}",
        "command: ls\nprogress: {stages: {get it: 1, put: 2}, rules: [{pattern: 'x', stage: ' Get it'}]}",
        "shell: |\n  ls\n  ls | wc",
        "shell: ls\narguments: {x: {}, Path: {}}",
        "command:\n  - ls\n  - ''",
        "command: ls\ntitle: !!str no",
        "command: ls\nenv: {PATH: /bin, NODE_OPTIONS: x}",
        "command: ls\nlimits: {cpu: 10m, memory: 2GiB, processes: 100, file_size: none, open_files: none}",
        "command: ls\nsandbox: true",
        "command: ls {x}\narguments: {x: {format: path}}\nsandbox: {network: false, read: '{x}', write: [~/a, '{x}']}",
        "command: ls {x}\narguments: {x: {type: array, items: {format: path}}}\nsandbox: {read: ['{x}'], write: b}",
    ],
)
def test_what_is_sound_has_no_problem(body: str) -> None:
    tool = read_tool(body)
    schema = Draft202012Validator(manifest_schema())
    plain = yaml.safe_load("tools:\n  a:\n" + "".join(f"    {line}\n" for line in body.split("\n")))
    assert [error.message for error in schema.iter_errors(plain)] == []
    assert tool.name == "a"


def test_several_files_keep_their_own_defaults_parsers_and_folders() -> None:
    one = Source("one.yaml", "/one", "defaults: {timeout: 1}\npath: [x]\ntools: {a: {command: ls}}\n")
    two = Source(
        "two.yaml", "/two", "parsers: {p: '(\\d+)%'}\nconcurrency: 2\ntools: {b: {command: ls, progress: p}}\n"
    )
    manifest = load([one, two], {})
    a, b = manifest.tools.values()
    assert (a.folder, a.timeout, a.path) == ("/one", 1, ("x",))
    assert (b.folder, b.timeout, b.path, len(b.progress.rules)) == ("/two", 21600, (), 1)
    assert (manifest.concurrency, manifest.server.name) == (2, "cmdtool")
    _, [problem] = check([two, Source("three.yaml", "/", "tools: {c: {command: ls, progress: p}}")], {})
    assert (problem.file, problem.message) == ("three.yaml", "there is no parser `p`")


def test_load_raises_with_every_problem() -> None:
    with pytest.raises(ManifestError) as caught:
        read("tools: {a: {comand: ls}, b: {command: ls, titel: x}}")
    assert [problem.key for problem in caught.value.problems] == ["tools.a.comand", "tools.b.titel"]
    assert str(caught.value).count("error: ") == 2


def test_a_missing_program_is_a_problem_where_its_command_stands() -> None:
    def find(tool: Tool, *, runs: Counted | None = None) -> str:
        if tool.name == "a":
            raise StartError("the program `sl` was not found")
        return "/bin/ls"

    text = "tools:\n  a:\n    command: sl\n  b: {command: ls}\n  c: {comand: sl}\n"
    _, problems = check([Source("tools.yaml", "/work", text)], {}, Facts(find_program=find))
    assert [(problem.line, problem.column, problem.message) for problem in problems] == [
        (3, 14, "the program `sl` was not found"),
        (5, 7, "unknown key"),
    ]


def test_a_missing_program_of_a_counted_total_is_a_warning_where_it_stands() -> None:
    def find(tool: Tool, *, runs: Counted | None = None) -> str:
        if runs and runs.command and str(runs.command[0]) == "cw":
            raise StartError("the program `cw` was not found")
        return "/bin/ls"

    text = """\
parsers: {p: {rules: [{pattern: x, total: {command: [cw, -c, [a], {if: x, then: b}]}}]}}
tools:
  a: {command: 'ls {x}', progress: {total: {command: wc}, rules: [{pattern: x, total: {command: cw}}]}}
  b: {command: 'ls {x}', progress: p, arguments: {x: {}}}
"""
    manifest, problems = check([Source("tools.yaml", "/work", text)], {}, Facts(find_program=find))
    assert manifest is not None
    assert [problem.severity for problem in problems] == ["warning", "warning"]
    lines = text.splitlines()
    places = [lines[problem.line - 1][problem.column - 1 :] for problem in problems]
    assert [place[:3] for place in places] == ["[cw", "cw}"]
    assert problems[0].message == "there will be no total: the program `cw` was not found"


# --- one progress, one parser ---


def test_a_name_or_a_pattern_is_a_progress() -> None:
    assert resolve_progress("rsync", builtin_parsers()).rules == builtin_parsers()["rsync"].rules
    assert resolve_progress(r"(\d+)%", {}).rules[0].pattern == r"(\d+)%"
    assert resolve_progress("none", {}).rules == ()
    assert [resolve_progress(text, {}).detects for text in ("none", "auto", "x y")] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [("rsyn", "did you mean `rsync`"), ("(x", "never closed"), ("." * 1001, "long")],
)
def test_what_is_no_progress_says_why(text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        resolve_progress(text, builtin_parsers())


def test_a_parser_file_must_say_what_it_is_for() -> None:
    parser = load_parser("x.yaml", "about: x\nsample: '5%'\nrules: '(\\d+)%'\n")
    assert (parser.about, parser.rules[0].pattern) == ("x", r"(\d+)%")
    for text in ("", "- a", "about: x\nrules: x\n", "about: x\nsample: y\nrules: x\nrule: z\n"):
        with pytest.raises(ManifestError):
            load_parser("x.yaml", text)


# --- the JSON Schema ---


def test_the_schema_is_valid_and_accepts_every_sound_manifest() -> None:
    schema = manifest_schema()
    Draft202012Validator.check_schema(schema)
    folder = Path(__file__).parent.parent
    examples = [FULL, *(file.read_text("utf-8") for file in [folder / "tools.yaml", *folder.glob("examples/*.yaml")])]
    for text in examples:
        assert [error.message for error in Draft202012Validator(schema).iter_errors(yaml.safe_load(text))] == []


REFUSED = [
    *(name for name in MISTAKES if "misspelt" in name),
    *("a wrong type", "a reference", "a keyword that would take too long"),
]


@pytest.mark.parametrize("name", [name for name in REFUSED if "parser" not in name])
def test_the_schema_refuses_unknown_keys(name: str) -> None:
    plain = yaml.safe_load(MISTAKES[name][0].replace(HERE, ""))
    assert not Draft202012Validator(manifest_schema()).is_valid(plain)


def warned(tool: str, parsers: str = "{}") -> list[str]:
    text = f"parsers: {parsers}\ntools:\n  mine: {{{tool}}}\n"
    manifest, problems = check([Source("tools.yaml", "/", text)], builtin_parsers(), Facts(find_parser=builtin_parser))
    assert manifest is not None, problems
    return [f"{problem.severity}: {problem.key}: {problem.message}" for problem in problems]


@pytest.mark.parametrize(
    ("tool", "parsers"),
    [
        ("command: 'git clone {url}', progress: git", "{}"),
        ("command: '/usr/bin/git clone {url}', progress: mine", "{mine: git}"),
        ("shell: 'cd x && git fetch', progress: git", "{}"),
    ],
)
def test_a_program_that_will_say_nothing_to_its_parser_is_a_warning(tool: str, parsers: str) -> None:
    assert warned(tool, parsers) == [
        "warning: tools.mine.progress: `git` says nothing without one of `--progress`, `pty: true`"
    ]


@pytest.mark.parametrize(
    "tool",
    [
        "command: 'git clone --progress {url}', progress: git",
        "command: 'rsync -avP {source} {destination}', progress: rsync",
        "command: [git, clone, {if: loud, then: --progress}], arguments: {loud: {type: boolean}}, progress: git",
        "command: 'git clone {url}', progress: none",
        "command: 'git clone {url}'",
        "command: './git.sh {url}', progress: git",
        "command: [git, clone, '{flag}'], arguments: {flag: {type: string, allow_dash: true}}, progress: git",
        "command: 'git clone {url}', progress: own",
    ],
)
def test_one_that_may_say_something_or_is_another_is_none(tool: str) -> None:
    assert warned(tool, r"{own: '(\d+)%', loop: own}") == []
