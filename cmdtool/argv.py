"""A tool and its arguments become what a process is started with: argv, environment, folder, standard input.

One value is one element, filled in one pass; no shell ever reads a value. Nothing here looks at the machine except
through `Resolve`. `within` is checked before the command starts, so whoever can change links in between gets around
it: the barrier against that is a sandbox.
"""

import glob
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Protocol, TypeAlias, TypeVar

from cmdtool.env_file import parse_env_file
from cmdtool.errors import ArgumentError, BadValue, CmdtoolError, StartError
from cmdtool.model import Choice, Counted, Element, Group, JSONValue, Limits, Terminal, Tool
from cmdtool.programs import running_programs
from cmdtool.template import Hole, Template
from cmdtool.text import clean_line

MAX_ELEMENT: Final = 131_071
"""Bytes of one argv element or environment variable: MAX_ARG_STRLEN without its NUL, execve(2)."""

MAX_TOTAL: Final = 2 * 1024 * 1024 - 64 * 1024
"""Bytes of all of them together: a quarter of the usual 8 MiB stack limit, execve(2), and room for the kernel's own."""

_POINTER: Final = 8
DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_INHERITED: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TERM", "TMPDIR", "SSH_AUTH_SOCK"),
    *("XDG_*", "*_PROXY", "*_proxy"),
)
_TERMINAL_TYPE: Final = "xterm-256color"

T = TypeVar("T")
Value: TypeAlias = str | tuple[str, ...]
"""The text of an argument that was given; an array has one text an item."""


class Resolve(Protocol):
    """What must be asked of the machine."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of this process."""

    def which(self, program: str, path: str) -> str | None:
        """Return the absolute path of an executable file: `program` itself, or found in the folders of `path`."""

    def real_path(self, path: str) -> str:
        """Return `path` with all symbolic links followed; what does not exist stays as it is."""

    def exists(self, path: str) -> bool:
        """Whether there is something at `path`."""

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder at `path`."""

    def read_small(self, path: str) -> bytes:
        """Return what the regular file `path` holds.

        Raises:
            OSError: it cannot be read, or holds more than 1 MiB.
            CmdtoolError: others could have written it.
        """


@dataclass(frozen=True, slots=True)
class Invocation:
    """All that a process is started with. `program` is absolute; `argv[0]` is the program as it was written."""

    program: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes
    terminal: Terminal | None = None
    """What standard output and error are; pipes without one."""
    limits: Limits | None = None
    """What each process may use; None is no limit."""
    shown: Mapping[str, bool] | None = None
    """Whether the sandbox that is started, which then starts the command, shows what lies at a real path.

    The innermost path decides; None without a sandbox.
    """

    @property
    def is_sandboxed(self) -> bool:
        """Whether what is started is the sandbox, and only what that starts the command."""
        return self.shown is not None

    def shows(self, path: str) -> bool:
        """Whether the command can see a real path."""
        return self.shown is None or innermost(path, self.shown)


@dataclass(frozen=True, slots=True)
class FilePattern:
    """Where files lie that a command makes: an absolute path, as `glob` reads it, with values taken literally."""

    pattern: str
    within: tuple[str, ...]
    """Folders that the files must lie in; anywhere if there are none."""


def build_invocation(tool: Tool, arguments: Mapping[str, JSONValue], resolve: Resolve) -> Invocation:
    """Return what runs `tool` with `arguments`.

    An element that names an array is repeated for each item; a nested list that names one is repeated as a whole
    (`[--exclude, "{exclude}"]` gives `--exclude a --exclude b`). Several arrays in one element or nested list go item
    by item. Null and an empty array are the same as not given.

    Args:
        tool: a tool of a checked manifest.
        arguments: values by argument name, already checked against the tool's `inputSchema`.
        resolve: answers for the file system and the environment.

    Raises:
        ArgumentError: a value holds NUL or is not text, begins with `-` where no `--` precedes it (POSIX Guideline
            10), is too long, or names a path that it may not.
        StartError: the program or the working directory does not exist.
    """
    values = argument_values(tool, arguments)
    stdin = _fill(tool.stdin, values) if tool.stdin else None
    invocation = _invocation(tool, tool, arguments, values, resolve)
    return replace(invocation, stdin=(stdin or "").encode(), terminal=_terminal(tool))


def build_count(tool: Tool, counted: Counted, arguments: Mapping[str, JSONValue], resolve: Resolve) -> Invocation:
    """Return what counts a total of `tool`: in the same environment and folder, with empty standard input and pipes.

    Raises:
        ArgumentError, StartError: as `build_invocation`.
    """
    return _invocation(tool, counted, arguments, argument_values(tool, arguments), resolve)


def file_patterns(
    tool: Tool, arguments: Mapping[str, JSONValue], cwd: str, resolve: Resolve
) -> tuple[FilePattern, ...]:
    """Return where the files of `output.files` lie: one pattern an item of an array, none where a value is not given.

    A file lies within the folders of an argument in its path, as the argument itself does.
    """
    values = argument_values(tool, arguments)
    patterns = []
    for template in tool.output.files:
        starts_at_home = str(template.parts[0]).startswith("~/") and not isinstance(template.parts[0], Hole)
        folders = [folder for name in template.holes for folder in tool.arguments[name].within]
        within = tuple(locate(tool, folder, resolve) for folder in folders)
        for bound in _bindings(template.holes, values):
            if len(template.parts) > 1:
                _refuse_way_up({name: _one(bound[name]) for name in template.holes})
            path = template.fill({name: glob.escape(_one(bound[name])) for name in template.holes})
            whole = locate(tool, path, resolve) if starts_at_home else posixpath.join(glob.escape(cwd), path)
            patterns.append(FilePattern(whole, within))
    return tuple(dict.fromkeys(patterns))


def _refuse_way_up(texts: Mapping[str, str]) -> None:
    """Refuse a value with `..` where it is a part of a path: it would lead to files that nobody meant."""
    for name, text in texts.items():
        if ".." in text.split("/"):
            raise ArgumentError(f"`{name}`: {_shown(text)} holds `..`, and is a part of a path")


def find_program(tool: Tool, resolve: Resolve, runs: Tool | Counted | None = None) -> str:
    """Return the absolute path of the program that `tool` starts, or that `runs`, one of its counted totals, does.

    Raises:
        StartError: there is none; the message holds the PATH that was searched.
    """
    program = _elements(tool, runs or tool)[0]
    assert isinstance(program, Template)
    return _locate_program(tool, program.fill({}), resolve)


def read_env_file(tool: Tool, resolve: Resolve) -> dict[str, str]:
    """Return the variables that the tool's `env_file` sets; none if it has no such file.

    Raises:
        StartError: it cannot be read, others could have written it, or a line of it is wrong.
    """
    if tool.env_file is None:
        return {}
    path = locate(tool, tool.env_file, resolve)
    try:
        return parse_env_file(resolve.read_small(path).decode("utf-8"))
    except FileNotFoundError as exc:
        raise StartError(f"the `env_file` {_shown(path)} does not exist") from exc
    except OSError as exc:
        raise StartError(f"the `env_file` {_shown(path)} cannot be read: {(exc.strerror or str(exc)).lower()}") from exc
    except UnicodeDecodeError as exc:
        raise StartError(f"the `env_file` {_shown(path)} is not UTF-8 (byte {exc.start})") from None
    except BadValue as exc:
        hint = f"\nhint: {exc.hint}" if exc.hint else ""
        raise StartError(f"the `env_file` {_shown(path)}, {exc.message}{hint}") from exc
    except CmdtoolError as exc:
        raise StartError(f"the `env_file` {exc}") from exc


def argument_texts(tool: Tool, arguments: Mapping[str, JSONValue]) -> dict[str, str]:
    """Return the arguments that were given as the text that messages and totals show; an array is one line an item.

    Raises:
        ArgumentError: a value holds NUL or is not text.
    """
    values = argument_values(tool, arguments)
    return {name: value if isinstance(value, str) else "\n".join(value) for name, value in values.items()}


def absolute_paths(tool: Tool, arguments: Mapping[str, JSONValue], folder: str) -> dict[str, JSONValue]:
    """Return `arguments` with each `format: path` value made absolute from `folder`, the one the caller stands in.

    Values are not checked yet: what is no text stays for the check to complain about.
    """

    def absolute(value: JSONValue) -> JSONValue:
        return posixpath.join(folder, value) if isinstance(value, str) and value else value

    paths = dict(arguments)
    for name, argument in tool.arguments.items():
        items = argument.property_schema.get("items")
        if name in paths and argument.is_path:
            paths[name] = absolute(paths[name])
        elif isinstance(paths.get(name), list) and isinstance(items, Mapping) and items.get("format") == "path":
            paths[name] = [absolute(item) for item in paths[name]]
    return paths


# --- values ----------------------------------------------------------------------------------------------------------


def argument_values(tool: Tool, arguments: Mapping[str, JSONValue]) -> dict[str, Value]:
    """Return the text of each argument that was given.

    Raises:
        ArgumentError: a value holds NUL or is not text.
    """
    values: dict[str, Value] = {}
    for name, value in arguments.items():
        schema = tool.arguments[name].property_schema
        if isinstance(value, list):
            items = [(f"{name}[{index}]", item) for index, item in enumerate(value) if item is not None]
            if items:
                values[name] = tuple(_text(label, item, schema.get("items")) for label, item in items)
        elif value is not None:
            values[name] = _text(name, value, schema)
    return values


def _text(label: str, value: JSONValue, schema: object) -> str:
    if isinstance(value, float) and value.is_integer() and _is_integer(schema):
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if "\0" in text:
        raise ArgumentError(f"`{label}`: holds a NUL character, which no command can be given")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        code = ord(text[exc.start])
        raise ArgumentError(f"`{label}`: holds the lone surrogate U+{code:04X}, which is not text") from exc
    return text


def _is_integer(schema: object) -> bool:
    types = schema.get("type") if isinstance(schema, Mapping) else None
    return types == "integer" or (isinstance(types, list | tuple) and "integer" in types)


def _fill(template: Template, values: Mapping[str, Value]) -> str | None:
    """Return the text with arrays as one line an item, or None where an argument was not given."""
    if not all(name in values for name in template.holes):
        return None
    return template.fill({name: _lines(name, values[name]) for name in template.holes})


def _lines(name: str, value: Value) -> str:
    if isinstance(value, str):
        return value
    for item in value:
        if "\n" in item:
            raise ArgumentError(f"`{name}`: {_shown(item)} holds a line break; the items are passed one a line")
    return "\n".join(value)


def _shown(text: str) -> str:
    return f"`{clean_line(text, 80)}`"


# --- argv ------------------------------------------------------------------------------------------------------------


def _elements(tool: Tool, runs: Tool | Counted) -> tuple[Element, ...]:
    if runs.shell is not None:
        return tuple(Template((word,)) for word in (*tool.shell_program, runs.shell))
    assert runs.command is not None
    return runs.command


class _CommandLine:
    """The elements of one command line as they are filled, within what `execve` takes."""

    def __init__(self, tool: Tool, arguments: Mapping[str, JSONValue], values: Mapping[str, Value], size: int) -> None:
        """`size` is what the environment takes already."""
        self.argv: list[str] = []
        self._tool = tool
        self._arguments = arguments
        self._values = values
        self._size = size
        self._options_ended = False

    def add(self, element: Element, values: Mapping[str, Value]) -> None:
        if isinstance(element, Template):
            for bound in _bindings(element.holes, values):
                self._append(element, bound)
        elif isinstance(element, Group):
            names = [name for part in element.root if isinstance(part, Template) for name in part.holes]
            for bound in _bindings(names, values):
                self._add_all(element.root, bound)
        else:
            self._add_all(element.then if self._holds(element) else element.otherwise, values)

    def _add_all(self, elements: Iterable[Element], values: Mapping[str, Value]) -> None:
        for element in elements:
            self.add(element, values)

    def _holds(self, choice: Choice) -> bool:
        name = choice.condition
        return name in self._values and self._arguments[name] is not False

    def _append(self, template: Template, values: Mapping[str, Value]) -> None:
        texts = [_one(values[part.name]) if isinstance(part, Hole) else part for part in template.parts]
        # An empty value gives way to the next part, which then begins the element.
        begins = next((part for part, text in zip(template.parts, texts, strict=True) if text), "")
        element = "".join(texts)
        if isinstance(begins, Hole) and element.startswith("-") and not self._options_ended:
            self._refuse_option(begins.name, element)
        self._size += _require_element(element, template.holes)
        if self._size > MAX_TOTAL:
            raise _too_large(self._values)
        self._options_ended |= template.parts == ("--",)
        self.argv.append(element)

    def _refuse_option(self, name: str, element: str) -> None:
        argument = self._tool.arguments[name]
        if argument.allow_dash:
            return
        path = f" (write a path as {_shown('./' + element)})" if argument.is_path else ""
        raise ArgumentError(
            f"`{name}`: {_shown(element)} begins with `-`, so the command could take it for an option{path}\n"
            f"hint: the manifest allows it with `--` before `{{{name}}}`, or with `allow_dash: true`"
        )


def _bindings(names: Iterable[str], values: Mapping[str, Value]) -> Iterator[Mapping[str, Value]]:
    """Yield `values` once for each item of the arrays among `names`, the n-th items together; none if one is absent."""
    if not all(name in values for name in names):
        return
    arrays = {name: value for name in names if isinstance(value := values[name], tuple)}
    if not arrays:
        yield values
        return
    if len({len(items) for items in arrays.values()}) > 1:
        counts = " and ".join(f"`{name}` has {len(items)}" for name, items in arrays.items())
        raise ArgumentError(f"these need the same number of items: {counts}")
    for items in zip(*arrays.values(), strict=True):
        yield {**values, **dict(zip(arrays, items, strict=True))}


def _one(value: Value) -> str:
    assert isinstance(value, str), "_bindings has chosen an item"
    return value


def _require_element(text: str, names: Iterable[str]) -> int:
    """Return what `text` takes of the room for argv and environment."""
    size = _size(text)
    if size > MAX_ELEMENT:
        named = " and ".join(f"`{name}`" for name in dict.fromkeys(names))
        message = f"{size:,} bytes are more than one element of a command line can hold ({MAX_ELEMENT:,})"
        raise ArgumentError(f"{named}: {message}") if named else StartError(message)
    return size + 1 + _POINTER


def _too_large(values: Mapping[str, Value]) -> ArgumentError | StartError:
    message = f"command line and environment together exceed the {MAX_TOTAL:,} bytes that a program can be given"
    if not values:
        return StartError(message)
    sizes = {name: _size("".join(value)) for name, value in values.items()}
    largest = max(sizes, key=sizes.__getitem__)
    return ArgumentError(f"`{largest}`: {message}; this argument, of {sizes[largest]:,} bytes, is the largest")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))  # inherited variables and folders may be any bytes


# --- program, folder and environment ---------------------------------------------------------------------------------


def _invocation(
    tool: Tool,
    runs: Tool | Counted,
    arguments: Mapping[str, JSONValue],
    values: Mapping[str, Value],
    resolve: Resolve,
) -> Invocation:
    cwd = _folder(tool, values, resolve)
    _check_paths(tool, values, cwd, resolve)
    if why := _why_no_folder(cwd, resolve):
        message = f"the working directory {_shown(cwd)} {why}"
        names = tool.cwd.holes if tool.cwd else ()
        raise ArgumentError(f"`{names[0]}`: {message}") if names else StartError(message)
    # A counted `shell:` needs the arguments as variables even where the tool itself is a `command:`.
    as_variables = tool.shell is not None or runs.shell is not None
    env = _environment(tool, arguments if as_variables else None, values, resolve)
    size = sum(_size(name) + _size(text) + 2 + _POINTER for name, text in env.items())
    line = _CommandLine(tool, arguments, values, size)
    for element in _elements(tool, runs):
        line.add(element, values)
    program = _locate_program(tool, line.argv[0], resolve)
    limits = tool.limits if tool.limits.are_set else None
    return Invocation(program, tuple(line.argv), env, cwd, b"", limits=limits)


def _locate_program(tool: Tool, program: str, resolve: Resolve) -> str:
    if "/" in program:
        path = locate(tool, program, resolve)
        if found := resolve.which(path, ""):
            return found
        what = "is not an executable file" if resolve.exists(path) else "does not exist"
        raise StartError(f"the program `{path}` {what}")
    search = _search_path(tool, resolve) or DEFAULT_PATH
    if found := resolve.which(program, search):
        return found
    hint = "install it, or name its folder in `path:`"
    raise StartError(f"the program `{program}` was not found; searched: {search}\nhint: {hint}")


def _search_path(tool: Tool, resolve: Resolve) -> str:
    folders = [locate(tool, folder, resolve) for folder in tool.path]
    return ":".join(filter(None, [*folders, resolve.environ.get("PATH", "")]))


def locate(tool: Tool, path: str, resolve: Resolve) -> str:
    """Return a path of the manifest as an absolute one."""
    if path == "~" or path.startswith("~/"):
        home = resolve.environ.get("HOME")
        if not home:
            raise StartError(f"`{path}` cannot be found: HOME is not set")
        path = home + path[1:]
    return posixpath.join(tool.folder, path)


def find_path(tool: Tool, path: Template, resolve: Resolve, *, is_folder: bool = False) -> None:
    """Look for a path of the manifest that no call fills in.

    Raises:
        StartError: it is not there, or is not the folder that it should be.
    """
    found = locate(tool, path.fill({}), resolve)
    if why := _why_no_folder(found, resolve) if is_folder or not resolve.exists(found) else "":
        raise StartError(f"`{found}` {why}")


def _folder(tool: Tool, values: Mapping[str, Value], resolve: Resolve) -> str:
    text = _fill(tool.cwd, values) if tool.cwd else None
    if tool.cwd is None or text is None:
        return tool.folder
    start = tool.cwd.parts[0]
    is_home = tool.cwd.parts == ("~",) or (isinstance(start, str) and start.startswith("~/"))
    return locate(tool, text, resolve) if is_home else posixpath.join(tool.folder, text)


def _why_no_folder(path: str, resolve: Resolve) -> str:
    if resolve.is_folder(path):
        return ""
    return "is not a folder" if resolve.exists(path) else "does not exist"


def _check_paths(tool: Tool, values: Mapping[str, Value], cwd: str, resolve: Resolve) -> None:
    for name, value in values.items():
        argument = tool.arguments[name]
        if not argument.within and not argument.must_exist:
            continue
        allowed = [locate(tool, folder, resolve) for folder in argument.within]
        # A relative value that names the working directory itself starts from the manifest's folder.
        bases = [tool.folder, cwd] if tool.cwd and name in tool.cwd.holes else [cwd]
        for path in (value,) if isinstance(value, str) else value:
            if not path:
                raise ArgumentError(f"`{name}`: an empty text is not a path")
            if allowed and not all(_is_within(posixpath.join(base, path), allowed, resolve) for base in bases):
                folders = " or ".join(f"`{posixpath.normpath(folder)}`" for folder in allowed)
                raise ArgumentError(f"`{name}`: {_shown(path)} is not within {folders}")
            if argument.must_exist and not resolve.exists(posixpath.join(bases[0], path)):
                raise ArgumentError(f"`{name}`: {_shown(path)} does not exist")


def _is_within(path: str, folders: Iterable[str], resolve: Resolve) -> bool:
    """Whether `path` is one of `folders` or lies in it, by the components of their real paths."""
    real = resolve.real_path(path)
    tops = map(resolve.real_path, folders)
    return any(lies_in(real, top) for top in tops)


def lies_in(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it, by their components; both are real paths."""
    return posixpath.commonpath([folder, path]) == folder


def innermost(path: str, folders: Mapping[str, T]) -> T:
    """Return what is said of the innermost of the folders that `path` lies in; all are real paths."""
    return folders[max((folder for folder in folders if lies_in(path, folder)), key=len)]


def _environment(
    tool: Tool, arguments: Mapping[str, JSONValue] | None, values: Mapping[str, Value], resolve: Resolve
) -> dict[str, str]:
    """Return the variables of the command; `arguments` are among them for a shell."""
    globs = (*_INHERITED, *tool.inherit_env)
    env = {name: text for name, text in resolve.environ.items() if any(fnmatchcase(name, glob) for glob in globs)}
    if path := _search_path(tool, resolve):
        env["PATH"] = path
    if tool.pty:
        # The server may have no terminal, and its size, if it is known, is another one's.
        env["TERM"] = _TERMINAL_TYPE
        env.pop("COLUMNS", None)
        env.pop("LINES", None)
    for name, text in read_env_file(tool, resolve).items():
        _set(env, name, text, ())
    # What was not given is unset, also where the inherited environment has a variable of that name.
    if arguments is not None:
        for name in tool.arguments:
            is_set = name in values and arguments[name] is not False
            _set(env, name, _lines(name, values[name]) if is_set else None, (name,))
    for name, template in tool.env.items():
        _set(env, name, _fill(template, values), template.holes)
    return env


def _terminal(tool: Tool) -> Terminal | None:
    """Return the tool's terminal, the controlling one being that of the stream on which its program looks for it.

    A session has one, while standard output and error have a terminal each, to stay apart. Most programs only ask
    whether a stream is a terminal. scp also asks whether it is in the foreground of its standard output, and pv before
    1.8 in that of its standard error.
    """
    if tool.pty is None or "controlling" in tool.pty.model_fields_set:
        return tool.pty
    runs_pv = "pv" in running_programs([str(element) for element in _elements(tool, tool)])
    return tool.pty.model_copy(update={"controlling": "stderr"}) if runs_pv else tool.pty


def _set(env: dict[str, str], name: str, text: str | None, holes: Iterable[str]) -> None:
    if text is None:
        env.pop(name, None)
        return
    _require_element(f"{name}={text}", holes)
    env[name] = text
