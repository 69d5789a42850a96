"""One mistake is one problem, where it stands and with a hint; several are all shown; nothing makes the check fail."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdtool.errors import Problem
from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, check

HERE = "«"
"""Stands before the place where the problem must be."""


def problems_of(text: str) -> list[Problem]:
    return check([Source("tools.yaml", "/work", text)], builtin_parsers())[1]


def tool(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"tools:\n  a:\n{lines}"


# Of each family one, and those that stand for themselves.
STEERING = """
PATH HOME SHELL ZDOTDIR XDG_CONFIG_HOME XDG_DATA_DIRS LD_PRELOAD DYLD_LIBRARY_PATH GCONV_PATH OPENSSL_CONF
IFS ENV BASH_ENV BASH_FUNC_ls PS4 PROMPT_COMMAND PYTHONSTARTUP PERL5OPT PERL5LIB PERLLIB RUBYOPT RUBYLIB NODE_OPTIONS
npm_config_script_shell NPM_CONFIG_NODE_OPTIONS JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH LUA_INIT
R_PROFILE_USER MAKEFLAGS GOFLAGS RUSTC_WRAPPER EDITOR VISUAL KUBE_EDITOR PAGER MANPAGER BROWSER SSH_ASKPASS LESSOPEN
LESSCLOSE GIT_SSH_COMMAND GIT_EXTERNAL_DIFF HGRCPATH RSYNC_RSH TAR_OPTIONS
""".split()


@pytest.mark.parametrize("name", STEERING)
def test_no_argument_sets_a_variable_that_changes_what_runs(name: str) -> None:
    assert [problem.message for problem in problems_of(tool(f"command: ls\nenv: {{{name}: '{{x}}'}}"))] == [
        f"`{name}` cannot be set from an argument"
    ]
    assert problems_of(tool(f"command: ls\nenv: {{{name}: fixed}}")) == []
    named = problems_of(tool(f"shell: ls\narguments: {{{name}: {{type: string}}}}"))
    assert named[0].message == f"an argument of a `shell:` cannot be named `{name}`"


@pytest.mark.parametrize("name", ["path", "NODE_ENV", "LOG_LEVEL", "PAGES", "JULIA_NUM_THREADS", "CARGO_TARGET_DIR"])
def test_other_variables_are_an_arguments_to_set(name: str) -> None:
    assert problems_of(tool(f"command: ls\nenv: {{{name}: '{{x}}'}}")) == []


# Manifest, key path, part of the message, part of the hint.
MISTAKES = {
    # --- what is filled in where ---
    "a variable in the environment": (
        tool('command: ls\nenv: {P: "$«{HOME}/x"}'),
        "tools.a.env.P",
        "`${HOME}` is not replaced",
        "`${{HOME}}`",
    ),
    "a variable in a quoted element": (
        tool('command: [ls, "$«{HOME}"]'),
        "tools.a.command[1]",
        "`${HOME}` is not replaced",
        "`shell:`",
    ),
    "a variable in the path": (
        "path: [«$HOME/bin]\n" + tool("command: ls"),
        "path[0]",
        "variables are not replaced",
        "`~/...`",
    ),
    "a value inside a shell's script": (
        tool('command: [bash, -c, "ls «{folder}"]'),
        "tools.a.command[2]",
        "a shell would read the value of `folder`",
        '"$folder"',
    ),
    "a hole in a shell script": (
        tool("shell: ls «{folder}\narguments: {folder: {type: string}}"),
        "tools.a.shell",
        "`{folder}` is not filled in here",
        '"$folder"',
    ),
    "a NUL character": (
        tool('command: [ls, «"a\\0b"]'),
        "tools.a.command[1]",
        "NUL",
        "no program",
    ),
    # --- secrets ---
    "a secret in a command line": (
        tool("command: [curl, -H, 'Auth: «{token}']\narguments: {token: {type: string, secret: true}}"),
        "tools.a.command[2]",
        "the secret `token` cannot be part of a command line",
        "`env:`, `stdin:` or `shell:`",
    ),
    "a secret in a nested list": (
        tool("command: [curl, [-u, '«{token}']]\narguments: {token: {type: string, secret: true, optional: true}}"),
        "tools.a.command[1][1]",
        "cannot be part of a command line",
        "`stdin:`",
    ),
    "a secret in a branch": (
        tool("command: [x, {if: token, then: '«{token}'}]\narguments: {token: {type: string, secret: true}}"),
        "tools.a.command[1].then",
        "cannot be part of a command line",
        "`env:`",
    ),
    "a secret in the working directory": (
        tool("command: ls\ncwd: 'x/«{token}'\narguments: {token: {type: string, secret: true}}"),
        "tools.a.cwd",
        "the secret `token` cannot be part of a path",
        "`env:`",
    ),
    "a secret in a command that counts": (
        tool(
            "command: ls\nstdin: '{token}'\narguments: {token: {type: string, secret: true}}\n"
            "progress: {rules: ['^x'], total: {command: [count, '«{token}']}}"
        ),
        "tools.a.progress.total.command[1]",
        "cannot be part of a command line",
        "`env:`",
    ),
    "a secret as a total": (
        tool(
            "shell: ls\narguments: {token: {type: string, secret: true}}\nprogress: {rules: ['^x'], total: «'{token}'}"
        ),
        "tools.a.progress.total",
        "`token` is not a number",
        "integer",
    ),
    "a secret in a message": (
        tool(
            "shell: ls\narguments: {token: {type: string, secret: true}}\n"
            "progress: [{pattern: '(\\d+)%', message: 'with «{token}'}]"
        ),
        "tools.a.progress[0].message",
        "the secret `token` may not appear in a message",
        "",
    ),
    "a secret that is no text": (
        tool("shell: ls\narguments: {pin: {type: «integer, secret: true}}"),
        "tools.a.arguments.pin.type",
        "a secret is a text",
        "`type: string`",
    ),
    "a secret with a default": (
        tool("shell: ls\narguments: {token: {secret: true, «default: hunter2}}"),
        "tools.a.arguments.token.default",
        "a secret has no `default`",
        "take it out",
    ),
    "a secret that must be a path": (
        tool("shell: ls\narguments: {token: {secret: true, format: path, «must_exist: true}}"),
        "tools.a.arguments.token.must_exist",
        "a secret has no `must_exist`",
        "take it out",
    ),
    "a value among the names of secrets": (
        "secrets: [API_KEY, «$TOKEN]\n" + tool("command: ls"),
        "secrets[1]",
        "expected the name of an environment variable",
        "write names, not values",
    ),
    "a hole in the path of an env_file": (
        tool("command: ls\nenv_file: «'{name}.env'"),
        "tools.a.env_file",
        "nothing is filled in here",
        "`.env`",
    ),
    # --- YAML's classics ---
    "a hole without quotes is a mapping": (
        tool("command:\n  - tar\n  - «{source}"),
        "tools.a.command[1]",
        "expected text, found a mapping",
        'quote it: "{source}"',
    ),
    "a tilde is null": (tool("command: [ls, «~]"), "tools.a.command[1]", "reads as null", "quote it"),
    "text with a colon is a mapping": (
        tool("command:\n  - curl\n  - «Accept: json"),
        "tools.a.command[1]",
        "found a mapping",
        "'Accept: json'",
    ),
    "a command with a colon is no YAML": (
        tool("command: curl -H Accept«: x"),
        "",
        "`: ` in text without quotes",
        "quote the whole command",
    ),
    "a command after quotes is no YAML": (
        tool("command: 'ls' «-l"),
        "",
        "text after the `'`",
        "quote the whole command",
    ),
    "a pattern in double quotes has unknown escapes": (
        tool('command: ls\nprogress: "(«\\d+)%"'),
        "",
        "a backslash in double quotes",
        "single quotes",
    ),
    "a pattern in double quotes has known escapes": (
        tool('command: ls\nprogress: «"\\b([0-9]+)%"'),
        "tools.a.progress",
        "control character U+0008",
        "single quotes",
    ),
    "a pattern that begins with a bracket": (
        tool("command: ls\nprogress:\n  - pattern: [0-9]«+%"),
        "",
        "text after the `]`",
        "single quotes",
    ),
    "a pattern that begins with a star": (
        tool("command: ls\nprogress: «*(\\d+)"),
        "",
        "`*` at the start of text without quotes is an alias",
        "single quotes",
    ),
    "a pattern that begins with a percent sign": (
        tool("command: ls\nprogress: «%(\\d+)"),
        "",
        "cannot begin with `%`",
        "single quotes",
    ),
    "a pattern that begins with a brace": (
        tool("command: ls\nprogress: {n} «of"),
        "",
        "text after the `}`",
        "single quotes",
    ),
    "a pattern with a colon": (
        tool("command: ls\nprogress: at«: (\\d+)"),
        "",
        "`: ` in text without quotes",
        "single quotes",
    ),
    "a rule with a colon": (
        tool("command: ls\nprogress:\n  - «done: (\\d+)"),
        "tools.a.progress[0].done",
        "unknown key",
        "'done: (\\d+)'",
    ),
    "a pattern with a number sign": (
        tool("command: ls\nprogress: «(file #(\\d+))"),
        "tools.a.progress",
        "cut before `#(",
        "single quotes",
    ),
    "a word before a number sign": (
        tool("command: ls\nprogress: «file #(\\d+)"),
        "tools.a.progress",
        "no parser `file`",
        "single quotes",
    ),
    "a pattern of several lines": (
        tool("command: ls\nprogress:\n  - pattern: «|\n      (\\d+)%"),
        "tools.a.progress[0].pattern",
        "line end",
        "`|-`",
    ),
    "a tab for indentation": ("tools:\n«\ta: {command: ls}\n", "", "a tab", "indent with spaces"),
    "an indentation that fits nothing": (
        "tools:\n  a:\n    command: ls\n   «title: x\n",
        "",
        "not a key of the mapping above",
        "indentation",
    ),
    "a quote that is not closed": ("tools: {a: {command: «'ls}}\n", "", "a quote is never closed", ""),
    "no for text": (tool("command: ls\ntitle: «no"), "tools.a.title", "`no`, which YAML reads as", "'no'"),
    "off for an environment variable": (
        tool("command: ls\nenv: {COLOR: «off}"),
        "tools.a.env.COLOR",
        "the boolean `false`",
        "'off'",
    ),
    "on for a tool's name": ("tools:\n  «on:\n    command: ls\n", "tools.on", "a key must be text", "'on'"),
    "NO for a variable's name": (
        tool("command: ls\nenv: {«NO: x}"),
        "tools.a.env.NO",
        "a key must be text",
        "'NO'",
    ),
    "yes among the values of a string": (
        tool("command: ls {x}\narguments:\n  x: {type: string, enum: [always, «yes]}"),
        "tools.a.arguments.x.enum[1]",
        "expected text, found `yes`",
        "'yes'",
    ),
    "off for the default of a string": (
        tool("command: ls {x}\narguments:\n  x: {description: x, default: «off}"),
        "tools.a.arguments.x.default",
        "expected text, found `off`",
        "write `type: boolean`",
    ),
    "a leading zero": (tool("command: [chmod, «0755, x]"), "tools.a.command[1]", "the number 493", "quote it"),
    "a colon between numbers": (tool("command: [ls, «1:30]"), "tools.a.command[1]", "the number 90", "quote it"),
    "a colon in a duration": (tool("command: ls\ntimeout: «1:30"), "tools.a.timeout", "the number 90", "`1h30m`"),
    "an underscore in a number": (tool("command: [ls, «1_000]"), "tools.a.command[1]", "the number 1000", "quote"),
    "a hexadecimal number": (tool("command: [ls, «0x1F]"), "tools.a.command[1]", "the number 31", "quote it"),
    "a version": (tool("command: [ls, «1.10]"), "tools.a.command[1]", "`1.10`, which YAML reads as", "'1.10'"),
    "a date": (tool("command: [ls, «2024-01-01]"), "tools.a.command[1]", "as a date", "quote it"),
    "infinity": (tool("command: ls\ntimeout: «.inf"), "tools.a.timeout", "JSON can hold", ""),
    "a tag": (
        tool("command: «!!python/object:os.system ls"),
        "tools.a.command",
        "`!!python/object:os.",
        "leave it out",
    ),
    # --- shell habits ---
    "a pipe": (tool("command: ls «| wc"), "tools.a.command", "`|` has no meaning", "use `shell:`"),
    "two commands": (tool("command: cd x «&& ls"), "tools.a.command", "`&&` has no meaning", "use `shell:`"),
    "a redirection": (tool("command: 'ls «2> x'"), "tools.a.command", "`2>` has no meaning", "use `shell:`"),
    "a glob": (tool("command: ls «*.c"), "tools.a.command", "`*` has no meaning", "quote it if it is meant"),
    "a variable": (tool("command: ls «$HOME"), "tools.a.command", "`$HOME` has no meaning", "use `shell:`"),
    "a substitution": (tool("command: 'ls «$(pwd)'"), "tools.a.command", "`$(` has no meaning", "use `shell:`"),
    "backticks": (tool("command: ls «`pwd`"), "tools.a.command", "has no meaning", "use `shell:`"),
    "a home folder": (tool("command: ls «~/x"), "tools.a.command", "`~/` has no meaning", "use `shell:`"),
    "two lines": (tool("command: «|\n  cd x\n  ls"), "tools.a.command", "a line ends inside", "use `shell:`"),
    "an open quote in a command": (tool("command: ls «'x"), "tools.a.command", "a quote is never closed", "close"),
    "a variable in a list": (tool("command: [ls, «$HOME]"), "tools.a.command[1]", "`$HOME`", "use `shell:`"),
    "a home folder in a list": (tool("command: [ls, «~/x]"), "tools.a.command[1]", "`~/x`", "use `shell:`"),
    "a semicolon in a list": (tool("command:\n  - ls\n  - «;"), "tools.a.command[1]", "`;`", "use `shell:`"),
    "a pipe in a list": (tool("command:\n  - ls\n  - «|\n  - wc"), "tools.a.command[1]", "`|`", "use `shell:`"),
    "two commands in a list": (tool("command: [ls, «&&, wc]"), "", "an anchor", "use `shell:`"),
    "a redirection in a choice": (
        tool("command: [ls, {if: x, then: [«>>, y]}]"),
        "",
        "cannot begin with `>`",
        "use `shell:`",
    ),
    # --- keys and their values ---
    "a misspelt key": (tool("command: ls\n«timout: 5"), "tools.a.timout", "unknown key", "`timeout`?"),
    "a misspelt command": (tool("«comand: ls"), "tools.a.comand", "unknown key", "did you mean `command`?"),
    "a misspelt key far below": (
        tool("command: ls\nprogress: {rules: [{pattern: 'x', «strem: stdout}]}"),
        "tools.a.progress.rules[0].strem",
        "unknown key",
        "did you mean `stream`?",
    ),
    "a misspelt key that must be there": (
        tool("command: ls\nprogress:\n  - «patern: 'x'"),
        "tools.a.progress[0].patern",
        "unknown key",
        "did you mean `pattern`?",
    ),
    "an unknown key of a total that is counted": (
        tool("command: ls\nprogress: {total: {command: a, «counted: b}, rules: ['x']}"),
        "tools.a.progress.total.counted",
        "unknown key",
        "known here: command, shell",
    ),
    "an unknown key of a choice": (
        tool("command: [ls, {if: x, then: y, «choice: {z: 1}}]\narguments: {x: {}}"),
        "tools.a.command[1].choice",
        "unknown key",
        "known here: if, then, else",
    ),
    "a rule that is no list": (
        tool("command: ls\nprogress: {«pattern: 'x', stream: stdout}"),
        "tools.a.progress.pattern",
        "`pattern` belongs to a rule",
        "a list of rules",
    ),
    "a misspelt top level": ("«tool:\n  a: {command: ls}\n", "tool", "unknown key", "did you mean `tools`?"),
    "a terminal that is no size": (
        tool("command: ls\npty: «wide"),
        "tools.a.pty",
        "expected `true`, `false` or a mapping, found `wide`",
        "",
    ),
    "a size of nothing": (tool("command: ls\npty: {rows: «0}"), "tools.a.pty.rows", "expected at least 1", ""),
    "a size in quotes": (
        tool("command: ls\npty: {columns: «'80'}"),
        "tools.a.pty.columns",
        "expected a whole number",
        "without quotes",
    ),
    "a terminal's unknown key": (
        tool("command: ls\npty: {«colums: 80}"),
        "tools.a.pty.colums",
        "unknown key",
        "`columns`",
    ),
    "a limit that is no duration": (
        tool("command: ls\nlimits: {cpu: «2GiB}"),
        "tools.a.limits.cpu",
        "expected a duration",
        "`90s`",
    ),
    "a limit that is no size": (
        tool("command: ls\nlimits: {memory: «lots}"),
        "tools.a.limits.memory",
        "expected a size",
        "`64KiB`",
    ),
    "a limit of no processes": (
        tool("command: ls\nlimits: {processes: «0}"),
        "tools.a.limits.processes",
        "expected at least 1, found the number `0`",
        "",
    ),
    "a limit of processes as text": (
        tool("command: ls\nlimits: {processes: «'100'}"),
        "tools.a.limits.processes",
        "expected a whole number",
        "without quotes",
    ),
    "a limit that is not known": (
        tool("command: ls\nlimits: {«mem: 1G}"),
        "tools.a.limits.mem",
        "unknown key",
        "",
    ),
    "limits that are one number": (
        tool("command: ls\nlimits: «2GiB"),
        "tools.a.limits",
        "expected a mapping",
        "write, for example, `limits: {memory: 2GB}`",
    ),
    "a sandbox that something should outlive": (
        tool("command: ls\nkeep_background: true\n«sandbox: true"),
        "tools.a.sandbox",
        "exclude each other",
        "ends with it",
    ),
    "a sandbox that is a word": (
        tool("command: ls\nsandbox: «yes please"),
        "tools.a.sandbox",
        "expected `true`, `false` or a mapping",
        "",
    ),
    "a sandbox's unknown key": (
        tool("command: ls\nsandbox: {«writes: [x]}"),
        "tools.a.sandbox.writes",
        "unknown key",
        "`write`",
    ),
    "a network that is a word": (
        tool("command: ls\nsandbox: {network: «none}"),
        "tools.a.sandbox.network",
        "expected `true` or `false`",
        "",
    ),
    "a folder of a sandbox with a hole in the middle": (
        tool("command: 'ls {x}'\nsandbox: {write: [«'~/media/{x}']}"),
        "tools.a.sandbox.write[0]",
        "cannot be filled in by halves",
        "'{x}'",
    ),
    "a hole of a sandbox that is no path": (
        tool("command: 'ls {x}'\narguments: {x: {type: string}}\nsandbox: {read: [/usr, «'{x}']}"),
        "tools.a.sandbox.read[1]",
        "`x` is not known to be a path",
        "`format: path`",
    ),
    "a hole of a sandbox that names nothing": (
        tool("command: 'ls {x}'\narguments: {x: {type: string}}\nsandbox: {read: '«{y}'}"),
        "tools.a.sandbox.read",
        "`y` is not one of the tool's arguments",
        "",
    ),
    "a hole of a sandbox without quotes": (
        tool("command: 'ls {x}'\narguments: {x: {format: path}}\nsandbox: {write: [«{x}]}"),
        "tools.a.sandbox.write[0]",
        "expected text",
        "quote it",
    ),
    "a variable in a sandbox": (
        tool("command: ls\nsandbox: {write: [«$HOME/media]}"),
        "tools.a.sandbox.write[0]",
        "variables are not replaced",
        "`~/...`",
    ),
    "the home folder of a sandbox": (
        tool("command: ls\nsandbox: {write: [«~]}"),
        "tools.a.sandbox.write[0]",
        "expected text, found `~`",
        "quote it",
    ),
    "what a sandbox can read, unquoted": (
        tool("command: ls\nsandbox: {read: «~}"),
        "tools.a.sandbox.read",
        "expected text, found `~`",
        "quote it",
    ),
    "a task that is neither": (
        tool("command: ls\ntask: «sometimes"),
        "tools.a.task",
        "expected `never`, `optional` or `always`, found `sometimes`",
        "",
    ),
    "a boolean for a task": (tool("command: ls\ntask: «no"), "tools.a.task", "expected `never`, `optional` or", ""),
    "a task without its mode": (tool("command: ls\ntask: «{ttl: 1h}"), "tools.a.task", "`mode` is missing", ""),
    "a misspelt key of a task": (
        tool("command: ls\ntask: {mode: always, «tll: 1h}"),
        "tools.a.task.tll",
        "unknown key",
        "did you mean `ttl`?",
    ),
    "a task that is asked for too often": (
        tool("command: ls\ntask: {mode: always, poll_interval: «10ms}"),
        "tools.a.task.poll_interval",
        "0.1",
        "",
    ),
    "a key twice": (tool("command: ls\ntitle: x\n«title: y"), "tools.a.title", "stands here twice", "line 4"),
    "a tool twice": ("tools:\n  a: {command: ls}\n  «a: {command: ls}\n", "tools.a", "twice", "line 2"),
    "a name that MCP refuses": ("tools: {«'a b': {command: ls}}\n", "tools.a b", "cannot be a name", "letters, digits"),
    "a tool that is no mapping": ("tools:\n  a: «ls\n", "tools.a", "expected a mapping", "write `command: ...`"),
    "a tool without a command": ("tools:\n  «a:\n    title: x\n", "tools.a", "neither `command` nor", "command: ..."),
    "a command and a shell": (tool("command: ls\n«shell: ls"), "tools.a.shell", "exclude each other", "one of them"),
    "an empty command": (tool("command: «[]"), "tools.a.command", "at least one", ""),
    "a command that is null": (tool("command: «~"), "tools.a.command", "nothing to run", "write a program"),
    "no tools": ("«version: 1\n", "", "`tools` is missing", "write `tools:`"),
    "tools that are a list": (
        "tools:\n  «- name: a\n    command: ls\n",
        "tools",
        "expected a mapping, found a list",
        "write, for example, `tools: {copy: {command:",
    ),
    "a grace that is too long": (
        tool("command: ls\ngrace: «90s"),
        "tools.a.grace",
        "expected at most 30 s, found `90s`",
        "write `30s` or less",
    ),
    "a mapping in braces where text is meant": (
        tool("command: ls\noutput: {files: «{a: b}}"),
        "tools.a.output.files",
        "expected text, found a mapping",
        "'{a: b}'",
    ),
    "tools that are null": ("tools: «~\n", "tools", "expected a mapping, found `~`", ""),
    "a wrong duration": (tool("command: ls\ntimeout: «soon"), "tools.a.timeout", "expected a duration", "`90s`"),
    # --- what the result holds, and what is asked first ---
    "a format that is not known": (
        tool("command: ls\noutput: «jsn"),
        "tools.a.output",
        "expected `text`, `json` or `lines`, found `jsn`",
        "",
    ),
    "an output that is a list": (
        tool("command: ls\noutput: «[json]"),
        "tools.a.output",
        "expected `text`, `json`, `lines` or a mapping",
        "",
    ),
    "a schema of text": (
        tool("command: ls\noutput: {«schema: {type: object}}"),
        "tools.a.output.schema",
        "`schema` is for results that are data",
        "`format: json`",
    ),
    "a schema that is a type": (
        tool("command: ls\noutput: {format: json, schema: «object}"),
        "tools.a.output.schema",
        "expected a mapping, found `object`",
        "",
    ),
    "a wrong type in a schema": (
        tool("command: ls\noutput: {format: json, schema: {properties: {n: {type: «int}}}}"),
        "tools.a.output.schema.properties.n.type",
        "`int` is not a type of JSON Schema",
        "write `integer`",
    ),
    "a reference in a schema": (
        tool("command: ls\noutput: {format: lines, schema: {«$ref: '#/x'}}"),
        "tools.a.output.schema.$ref",
        "`$ref` has no meaning here",
        "YAML anchor",
    ),
    "a file that no argument names": (
        tool("command: ls {input}\noutput: {files: ['«{inptu}']}"),
        "tools.a.output.files[0]",
        "`inptu` is not one of the tool's arguments",
        "did you mean `input`?",
    ),
    "a question that names no argument": (
        tool("command: ls {folder}\nconfirm: 'List «{foldr}?'"),
        "tools.a.confirm",
        "`foldr` is not one of the tool's arguments",
        "did you mean `folder`?",
    ),
    "a question without words": (
        tool("command: ls\nconfirm: «{otherwise: allow}"),
        "tools.a.confirm",
        "`message` is missing",
        "",
    ),
    "a question that asks nothing": (
        tool("command: ls\nconfirm: «''"),
        "tools.a.confirm",
        "the question is empty, so nobody would be asked",
        "say what is going to happen",
    ),
    "a question that is true": (
        tool("command: ls\nconfirm: «true"),
        "tools.a.confirm",
        "expected a question or a mapping, found the boolean `true`",
        "",
    ),
    "an otherwise that is not known": (
        tool("command: ls\nconfirm: {message: Sure?, otherwise: «deny}"),
        "tools.a.confirm.otherwise",
        "expected `refuse` or `allow`, found `deny`",
        "",
    ),
    "an ask that is a question": (
        tool("command: ls\nask: «Which folder?"),
        "tools.a.ask",
        "expected `true` or `false`, found `Which folder?`",
        "",
    ),
    "a wrong size": (tool("command: ls\noutput: {limit: «5x}"), "tools.a.output.limit", "expected a size", "`64KiB`"),
    "a word that is none of the words": (
        tool("command: ls\noutput: {stream: «out}"),
        "tools.a.output.stream",
        "expected `both`, `stdout` or `stderr`, found `out`",
        "",
    ),
    "a number out of bounds": (tool("command: ls\ngrace: «60"), "tools.a.grace", "at most 30 s, found the number", ""),
    "a boolean in quotes": (
        tool("command: ls\nannotations: {read_only: «'yes'}"),
        "tools.a.annotations.read_only",
        "expected `true` or `false`, found `yes`",
        "without quotes",
    ),
    "a progress that is a number": (tool("command: ls\nprogress: «5"), "tools.a.progress", "a parser's name", ""),
    "a choice without its end": (tool("command: [ls, «{if: x}]"), "tools.a.command[1]", "`then` is missing", ""),
    "a version that is not there": ("version: «2\ntools: {a: {command: ls}}\n", "version", "expected 1", ""),
    "an icon that is a file": (
        tool("command: ls\nicons: [{src: «x.png}]"),
        "tools.a.icons[0].src",
        "`x.png`",
        "`https://`",
    ),
    # --- holes and arguments ---
    "a hole that names no argument": (
        tool("command: ls «{sorce}\narguments: {source: {type: string}}"),
        "tools.a.command",
        "`sorce` is not one of the tool's arguments",
        "did you mean `source`?",
    ),
    "a hole without any argument": (
        tool("command: ls «{x}\narguments: {}"),
        "tools.a.command",
        "`x` is not one of the tool's arguments",
        "write `{{x}}` for the text",
    ),
    "an argument that nothing uses": (
        tool("command: ls\narguments: {«source: {type: string}}"),
        "tools.a.arguments.source",
        "nothing uses the argument `source`",
        "`{source}`",
    ),
    "a condition that names no argument": (
        tool("command: [ls, {if: «dry, then: -n}]\narguments: {dry_run: {type: boolean}}"),
        "tools.a.command[1].if",
        "`dry` is not one of the tool's arguments",
        "did you mean `dry_run`?",
    ),
    "a program that is a hole": (tool("command: '«{x} b'"), "tools.a.command", "the program cannot be filled in", ""),
    "an optional value behind an option": (
        tool('command: [ls, -o, "«{x}"]\narguments: {x: {optional: true}}'),
        "tools.a.command[2]",
        "`-o` would stand alone",
        'nested list, `[-o, "{x}"]`',
    ),
    "an array in the working folder": (
        tool("command: ls\ncwd: '«{x}'\narguments: {x: {type: array}}"),
        "tools.a.cwd",
        "the array `x` cannot be filled in here",
        "",
    ),
    "two arrays in one element": (
        tool("command: [ls, '{x}«{y}']\narguments: {x: {type: array}, y: {type: array}}"),
        "tools.a.command[1]",
        "two arrays in one element",
        "",
    ),
    "a wrong type": (
        tool("command: ls {x}\narguments: {x: {type: «str}}"),
        "tools.a.arguments.x.type",
        "`str` is not a type of JSON Schema",
        "write `string`",
    ),
    "a misspelt keyword": (
        tool("command: ls {x}\narguments: {x: {type: integer, «minimun: 0}}"),
        "tools.a.arguments.x.minimun",
        "unknown key",
        "did you mean `minimum`?",
    ),
    "a keyword with a wrong value": (
        tool("command: ls {x}\narguments: {x: {type: integer, minimum: «'0'}}"),
        "tools.a.arguments.x.minimum",
        "expected the type `number`, found `0`",
        "",
    ),
    "required as in older drafts": (
        tool("command: ls {x}\narguments: {x: {required: «true}}"),
        "tools.a.arguments.x.required",
        "`required` takes a list",
        "`optional: true`",
    ),
    "a default that does not fit": (
        tool("command: ls {x}\narguments: {x: {type: integer, maximum: 5, default: «9}}"),
        "tools.a.arguments.x.default",
        "does not fit the argument's own schema",
        "",
    ),
    "a default of null": (
        tool("command: ls {x}\narguments: {x: {type: integer, default: «null}}"),
        "tools.a.arguments.x.default",
        "null means not given",
        "`optional: true`",
    ),
    "a folder for what is no path": (
        tool("command: ls {x}\narguments: {x: {type: string, «within: /tmp}}"),
        "tools.a.arguments.x.within",
        "`within` is for paths only",
        "`format: path`",
    ),
    "a reference": (
        tool("command: ls {x}\narguments: {x: {«$ref: 'https://example.com/x'}}"),
        "tools.a.arguments.x.$ref",
        "`$ref` has no meaning",
        "YAML anchor",
    ),
    "a schema's pattern that does not compile": (
        tool("command: ls {x}\narguments: {x: {pattern: «'('}}"),
        "tools.a.arguments.x.pattern",
        "not a regular expression",
        "",
    ),
    "a schema's pattern that looks around": (
        tool("command: ls {x}\narguments: {x: {propertyNames: {pattern: «'(?!x)'}}}"),
        "tools.a.arguments.x.propertyNames.pattern",
        "not a regular expression of RE2",
        "",
    ),
    "a keyword that would take too long": (
        tool("command: ls {x}\narguments: {x: {type: object, «patternProperties: {'^x': {}}}}"),
        "tools.a.arguments.x.patternProperties",
        "not available",
        "",
    ),
    "a dialect of its own": (
        tool("command: ls {x}\narguments: {x: {type: string, «$schema: 'http://json-schema.org/draft-07/schema#'}}"),
        "tools.a.arguments.x.$schema",
        "`$schema` has no meaning",
        "",
    ),
    "an argument that no form can hold": (
        tool("command: ls {x}\narguments: {x: {type: array, items: {type: string}, «ask: true}}"),
        "tools.a.arguments.x.ask",
        "cannot be asked for this",
        "choices of texts",
    ),
    "a secret that is asked for": (
        tool("command: ls\nenv: {X: '{x}'}\narguments: {x: {type: string, secret: true, «ask: true}}"),
        "tools.a.arguments.x.ask",
        "a secret has no `ask`",
        "not for secrets",
    ),
    "a header that is no token": (
        tool("command: ls {x}\narguments: {x: {x-mcp-header: «'My Region'}}"),
        "tools.a.arguments.x.x-mcp-header",
        "a part of a header's name",
        "letters, digits",
    ),
    "a header for a number": (
        tool("command: ls {x}\narguments: {x: {type: number, «x-mcp-header: Size}}"),
        "tools.a.arguments.x.x-mcp-header",
        "only a string, an integer or a boolean",
        "take it out",
    ),
    "a header for a secret": (
        tool("command: ls\nenv: {X: '{x}'}\narguments: {x: {type: string, secret: true, «x-mcp-header: Key}}"),
        "tools.a.arguments.x.x-mcp-header",
        "a secret has no `x-mcp-header`",
        "reads and logs",
    ),
    "a header for two arguments": (
        tool("command: ls {x} {y}\narguments: {x: {x-mcp-header: Region}, y: {x-mcp-header: «region}}"),
        "tools.a.arguments.y.x-mcp-header",
        "`x` has the same header",
        "another name",
    ),
    "a header within an argument": (
        tool("command: ls {x}\narguments: {x: {type: object, properties: {y: {«x-mcp-header: Y}}}}"),
        "tools.a.arguments.x.properties.y.x-mcp-header",
        "belongs to the argument itself",
        "",
    ),
    "an argument of a shell that changes what runs": (
        tool("shell: ls\narguments: {«LD_PRELOAD: {type: string}}"),
        "tools.a.arguments.LD_PRELOAD",
        "cannot be named `LD_PRELOAD`",
        "another name",
    ),
    "a variable that an argument may not set": (
        tool("command: ls\nenv: {PATH: «'{x}'}"),
        "tools.a.env.PATH",
        "cannot be set from an argument",
        "",
    ),
    # --- progress ---
    "a parenthesis that is not closed": (
        tool("command: ls\nprogress:\n  - pattern: «(\\d+%"),
        "tools.a.progress[0].pattern",
        "a `(` is never closed",
        "`\\(`",
    ),
    "a misspelt parser": (tool("command: ls\nprogress: «rsyn"), "tools.a.progress", "no parser `rsyn`", "`rsync`?"),
    "parsers that lead to one another": (
        "parsers: {x: {parser: «y}, y: {parser: x}}\ntools: {a: {command: ls, progress: x}}\n",
        "parsers.x.parser",
        "leads back to itself: x → y → x",
        "",
    ),
    "a message about nothing": (
        tool("command: ls\nprogress: [{pattern: '(?P<speed>x)', message: '«{sped}'}]"),
        "tools.a.progress[0].message",
        "`sped` is neither a group of the rules nor an argument",
        "did you mean `speed`?",
    ),
    "a message that is about two things": (
        tool("command: ls {speed}\nprogress: [{pattern: '(?P<speed>x)', message: '«{speed}'}]"),
        "tools.a.progress[0].message",
        "`speed` is a group and an argument",
        "rename",
    ),
    "a total that is text": (
        tool("command: ls {n}\nprogress: {total: «'{n}', rules: ['x']}"),
        "tools.a.progress.total",
        "`n` is not a number",
        "type: integer",
    ),
    "a total in quotes": (
        tool("command: ls\nprogress: {total: «'50', rules: ['x']}"),
        "tools.a.progress.total",
        "expected a number or the hole of an argument",
        "without quotes",
    ),
    "a total that is counted twice": (
        tool("command: ls\nprogress: {total: {command: a, «shell: b}, rules: ['x']}"),
        "tools.a.progress.total.shell",
        "exclude each other",
        "",
    ),
    "a stage that is not among the stages": (
        tool("command: ls\nprogress: {stages: {get: 1, put: 2}, rules: [{pattern: 'x', stage: «got}]}"),
        "tools.a.progress.rules[0].stage",
        "`got` is not one of the `stages`",
        "did you mean `get`?",
    ),
    "a stage twice": (
        tool("command: ls\nprogress: {stages: {get: 1, «Get: 2}, rules: ['x']}"),
        "tools.a.progress.stages.Get",
        "the same stage",
        "",
    ),
    # --- the file ---
    "a list at the top": ("«- a\n", "", "expected a mapping, found a list", "write `tools:`"),
    "a second document": ("tools: {a: {command: ls}}\n«---\ntools: {}\n", "", "a second document", "one manifest"),
    "a NUL": ("tools: «\0\n", "", "U+0000", "remove it"),
    "a lone surrogate": ("tools: «\ud800\n", "", "U+D800", "remove it"),
    "an alias inside what it names": ("tools: &a {b: «*a}\n", "", "stands inside what it names", ""),
    "an alias of nothing": ("tools: «*a\n", "", "names nothing before it", ""),
    "nesting": ("tools: " + "[" * 31 + HERE + "[" * 9, "", "more than 32 levels", ""),
}


@pytest.mark.parametrize(("marked", "key", "message", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_one_mistake_is_one_problem_at_its_place(marked: str, key: str, message: str, hint: str) -> None:
    before = marked[: marked.index(HERE)]
    [problem] = problems_of(marked.replace(HERE, ""))
    assert (problem.line, problem.column) == (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
    assert problem.key == key
    assert message in problem.message
    assert hint in problem.hint
    assert problem.severity == "error"


def test_five_mistakes_of_all_kinds_are_shown_in_file_order() -> None:
    text = """\
defaults: {tiemout: 5}
parsers:
  steps: '(\\d+'
tools:
  a:
    command: ls {sorce}
    arguments:
      source: {type: str}
      level: {type: integer, default: high}
    timeout: soon
    env: {X: no}
    progress:
      - pattern: '(?=x)'
      - {pattern: 'x', total: 010}
  b:
    command: ls | wc
    output: {limt: 5}
    progress: steps
  c:
    command: ls
    arguments: {level: {type: integer}}
    timout: 5
"""
    assert [(problem.line, problem.key) for problem in problems_of(text)] == [
        (1, "defaults.tiemout"),
        (3, "parsers.steps"),
        (6, "tools.a.command"),
        (8, "tools.a.arguments.source.type"),
        (9, "tools.a.arguments.level.default"),
        (10, "tools.a.timeout"),
        (11, "tools.a.env.X"),
        (13, "tools.a.progress[0].pattern"),
        (14, "tools.a.progress[1].total"),
        (16, "tools.b.command"),
        (17, "tools.b.output.limt"),
        (21, "tools.c.arguments.level"),
        (22, "tools.c.timout"),
    ]


def test_a_problem_shows_its_line_with_a_caret() -> None:
    [problem] = problems_of(tool("command: ls\ntimout: 5"))
    assert str(problem) == (
        "error: tools.yaml:4:5: tools.a.timout: unknown key\n"
        "  4 |     timout: 5\n"
        "    |     ^\n"
        "hint: did you mean `timeout`?"
    )


def test_a_mistake_in_defaults_or_behind_an_anchor_is_reported_once() -> None:
    [default] = problems_of(
        "defaults: {env: {X: '{nme}'}}\ntools:\n"
        + "".join(f"  {name}: {{command: 'ls {{x}}', arguments: {{x: {{type: string}}}}}}\n" for name in "abc")
    )
    assert (default.line, default.column, default.key) == (1, 22, "defaults.env.X")
    [anchored] = problems_of("x-a: &a\n  timout: 5\n  command: ls\ntools:\n  a: {<<: *a}\n  b: {<<: *a}\n")
    assert (anchored.line, anchored.key) == (2, "tools.a.timout")


def test_nothing_follows_from_a_mistake_that_is_reported() -> None:
    """What is left out for a mistake may use arguments, define parsers, stages or groups."""
    lost_uses = tool("command: [ls, «{x}, '{x}']\ncwd: '{y}'\narguments: {x: {}, y: {}, z: {}}").replace(HERE, "")
    assert [problem.key for problem in problems_of(lost_uses)] == ["tools.a.command[1]"]
    lost_names = tool("command: ls {x}\nargumnts: {x: {}}\nenv: {Y: '{y}'}")
    assert [problem.key for problem in problems_of(lost_names)] == ["tools.a.argumnts"]
    lost_group = tool("command: ls\nprogress: [{pattern: '(?P<a>x', message: '{a}'}]")
    assert [problem.key for problem in problems_of(lost_group)] == ["tools.a.progress[0].pattern"]
    lost_parser = "parsers: {p: [{patern: x}], q: {parser: p}}\ntools: {a: {command: ls, progress: q}}\n"
    assert [problem.key for problem in problems_of(lost_parser)] == ["parsers.p[0].patern"]
    unknown_parser = "parsers: {p: {parser: nix}}\ntools: {a: {command: ls, progress: p}}\n"
    assert [problem.key for problem in problems_of(unknown_parser)] == ["parsers.p.parser"]
    lost_argument = tool("command: ls {x}\narguments: {x: 5}")
    assert [problem.key for problem in problems_of(lost_argument)] == ["tools.a.arguments.x"]


def test_a_name_that_clients_may_refuse_is_a_warning() -> None:
    manifest, [problem] = check([Source("tools.yaml", "/work", "tools: {a.b: {command: ls}}")], {})
    assert manifest is not None
    assert problem.severity == "warning"
    assert str(problem).startswith("warning: tools.yaml:1:9: tools.a.b: some clients refuse")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('arguments: {x: {enum: [plain, «"in\\u202evisible"]}}', "arguments.x.enum[1]"),
        ('arguments: {x: {const: «"a\\u200bb"}}', "arguments.x.const"),
        ('arguments: {x: {default: «"e\\e[31mred"}}', "arguments.x.default"),
        ('arguments: {x: {default: [{a: «"\\u2066"}], type: array}}', "arguments.x.default[0].a"),
        ('arguments: {x: {anyOf: [{const: «"\\u200f"}, {type: string}]}}', "arguments.x.anyOf[0].const"),
        ('arguments: {x: {examples: [«"\\u200f"]}}', "arguments.x.examples[0]"),
        (
            'output: {format: json, schema: {properties: {s: {enum: [«"\\u202e"]}}}}',
            "output.schema.properties.s.enum[0]",
        ),
    ],
)
def test_a_value_that_people_do_not_see_is_a_warning_where_it_stands(body: str, key: str) -> None:
    text = tool(f"command: ls {'{x}' * body.startswith('arguments')}\n{body}")
    manifest, [problem] = check([Source("tools.yaml", "/work", text.replace(HERE, ""))], {})
    assert manifest is not None
    assert (problem.severity, problem.key) == ("warning", f"tools.a.{key}")
    assert "characters that people do not see" in problem.message
    line, column = text.split("\n")[problem.line - 1], problem.column
    assert line.index(HERE) == column - 1


def test_what_scripts_and_emoji_need_is_no_warning() -> None:
    assert problems_of(tool('command: ls {x}\narguments: {x: {enum: ["👩\u200d💻", "família"]}}')) == []


def test_a_tool_in_two_files_is_an_error_that_names_both_lines() -> None:
    first = Source("one.yaml", "/work", "server: {name: x}\ntools:\n  a: {command: ls}\n")
    second = Source("two.yaml", "/work", "tools:\n  b: {command: ls}\n  a: {command: ls}\nserver: {name: y}\n")
    _, problems = check([first, second], {})
    assert [(problem.file, problem.line, problem.column, problem.message) for problem in problems] == [
        ("two.yaml", 3, 3, "`tools.a` stands in one.yaml:3 already"),
        ("two.yaml", 4, 1, "`server` stands in one.yaml:1 already"),
    ]


def test_an_empty_file_and_one_without_text_are_one_problem_of_the_file() -> None:
    for text in ("", "\n", "# nothing\n", "\ufeff"):
        [problem] = problems_of(text)
        assert (problem.line, problem.message) == (0, "the file is empty")


# --- whatever the text ---


LINES = "\n".join(marked for marked, *_ in MISTAKES.values()).replace(HERE, "").split("\n")
YAML_LIKE = st.lists(st.one_of(st.sampled_from(LINES), st.text(alphabet="ab:-[]{}&*!|>'\"%#~,. \t\\0")), max_size=8)


@given(st.one_of(st.text(), YAML_LIKE.map("\n".join)))
@settings(deadline=None, max_examples=300)
def test_no_text_makes_the_check_raise(text: str) -> None:
    manifest, problems = check([Source("tools.yaml", "/work", text)], builtin_parsers())
    assert (manifest is None) == any(problem.severity == "error" for problem in problems)
    assert all(str(problem) for problem in problems)


ALIASES = "x0: &x0 [y, y]\n" + "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]\n" for i in range(1, 12))
MERGES = "x-0: &m0 {a: 1}\n" + "".join(f"x-{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}]}}\n" for i in range(1, 40))
NESTED = "x-0: &n0 {a: 1}\n" + "".join(f"x-{i}: &n{i} {{? *n{i - 1} : 1}}\n" for i in range(1, 200))
BOMBS = {
    "aliases": (ALIASES, "more than 100,000 values"),
    "aliases in a key that is ignored": (ALIASES.replace("\nx", "\nx-"), "more than 100,000 values"),
    "merges": (MERGES, "more than 100,000 values"),
    "aliases as keys": (NESTED, "more than 32 levels"),
    "200,000 items": ("tools:\n" + "- a\n" * 200_000, "more than 100,000 values"),
    "depth 100,000": ("tools: " + "[" * 100_000, "more than 32 levels"),
    "depth 100,000 of mappings": ("tools: " + "{a: " * 100_000, "more than 32 levels"),
    "10 MB": ("tools: " + "a" * 10_000_000, "10,000,007 bytes"),
    "a number of a million digits": (tool("command: ls\ntimeout: " + "9" * 1_000_000), "the number `999"),
}


@pytest.mark.parametrize(("text", "message"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_one_problem_at_once(text: str, message: str) -> None:
    began = time.process_time()
    [problem] = problems_of(text)
    assert time.process_time() - began < 3
    assert message in problem.message
    assert len(str(problem)) < 2000
