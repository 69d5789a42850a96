import json
import posixpath
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cmdtool import argv
from cmdtool.argv import (
    MAX_ELEMENT,
    Invocation,
    absolute_paths,
    argument_texts,
    build_count,
    build_invocation,
    find_program,
)
from cmdtool.errors import ArgumentError, StartError
from cmdtool.host import LocalHost
from cmdtool.model import Counted, JSONValue, Terminal, Tool

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
STRING = {"type": "string"}
STRINGS = {"type": "array", "items": STRING}


class FakeHost:
    """A machine on which `programs` and `paths` exist and `links` lead elsewhere."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        programs: tuple[str, ...] = ("/bin/tool", "/bin/bash"),
        paths: tuple[str, ...] = ("/srv",),
        links: Mapping[str, str] | None = None,
    ) -> None:
        self.environ: Mapping[str, str] = {"PATH": "/bin", "HOME": "/home/me"} if environ is None else environ
        self._programs = programs
        self._paths = paths
        self._links = links or {}
        self.files: dict[str, bytes] = {}

    def which(self, program: str, path: str) -> str | None:
        candidates = [program] if "/" in program else [f"{folder}/{program}" for folder in path.split(":")]
        return next((name for name in candidates if name in self._programs), None)

    def real_path(self, path: str) -> str:
        for link, target in self._links.items():
            path = path.replace(link, target)
        return posixpath.normpath(path)

    def exists(self, path: str) -> bool:
        return posixpath.normpath(path) in (*self._paths, *self._programs)

    def is_folder(self, path: str) -> bool:
        return posixpath.normpath(path) in self._paths

    def read_small(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]


HOST = FakeHost()


def make_tool(command: object = None, arguments: Mapping[str, object] | None = None, **keys: object) -> Tool:
    given = {"name": "tool", "folder": "/srv", "arguments": arguments or {}}
    return Tool.model_validate({**given, **({} if command is None else {"command": command}), **keys})


def build(tool: Tool, host: argv.Resolve = HOST, /, **arguments: JSONValue) -> Invocation:
    return build_invocation(tool, arguments, host)


def elements(command: object, arguments: Mapping[str, object], /, **values: JSONValue) -> list[str]:
    """The argv of `command` without its program."""
    return list(
        build(make_tool(["tool", *command] if isinstance(command, list) else command, arguments), **values).argv
    )[1:]


def refusal(tool: Tool, host: argv.Resolve = HOST, /, **arguments: JSONValue) -> str:
    with pytest.raises(ArgumentError) as caught:
        build(tool, host, **arguments)
    return str(caught.value)


# --- values ----------------------------------------------------------------------------------------------------------


@given(TEXT)
@example("-rf")
@example("$(id) `id`; rm -rf / | cat > x *")
@example("{other} {{other}}")
@example("")
def test_any_text_is_one_element_behind_dashes(value: str) -> None:
    assert elements(["--", "{x}"], {"x": STRING, "other": STRING}, x=value, other="o") == ["--", value]


@given(TEXT, TEXT)
def test_the_number_of_elements_never_depends_on_the_values(a: str, b: str) -> None:
    arguments = {"a": STRING, "b": STRING}
    found = elements(["-v", "--a={a}", ["-b", "x{b}"], "--", "{a}{b}"], arguments, a=a, b=b)
    assert found == ["-v", f"--a={a}", "-b", f"x{b}", "--", a + b]


def test_a_real_program_gets_the_values_as_they_are() -> None:
    values = ["a b", "'\"\\", "$HOME *", "", "é \u2028 \U0001f600", "-x", "line\nbreak", "{v}"]
    code = "import json, sys; json.dump([sys.argv[1:], sys.stdin.read()], sys.stdout)"
    tool = make_tool(
        [sys.executable, "-c", code, "--", "{v}"], {"v": STRINGS, "text": STRING}, stdin="<{text}>", folder="/"
    )
    made = build_invocation(tool, {"v": values, "text": "é\n"}, LocalHost())
    done = subprocess.run(
        made.argv, executable=made.program, env=made.env, cwd=made.cwd, input=made.stdin, stdout=-1, check=True
    )
    assert json.loads(done.stdout) == [["--", *values], "<é\n>"]


@pytest.mark.parametrize(
    ("value", "schema", "text"),
    [
        (True, {"type": "boolean"}, "true"),
        (False, {"type": "boolean"}, "false"),
        (3, {"type": "integer"}, "3"),
        (3.0, {"type": "integer"}, "3"),
        (3.0, {"type": ["integer", "null"]}, "3"),
        (1e22, {"type": "integer"}, "10000000000000000000000"),
        (3.0, {"type": "number"}, "3.0"),
        (0.1, {"type": "number"}, "0.1"),
        (2, {"type": "number"}, "2"),
        ({"b": "é", "a": [1, None]}, {"type": "object"}, '{"b":"é","a":[1,null]}'),
    ],
)
def test_values_are_written_as_text(value: JSONValue, schema: dict[str, Any], text: str) -> None:
    assert elements(["{x}"], {"x": schema}, x=value) == [text]


def test_items_are_written_as_their_own_type_and_nested_arrays_as_json() -> None:
    assert elements(["{x}"], {"x": {"type": "array", "items": {"type": "integer"}}}, x=[1.0, 2]) == ["1", "2"]
    assert elements(["{x}"], {"x": {"type": "array"}}, x=[[1, 2], {"a": 1}]) == ["[1,2]", '{"a":1}']


@pytest.mark.parametrize("value", ["a\0b", {"a": "\ud800"}, "\udc80"])
def test_what_cannot_be_passed_is_refused_by_the_name_of_its_argument(value: JSONValue) -> None:
    assert refusal(make_tool(["tool", "{x}"], {"x": {}}), x=value).startswith("`x`: holds ")
    assert refusal(make_tool(["tool", "{x}"], {"x": {}}), x=["fine", value]).startswith("`x[1]`: holds ")


def test_nothing_of_an_unused_bad_value_gets_through_either() -> None:
    assert "NUL" in refusal(make_tool(["tool"], {"x": STRING}, stdin="{x}"), x="\0")


def test_argument_texts_are_those_that_were_given() -> None:
    tool = make_tool(["tool"], {"n": {"type": "integer"}, "files": STRINGS, "gone": STRING, "none": STRINGS})
    assert argument_texts(tool, {"n": 3.0, "files": ["a", "b"], "gone": None, "none": []}) == {
        "n": "3",
        "files": "a\nb",
    }


# --- elements --------------------------------------------------------------------------------------------------------


def test_an_element_whose_argument_was_not_given_is_left_out() -> None:
    assert elements(["a", "--x={x}", "{x}{y}", "b"], {"x": STRING, "y": STRING}, y="y") == ["a", "b"]
    assert elements(["a", "{x}"], {"x": STRING}, x=None) == ["a"]


def test_an_element_naming_an_array_is_repeated_for_each_item() -> None:
    assert elements(["--e={e}", "--", "{e}"], {"e": STRINGS}, e=["a", "-b"]) == ["--e=a", "--e=-b", "--", "a", "-b"]


@pytest.mark.parametrize("empty", [[], [None]])
def test_an_empty_array_is_left_out(empty: list[None]) -> None:
    command = ["--e={e}", ["-e", "{e}"], {"if": "e", "then": "yes", "else": "no"}]
    assert elements(command, {"e": STRINGS}, e=empty) == ["no"]


def test_a_nested_list_is_left_out_as_a_whole() -> None:
    command = ["a", ["-o", "{o}", "-p={p}"], "b"]
    arguments = {"o": STRING, "p": STRING}
    assert elements(command, arguments, o="o", p="p") == ["a", "-o", "o", "-p=p", "b"]
    assert elements(command, arguments, o="o") == ["a", "b"]


def test_a_list_in_a_nested_list_is_left_out_alone() -> None:
    command = [["-o", "{o}", ["-p", "{p}"]]]
    assert elements(command, {"o": STRING, "p": STRING}, o="o") == ["-o", "o"]
    assert elements(command, {"o": STRING, "p": STRING}, p="p") == []


def test_a_nested_list_naming_an_array_is_repeated_as_a_whole() -> None:
    assert elements([["-e", "{e}", "{n}"]], {"e": STRINGS, "n": STRING}, e=["a", "b"], n="n") == [
        *("-e", "a", "n"),
        *("-e", "b", "n"),
    ]


def test_several_arrays_go_item_by_item() -> None:
    arguments = {"a": STRINGS, "b": STRINGS}
    assert elements(["{a}:{b}"], arguments, a=["1", "2"], b=["3", "4"]) == ["1:3", "2:4"]
    assert elements([["-m", "{a}", "{b}"]], arguments, a=["1"], b=["2"]) == ["-m", "1", "2"]
    tool = make_tool(["tool", "{a}:{b}"], arguments)
    assert refusal(tool, a=["1", "2"], b=["3"]) == "these need the same number of items: `a` has 2 and `b` has 1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, ["--yes"]), (False, ["-n", "o"]), (None, ["-n", "o"]), ("", ["--yes"]), (0, ["--yes"])],
)
def test_a_choice_depends_on_true_or_given(value: JSONValue, expected: list[str]) -> None:
    assert elements([{"if": "x", "then": "--yes", "else": ["-n", "o"]}], {"x": {}}, x=value) == expected


def test_a_choice_without_else_may_leave_nothing() -> None:
    assert elements([{"if": "x", "then": ["--x={y}", ["-y", "{y}"]]}], {"x": {}, "y": STRING}) == []
    assert elements([{"if": "x", "then": ["--x={y}", ["-y", "{y}"]]}], {"x": {}, "y": STRING}, x=True) == []


# --- the leading dash ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["-rf", "-", "--", "--output=/etc/passwd", -5, -0.5])
def test_a_leading_dash_in_an_element_of_its_own_is_refused(value: JSONValue) -> None:
    message = refusal(make_tool(["tool", "{x}"], {"x": {}}), x=value)
    assert message.startswith(f"`x`: `{value}` begins with `-`")
    assert "allow_dash: true" in message


def test_an_empty_value_does_not_hide_the_dash_of_the_next() -> None:
    assert refusal(make_tool(["tool", "{e}{x}z"], {"e": STRING, "x": STRING}), e="", x="-r").startswith("`x`: `-rz`")


@pytest.mark.parametrize("command", [[["-o", "{x}"]], [{"if": "x", "then": "{x}"}], ["{x}", "--"]])
def test_a_dash_is_refused_in_nested_elements_and_before_dashes(command: list[object]) -> None:
    assert "begins with `-`" in refusal(make_tool(["tool", *command], {"x": STRING}), x="-r")


def test_only_dashes_that_are_literal_and_present_end_the_options() -> None:
    free = {"type": "string", "allow_dash": True}
    assert "begins" in refusal(make_tool(["tool", "{d}", "{x}"], {"d": free, "x": STRING}), d="--", x="-r")
    absent = [{"if": "d", "then": "--"}, "{x}"]
    assert "begins" in refusal(make_tool(["tool", *absent], {"d": {}, "x": STRING}), d=False, x="-r")
    assert elements(absent, {"d": {}, "x": STRING}, d=True, x="-r") == ["--", "-r"]


def test_a_dash_is_fine_where_it_begins_no_element_or_is_allowed() -> None:
    assert elements(["--x={x}", "-{x}", " {x}"], {"x": STRING}, x="-r") == ["--x=-r", "--r", " -r"]
    assert elements(["{x}"], {"x": {"allow_dash": True}}, x="-r") == ["-r"]


def test_a_path_with_a_dash_is_told_how_to_be_written() -> None:
    assert "`./-r`" in refusal(make_tool(["tool", "{x}"], {"x": {"format": "path"}}), x="-r")


# --- the kernel's limits ---------------------------------------------------------------------------------------------


def test_an_element_may_be_as_long_as_the_kernel_takes() -> None:
    assert elements(["{x}"], {"x": STRING}, x="é" * (MAX_ELEMENT // 2)) == ["é" * (MAX_ELEMENT // 2)]
    message = refusal(make_tool(["tool", "x{x}"], {"x": STRING}), x="é" * (MAX_ELEMENT // 2 + 1))
    assert message == "`x`: 131,073 bytes are more than one element of a command line can hold (131,071)"


def test_a_variable_counts_with_its_name() -> None:
    tool = make_tool(arguments={"x": STRING}, shell="echo")
    assert build(tool, x="a" * (MAX_ELEMENT - 2)).env["x"]
    assert refusal(tool, x="a" * (MAX_ELEMENT - 1)).startswith("`x`: 131,072 bytes")


def test_all_elements_together_are_bounded() -> None:
    tool = make_tool(["tool", "{n}{x}"], {"x": STRINGS, "n": STRING})
    message = refusal(tool, x=["a" * 1000] * 3000, n="n")
    assert message.startswith("`x`: command line and environment together exceed")
    assert "3,000,000 bytes" in message
    assert refusal(tool, x=["a"] * 1_000, n="n" * 100_000).startswith("`n`: ")


def test_standard_input_is_not_bounded_by_it() -> None:
    assert len(build(make_tool(["tool"], {"x": STRING}, stdin="{x}"), x="a" * 5_000_000).stdin) == 5_000_000


def test_an_environment_that_leaves_no_room_is_not_the_arguments_fault() -> None:
    host = FakeHost({"PATH": "/bin", **{f"LC_{n}": "x" * 100_000 for n in range(30)}})
    with pytest.raises(StartError, match="together exceed"):
        build(make_tool(["tool"]), host)


def test_a_real_program_starts_at_the_bound() -> None:
    """The bound is below what this kernel takes with the usual stack limit."""
    count = argv.MAX_TOTAL // (100_000 + 9) - 1
    tool = make_tool(["/bin/true", "{x}"], {"x": STRINGS}, folder="/")
    made = build_invocation(tool, {"x": ["a" * 100_000] * count}, FakeHost({}, ("/bin/true",), ("/",)))
    assert subprocess.run(made.argv, env=made.env, check=True).returncode == 0


# --- shell -----------------------------------------------------------------------------------------------------------


def test_a_shell_gets_its_text_unchanged_and_arguments_as_variables() -> None:
    kinds: dict[str, object] = {"s": STRING, "yes": {}, "no": {}, "files": STRINGS, "o": {}, "n": {}, "gone": STRING}
    host = FakeHost({"PATH": "/bin", "gone": "inherited", "no": "inherited"})
    tool = make_tool(arguments=kinds, shell='echo "$s" {s}', inherit_env=("*",))
    made = build(tool, host, s="$(id); {o}", yes=True, no=False, files=["a b", "-c"], o={"k": 1}, n=2, gone=None)
    assert made.argv == ("bash", "-eo", "pipefail", "-c", 'echo "$s" {s}')
    assert made.program == "/bin/bash"
    expected = {"PATH": "/bin", "s": "$(id); {o}", "yes": "true", "files": "a b\n-c", "o": '{"k":1}', "n": "2"}
    assert made.env == expected


def test_an_item_with_a_line_break_is_refused_where_items_are_lines() -> None:
    assert refusal(make_tool(arguments={"f": STRINGS}, shell="cat"), f=["a", "b\nc"]).startswith("`f`: `b")
    assert refusal(make_tool(["tool"], {"f": STRINGS}, stdin="{f}"), f=["b\nc"]).startswith("`f`: `b")
    assert elements(["{f}"], {"f": STRINGS}, f=["b\nc"]) == ["b\nc"]


def test_the_shell_program_can_be_changed() -> None:
    tool = make_tool(shell="x", shell_program=("tool", "-c"))
    assert build(tool).argv == ("tool", "-c", "x")


@given(TEXT)
def test_no_value_reaches_the_text_of_a_shell(value: str) -> None:
    made = build(make_tool(arguments={"v": STRING}, shell='printf %s "$v"'), v=value)
    assert made.argv[-1] == 'printf %s "$v"'
    assert made.env["v"] == value


# --- environment, folder, standard input -----------------------------------------------------------------------------


def test_the_environment_is_an_allow_list() -> None:
    standard = {
        **{"PATH": "/bin", "HOME": "/home/me", "USER": "u", "LOGNAME": "u", "SHELL": "s", "LANG": "C", "LC_ALL": "C"},
        **{"TZ": "UTC", "TERM": "t", "TMPDIR": "/t", "SSH_AUTH_SOCK": "/s", "XDG_RUNTIME_DIR": "/r"},
        **{"HTTP_PROXY": "p", "no_proxy": "p"},
    }
    other = {"AWS_PROFILE": "a", "CUDA_HOME": "c", "LD_PRELOAD": "l", "aws_profile": "a", "TERMINAL": "x"}
    host = FakeHost({**standard, **other})
    assert build(make_tool(["tool"]), host).env == standard
    some = build(make_tool(["tool"], inherit_env=("AWS_PROFILE", "CUDA_*")), host).env
    assert some == {**standard, "AWS_PROFILE": "a", "CUDA_HOME": "c"}
    assert build(make_tool(["tool"], inherit_env=("*",)), host).env == {**standard, **other}


def test_env_is_filled_and_unset_where_its_argument_was_not_given() -> None:
    env = {"LANG": "C.UTF-8", "TOKEN": "<{t}>", "TZ": "{zone}", "LIST": "{l}", "JSON": '{"a": {}}'}
    host = FakeHost({"PATH": "/bin", "LANG": "de", "TZ": "UTC"})
    tool = make_tool(["tool"], {"t": STRING, "zone": STRING, "l": STRINGS}, env=env)
    assert build(tool, host, t="{zone}", l=["a", "b"]).env == {
        **{"PATH": "/bin", "LANG": "C.UTF-8", "TOKEN": "<{zone}>", "LIST": "a\nb", "JSON": '{"a": {}}'},
    }


def test_arguments_of_a_command_are_no_variables() -> None:
    assert "x" not in build(make_tool(["tool", "x{x}"], {"x": STRING}), x="-").env


def test_the_search_path_stands_before_path() -> None:
    tool = make_tool(["tool"], path=("/opt/bin", "~/bin"))
    host = FakeHost(programs=("/bin/tool", "/home/me/bin/tool"))
    made = build(tool, host)
    assert made.env["PATH"] == "/opt/bin:/home/me/bin:/bin"
    assert (made.program, made.argv) == ("/home/me/bin/tool", ("tool",))


@pytest.mark.parametrize(
    ("cwd", "folder"),
    [(None, "/srv"), ("sub", "/srv/sub"), ("/abs", "/abs"), ("~/x", "/home/me/x"), ("{d}/y", "/srv/~/y")],
)
def test_the_folder_is_relative_to_the_manifests(cwd: str | None, folder: str) -> None:
    tool = make_tool(["tool"], {"d": STRING}, **({"cwd": cwd} if cwd else {}))
    assert build(tool, FakeHost(paths=(folder,)), d="~").cwd == folder


def test_the_folder_is_the_manifests_where_its_argument_was_not_given() -> None:
    assert build(make_tool(["tool"], {"d": STRING}, cwd="{d}")).cwd == "/srv"


def test_a_folder_that_does_not_exist_is_an_error_before_the_start() -> None:
    tool = make_tool(["tool"], {"d": STRING}, cwd="{d}")
    assert refusal(tool, d="none") == "`d`: the working directory `/srv/none` does not exist"
    with pytest.raises(StartError, match="the working directory `/none` does not exist"):
        build(make_tool(["tool"], cwd="/none"))
    with pytest.raises(StartError, match="the working directory `/bin/tool` is not a folder"):
        build(make_tool(["tool"], cwd="/bin/tool"))


def test_standard_input_is_empty_unless_given() -> None:
    tool = make_tool(["tool"], {"x": STRING}, stdin="é{x}")
    assert build(tool).stdin == b""
    assert build(tool, x="{x}\n").stdin == "é{x}\n".encode()
    assert build(make_tool(["tool"])).stdin == b""


# --- program ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "program"),
    [("tool", "/bin/tool"), ("./tool", "/srv/./tool"), ("~/tool", "/home/me/tool"), ("/opt/tool", "/opt/tool")],
)
def test_a_program_is_found_and_stays_as_written(written: str, program: str) -> None:
    made = build(make_tool([written], cwd="/abs"), FakeHost(programs=(program,), paths=("/abs",)))
    assert (made.program, made.argv) == (program, (written,))


def test_a_missing_program_is_named_with_what_was_searched() -> None:
    with pytest.raises(StartError, match=r"^the program `nope` was not found; searched: /opt:/bin\nhint: install it"):
        build(make_tool(["nope"], path=("/opt",)))
    with pytest.raises(StartError, match=r"^the program `/srv/\./nope` does not exist$"):
        build(make_tool(["./nope"]))
    with pytest.raises(StartError, match=r"^the program `/srv` is not an executable file$"):
        build(make_tool(["/srv"]))
    with pytest.raises(StartError, match=r"HOME is not set"):
        build(make_tool(["~/nope"]), FakeHost({}))


def test_programs_are_found_without_a_call() -> None:
    assert find_program(make_tool(["tool", "{x}"], {"x": STRING}), HOST) == "/bin/tool"
    assert find_program(make_tool(shell="x"), HOST) == "/bin/bash"
    with pytest.raises(StartError):
        find_program(make_tool(["tool"]), HOST, Counted.model_validate({"command": "wc -l"}))


# --- paths -----------------------------------------------------------------------------------------------------------


def path_tool(**keys: object) -> Tool:
    path = {"type": "string", "format": "path", **keys}
    return make_tool(["tool", "--", "{p}"], {"p": path}, cwd="/srv/work")


PATHS = FakeHost(
    paths=("/srv/work", "/srv/work/media/a", "/srv/media/a"), links={"/srv/media/out": "/etc", "/srv/in": "/srv/media"}
)


@pytest.mark.parametrize("path", ["/srv/media", "/srv/media/a", "../media/a/../b", "/srv/in/x", "/home/me/v/x"])
def test_a_path_within_is_passed_as_written(path: str) -> None:
    assert build(path_tool(within=["media", "~/v"]), PATHS, p=path).argv[-1] == path


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "media/a", "../media/../x", "/srv/media2", "/srv", "/", "/srv/media/out/x", "~/v/x", ".", ""],
)
def test_a_path_elsewhere_is_refused(path: str) -> None:
    message = refusal(path_tool(within=["media", "~/v"]), PATHS, p=path)
    assert message.startswith("`p`: ")
    if path:
        assert message == f"`p`: `{path}` is not within `/srv/media` or `/home/me/v`"


def test_the_root_holds_everything() -> None:
    assert build(path_tool(within="/"), PATHS, p="x").argv[-1] == "x"


def test_each_item_of_an_array_is_checked() -> None:
    arguments = {"p": {"type": "array", "items": {"type": "string", "format": "path"}, "within": ["/srv/media"]}}
    assert "`/etc`" in refusal(make_tool(["tool", "--", "{p}"], arguments), p=["/srv/media/a", "/etc"])


def test_a_path_that_must_exist_is_looked_for_in_the_working_directory() -> None:
    tool = path_tool(must_exist=True)
    assert build(tool, PATHS, p="media/a").argv[-1] == "media/a"
    assert refusal(tool, PATHS, p="a") == "`p`: `a` does not exist"


def test_a_path_that_names_the_working_directory_starts_from_the_manifests_folder() -> None:
    arguments = {"p": {"type": "string", "format": "path", "within": ["/srv/work"], "must_exist": True}}
    tool = make_tool(["tool"], arguments, cwd="{p}")
    assert build(tool, PATHS, p="work").cwd == "/srv/work"
    # From its own place it would lie within, from the manifest's folder it does not.
    assert "is not within" in refusal(tool, FakeHost(links={"/x/../x": "/srv/work"}), p="../x")


def test_links_of_the_real_machine_are_followed(tmp_path_factory: pytest.TempPathFactory) -> None:
    top = tmp_path_factory.mktemp("top")
    (top / "media").mkdir()
    (top / "secret").touch()
    (top / "media" / "link").symlink_to(top / "secret")
    arguments = {"p": {"type": "string", "format": "path", "within": ["media"]}}
    tool = make_tool([sys.executable, "{p}"], arguments, folder=str(top))
    assert build(tool, LocalHost(), p="media/new").argv[-1] == "media/new"
    assert "is not within" in refusal(tool, LocalHost(), p="media/link")
    assert "is not within" in refusal(tool, LocalHost(), p="media/new/../../secret")


def test_the_callers_paths_become_absolute_and_nothing_else() -> None:
    path = {"type": "string", "format": "path"}
    tool = make_tool(["tool"], {"p": path, "q": path, "ps": {"type": "array", "items": path}, "s": STRING, "n": path})
    given = {"p": "a/-b", "q": "/abs", "ps": ["x", "", 3], "s": "text", "n": 5, "unknown": "u"}
    made = absolute_paths(tool, given, "/here")
    assert made == {**given, "p": "/here/a/-b", "ps": ["/here/x", "", 3]}


# --- counted totals --------------------------------------------------------------------------------------------------


def test_a_count_runs_in_the_same_environment_and_folder_without_input() -> None:
    tool = make_tool(["tool"], {"x": STRING}, env={"E": "{x}"}, cwd="/abs", stdin="{x}")
    host = FakeHost(programs=("/bin/wc", "/bin/tool"), paths=("/abs",))
    made = build_count(tool, Counted.model_validate({"command": ["wc", "-l", "--", "{x}"]}), {"x": "-f"}, host)
    main = build(tool, host, x="-f")
    assert made == Invocation("/bin/wc", ("wc", "-l", "--", "-f"), main.env, main.cwd, b"")


def test_a_counting_shell_gets_the_arguments_as_variables() -> None:
    tool = make_tool(["tool", "--", "{x}"], {"x": STRING})
    made = build_count(tool, Counted.model_validate({"shell": 'ls "$x" | wc -l'}), {"x": "a b"}, HOST)
    assert made.argv == ("bash", "-eo", "pipefail", "-c", 'ls "$x" | wc -l')
    assert made.env["x"] == "a b"


def test_a_counting_command_obeys_the_leading_dash_rule() -> None:
    with pytest.raises(ArgumentError, match="begins with `-`"):
        build_count(
            make_tool(["tool"], {"x": STRING}), Counted.model_validate({"command": "tool {x}"}), {"x": "-r"}, HOST
        )


# --- terminals -------------------------------------------------------------------------------------------------------


def test_a_terminal_is_named_and_another_ones_size_is_not_passed_on() -> None:
    host = FakeHost({"PATH": "/bin", "TERM": "dumb", "COLUMNS": "7", "LINES": "7"})
    with_terminal = make_tool(["tool"], pty=True, inherit_env=("*",))
    assert build(with_terminal, host).env == {"PATH": "/bin", "TERM": "xterm-256color"}
    assert build(make_tool(["tool"], inherit_env=("*",)), host).env == host.environ
    own = {"TERM": "vt100", "COLUMNS": "50"}
    assert build(make_tool(["tool"], pty=True, env=own), host).env == {"PATH": "/bin", **own}


def test_without_pty_there_is_no_terminal_and_a_count_never_has_one() -> None:
    assert build(make_tool(["tool"])).terminal is None
    assert build(make_tool(["tool"], pty={"columns": 120})).terminal == Terminal(columns=120)
    assert build_count(make_tool(["tool"], pty=True), Counted(command=("tool",)), {}, HOST).terminal is None


@pytest.mark.parametrize(
    ("keys", "controlling"),
    [
        ({"command": ["tool", "pv", "--pv "]}, "stdout"),
        ({"command": ["/bin/pv", "x"]}, "stderr"),
        ({"command": ["/bin/nice", "-n", "5", "pv", "x"]}, "stderr"),
        ({"command": ["bash", "-c", "pv x > y"]}, "stderr"),
        ({"shell": "scp pv host:"}, "stdout"),
        ({"shell": "mpv x; echo pv"}, "stdout"),
        ({"shell": "tar -c . |pv | zstd"}, "stderr"),
        ({"shell": "set -e\n  pv x > y"}, "stderr"),
        ({"shell": "pv x > y", "pty": {"controlling": "stdout"}}, "stdout"),
    ],
)
def test_the_controlling_terminal_is_where_the_program_looks(keys: dict[str, Any], controlling: str) -> None:
    host = FakeHost(programs=("/bin/tool", "/bin/bash", "/bin/nice", "/bin/pv"))
    terminal = build(make_tool(**{"pty": True, **keys}), host).terminal
    assert terminal is not None
    assert terminal.controlling == controlling


# --- env_file and secrets ---


def test_an_env_file_stands_between_what_is_inherited_and_env() -> None:
    host = FakeHost({"PATH": "/bin", "HOME": "/home/me", "LANG": "C", "TZ": "UTC"})
    host.files["/srv/a.env"] = b"LANG=en\nB=file\nC=file\nx=file\n"
    tool = make_tool(
        shell="true", arguments={"x": {"type": "string", "optional": True}}, env_file="a.env", env={"C": "own"}
    )
    env = build(tool, host).env
    assert {name: env.get(name) for name in ("TZ", "LANG", "B", "C", "x")} == {
        "TZ": "UTC",
        "LANG": "en",
        "B": "file",
        "C": "own",
        "x": None,
    }


def test_an_env_file_that_is_missing_starts_nothing() -> None:
    with pytest.raises(StartError, match=r"`/srv/a\.env` does not exist"):
        build(make_tool(["tool"], env_file="a.env"))
