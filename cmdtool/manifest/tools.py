"""One tool as written -> a `Tool` that is complete, or what is wrong with it beyond the shape of its keys."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from pydantic import BaseModel

from cmdtool.errors import BadValue, SandboxError, StartError
from cmdtool.manifest.arguments import HEADER, check_argument, check_schema, complete_argument
from cmdtool.manifest.holes import Holes, check_runs, hole_names
from cmdtool.manifest.nodes import Node, Report, nearest
from cmdtool.manifest.parsers import Parsers, as_progress
from cmdtool.manifest.rules import UNQUOTED, check_progress, used_names
from cmdtool.model import Argument, Counted, Defaults, ParserFile, Progress, ProgressSpec, Tool, ToolKeys
from cmdtool.needs import TERMINAL, silent_without, tool_commands
from cmdtool.programs import running_programs
from cmdtool.template import Template

_COMMON_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESERVED: Final = re.compile(
    r"""(?x)
    # Where programs and their configuration are found.
    PATH | HOME | SHELL | ZDOTDIR | XDG_(?:CONFIG|DATA)_.*
    # The loader and libraries.
    | (?:LD|DYLD)_.* | GCONV_PATH | GLIBC_TUNABLES | OPENSSL_(?:CONF|ENGINES|MODULES)
    # Shells.
    | IFS | ENV | BASH_.* | SHELLOPTS | BASHOPTS | PS[0-4] | PROMPT_COMMAND | CDPATH | FPATH | GLOBIGNORE
    # Interpreters.
    | (?:PYTHON|PERL|RUBY).* | (?:GEM|BUNDLE|LUA|ERL|CORECLR|COR)_.* | DOTNET_STARTUP_HOOKS | PHPRC | PHP_INI_SCAN_DIR
    | NODE_(?:OPTIONS|PATH) | (?i:npm_config)_.* | _?JAVA_.* | JDK_JAVA_OPTIONS | CLASSPATH | (?:MAVEN|GRADLE|ANT)_OPTS
    | R_(?:HOME|LIBS|PROFILE|ENVIRON).* | JULIA_(?:LOAD|DEPOT)_PATH | GUILE_LOAD_.* | TCLLIBPATH | AWKPATH | AWKLIBPATH
    # Compilers and builds.
    | MAKEFILES | (?:GNU)?MAKEFLAGS | GCC_EXEC_PREFIX | COMPILER_PATH | GOFLAGS | RUSTC_.* | (?:CARGO_.*)?RUSTFLAGS
    # What other programs start or obey.
    | .*(?:EDITOR|PAGER|BROWSER|ASKPASS) | VISUAL | LESS.* | VIMINIT | EXINIT | (?:GIT|FZF_DEFAULT)_.* | HGRCPATH
    | (?:RSYNC|CVS)_RSH | RSYNC_CONNECT_PROG | SVN_SSH | TAR_OPTIONS | ZIPOPT | WGETRC | CURL_HOME | RIPGREP_CONFIG_PATH
    """
)
"""Variables by which a program is made to run something else than what it is told to."""
_HOLDERS: Final = ("command", "shell", "env", "cwd", "stdin", "progress", "output", "confirm", "sandbox")
"""The keys that can name an argument."""

_NEEDED: Final = "each call fails where it is not there"
_UNSEEN: Final = "what is not there when a call begins is not seen in it later"

FindParser: TypeAlias = Callable[[str], ParserFile]
"""Returns all that is known of a built-in parser."""


class FindProgram(Protocol):
    """Looks for the program that a tool starts, or that `runs`, one of its counted totals, does."""

    def __call__(self, tool: Tool, *, runs: Counted | None = None) -> str:
        """Return its absolute path.

        Raises:
            StartError: there is none.
        """


ReadEnvFile: TypeAlias = Callable[[Tool], object]
"""Reads a tool's `env_file`; raises `StartError` if it cannot be used."""


class FindPath(Protocol):
    """Looks for a path of the manifest that holds no hole."""

    def __call__(self, tool: Tool, path: Template, *, is_folder: bool = False) -> None:
        """Look for it.

        Raises:
            StartError: it is not there, or is not the folder that it should be.
        """


@dataclass(frozen=True, slots=True)
class Facts:
    """What may be asked of the machine and of the library."""

    find_program: FindProgram | None = None
    find_parser: FindParser | None = None
    read_env_file: ReadEnvFile | None = None
    find_path: FindPath | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What all tools of a file share."""

    report: Report
    defaults: Defaults
    node: Node | None
    """Where the defaults are written."""
    parsers: Parsers
    progress: Progress | None
    """The default progress, resolved."""
    folder: str
    manifest: str
    path: tuple[str, ...]
    inherit_env: tuple[str, ...]
    secrets: tuple[str, ...]
    counted: Mapping[Counted, Node]
    """Where the counted totals of the parsers and the defaults are written."""
    facts: Facts


def make_tool(name: str, node: Node, keys: ToolKeys, shared: Shared) -> Tool:
    """Return a tool of a file, complete as far as it can be used; what is wrong goes to the file's report."""
    return _Maker(node, keys, shared).make(name)


def declared_arguments(node: Node, keys: ToolKeys) -> dict[str, Argument] | None:
    """Return the arguments that a tool declares; of one that cannot be used only the name counts."""
    place = node.child("arguments")
    if keys.arguments is None or place is None:
        return None
    broken = {str(step): Argument() for step in place.dropped}
    return {**broken, **{name: complete_argument(argument) for name, argument in keys.arguments.items()}}


def has_lost_arguments(node: Node) -> bool:
    """Whether a tool's `arguments` were left out as a whole, so that their names are not known."""
    return any(nearest(str(step), ["arguments"]) for step in node.dropped)


class _Maker:
    def __init__(self, node: Node, keys: ToolKeys, shared: Shared) -> None:
        self._node = node
        self._shared = shared
        self._report = shared.report
        self._keys = ToolKeys.model_construct(None, **_merge(shared.defaults, keys))
        self._declared = declared_arguments(node, keys)
        self._arguments = self._implicit() if self._declared is None else self._declared
        self._holes = Holes(
            self._arguments,
            self._report,
            are_known=not has_lost_arguments(node),
            are_declared=self._declared is not None,
        )

    def make(self, name: str) -> Tool:
        before = self._report.errors
        if not _COMMON_NAME.fullmatch(name):
            hint = "use 1 to 64 letters, digits, `_` and `-`"
            message = f"some clients refuse a tool named `{name}`"
            self._report.at(self._node, message, hint, on_key=True, severity="warning")
        check_runs(self._node, self._report)
        self._check_arguments()
        self._check_script()
        self._check_texts()
        self._check_output()
        self._check_sandbox()
        if (place := self._node.child("command")) and self._keys.command:
            self._holes.check_command(place, self._keys.command)
        progress = self._progress()
        self._check_used(progress)
        self._check_needs()
        keys = {key: getattr(self._keys, key) for key in ToolKeys.model_fields}
        own = {
            "name": name,
            "arguments": self._arguments,
            "progress": progress,
            "folder": self._shared.folder,
            "manifest": self._shared.manifest,
            "path": self._shared.path,
            "inherit_env": self._shared.inherit_env,
            "secrets": self._shared.secrets,
        }
        tool = Tool.model_construct(None, **keys | own)
        if self._report.errors == before and not self._node.is_damaged:
            self._check_machine(tool, self._shared.facts)
        return tool

    def _implicit(self) -> dict[str, Argument]:
        keys = self._keys
        texts = [*keys.env.values(), keys.cwd, keys.stdin]
        names = [*hole_names(keys.command or ()), *(name for text in texts if text for name in text.holes)]
        return {name: complete_argument(Argument()) for name in names}

    def _place(self, key: str) -> Node | None:
        """Return where the value of a key stands: in the tool or in the file's `defaults`."""
        return self._node.child(key) or (self._shared.node and self._shared.node.child(key))

    def _is_damaged(self, key: str) -> bool:
        """Whether something was left out of a key's value, or a key that was probably meant to be this one."""
        nodes = [node for node in (self._node, self._shared.node) if node]
        children = [child for node in nodes if (child := node.child(key))]
        unknown = [str(step) for node in nodes for step in node.dropped]
        return any(child.is_damaged for child in children) or any(nearest(step, [key]) for step in unknown)

    # --- checks ---

    def _check_arguments(self) -> None:
        place = self._node.child("arguments")
        for name, argument in self._arguments.items():
            node = place.child(name) if place else None
            if node:
                check_argument(node, argument, self._report)
            if self._keys.shell is not None and _RESERVED.fullmatch(name):
                hint = "choose another name: the arguments of a `shell:` are its environment variables"
                self._report.at(
                    node or self._node, f"an argument of a `shell:` cannot be named `{name}`", hint, on_key=True
                )
        self._check_headers(place)
        asks, is_known = self._node.child("ask"), self._holes.are_known and not self._is_damaged("arguments")
        if asks and self._keys.ask and is_known and not any(a.is_required for a in self._arguments.values()):
            hint = "take it out, or declare an argument without `optional` and `default`"
            message = "`ask` asks for required arguments, and the tool has none"
            self._report.at(asks, message, hint, on_key=True, severity="warning")

    def _check_headers(self, place: Node | None) -> None:
        """Names of headers are the same whatever their case."""
        seen: dict[str, str] = {}
        for name in self._arguments:
            argument = place and place.child(name)
            header = argument and argument.child(HEADER)
            if header and isinstance(header.value, str):
                first = seen.setdefault(header.value.lower(), name)
                if first != name:
                    self._report.at(header, f"`{first}` has the same header", "choose another name")

    def _check_script(self) -> None:
        place = self._node.child("shell")
        if place is None or self._keys.shell is None:
            return
        for name in self._arguments:
            if found := re.search(rf"(?<![${{]){{{name}}}", self._keys.shell):
                hint = f'write "${name}": in `shell:` the arguments are variables'
                self._report.at(place, f"`{{{name}}}` is not filled in here", hint, offset=found.start())

    def _check_texts(self) -> None:
        for key, text in (("cwd", self._keys.cwd), ("stdin", self._keys.stdin)):
            if text and (place := self._place(key)):
                self._holes.check_text(place, text, may_be_secret=key == "stdin")
        if (path := self._place("env_file")) and ("$" in str(path.value) or Template.parse(str(path.value)).holes):
            self._report.at(path, "nothing is filled in here", "write the path: `.env`, `~/secrets.env`")
        places: dict[str, Node] = {}
        for node in (self._shared.node, self._node):
            if env := node and node.child("env"):
                places |= env.entries
        for name, place in places.items():
            template = self._keys.env[name]
            self._holes.check_text(place, template, may_be_secret=True)
            if template.holes and _RESERVED.fullmatch(name):
                hint = "it could make the command run something else; give the value to the command"
                self._report.at(place, f"`{name}` cannot be set from an argument", hint)

    def _check_output(self) -> None:
        """Check what the result holds, and what is asked before there is one."""
        output, place = self._keys.output, self._place("output")
        if place and (schema := place.child("schema")):
            check_schema(schema, self._report)
            if output.format == "text" and not place.is_damaged:
                message = "`schema` is for results that are data"
                self._report.at(schema, message, "write `format: json`, or `format: lines`", on_key=True)
        if place and (files := place.child("files")):
            places = files.items or (files,)
            if len(places) == len(output.files):
                for node, template in zip(places, output.files, strict=True):
                    self._holes.check_paths(node, template)
        confirm, place = self._keys.confirm, self._place("confirm")
        if confirm and place:
            asked = place.child("message") or place
            self._holes.check_shown(asked, confirm.message)
            if not str(confirm.message).strip():
                hint = "say what is going to happen"
                self._report.at(asked, "the question is empty, so nobody would be asked", hint)

    def _check_sandbox(self) -> None:
        place, sandbox = self._place("sandbox"), self._keys.sandbox
        if place is None or sandbox is None:
            return
        if self._keys.keep_background:
            hint = "take one of them out: what runs in a sandbox ends with it"
            self._report.at(place, "`sandbox` and `keep_background` exclude each other", hint, on_key=True)
        for _, where, entry in self._sandbox_paths():
            self._check_sandbox_path(where, entry)

    def _sandbox_paths(self) -> Iterator[tuple[str, Node, Template]]:
        """Yield the paths of the sandbox, each with its key and its place."""
        place, sandbox = self._place("sandbox"), self._keys.sandbox
        if place is None or sandbox is None:
            return
        for key, entries in (("read", sandbox.read or ()), ("write", sandbox.write)):
            node = place.child(key)
            places = (node.items or (node,)) if node else ()
            yield from ((key, where, entry) for where, entry in zip(places, entries, strict=False))

    def _check_sandbox_path(self, place: Node, entry: Template) -> None:
        """A value in the middle of a path could lead out of its folder, so an argument is the whole of it."""
        text = str(entry)
        if not entry.holes:
            if "$" in text:
                self._report.at(place, "variables are not replaced here", "write `~/...` or the whole path")
            elif not text:
                self._report.at(place, "an empty text is not a path", "write a folder")
        elif len(entry.parts) > 1:
            hint = f"name the folder, or the argument alone: '{{{entry.holes[0]}}}'"
            self._report.at(place, "a path of a sandbox cannot be filled in by halves", hint)
        else:
            self._holes.check_paths(place, entry)
            argument = self._arguments.get(entry.holes[0])
            items = argument and argument.property_schema.get("items")
            if argument and not argument.is_path and not (isinstance(items, Mapping) and items.get("format") == "path"):
                hint = "give the argument `format: path`"
                self._report.at(place, f"`{entry.holes[0]}` is not known to be a path", hint)

    def _progress(self) -> Progress:
        """Return the tool's progress with its parser's rules."""
        place = self._node.child("progress")
        own = self._keys.progress
        if place is None:
            resolved = self._shared.progress
        else:
            resolved = resolve_at(place, own, self._shared.parsers, self._report)
            check_progress(place, own, resolved, self._holes, self._report)
        return resolved or as_progress(own)

    def _check_used(self, progress: ProgressSpec) -> None:
        if self._keys.shell is not None or any(total.shell for total in progress.counted_totals):
            return
        if self._declared is None or any(map(self._is_damaged, _HOLDERS)):
            return
        used = self._holes.used | used_names(progress)
        place = self._node.child("arguments")
        for name, node in place.entries.items() if place else ():
            if name not in used:
                self._report.at(
                    node, f"nothing uses the argument `{name}`", f"write `{{{name}}}` where it goes", on_key=True
                )

    def _check_needs(self) -> None:
        """Warn of a program that will not tell its parser anything."""
        place = self._place("progress")
        name = self._shared.parsers.builtin_name(self._keys.progress)
        if place is None or name is None or self._shared.facts.find_parser is None:
            return
        parser = self._shared.facts.find_parser(name)
        if any(argument.allow_dash for argument in self._arguments.values()):
            return  # the option may be given by the call
        commands = tool_commands(self._keys)
        if missing := silent_without(parser, commands, has_terminal=self._keys.pty is not None):
            options = ["`pty: true`" if need == TERMINAL else f"`{need}`" for need in missing]
            one = f"one of {', '.join(options)}" if len(options) > 1 else options[0]
            program = next(name for words in commands for name in running_programs(words) if name in parser.matches)
            message = f"`{program}` says nothing without {one}"
            self._report.at(place.child("parser") or place, message, parser.hint or "", severity="warning")

    def _check_machine(self, tool: Tool, facts: Facts) -> None:
        if facts.find_program:
            self._check_programs(tool, facts.find_program)
        if facts.read_env_file:
            self._check_env_file(tool, facts.read_env_file)
        if facts.find_path:
            self._check_folders(tool, facts.find_path)

    def _check_programs(self, tool: Tool, find_program: FindProgram) -> None:
        try:
            find_program(tool)
        except StartError as exc:
            key = "sandbox" if isinstance(exc, SandboxError) else "command" if tool.command else "shell"
            self._report.at(self._place(key) or self._node, *_message_and_hint(exc))
        places = {**self._shared.counted, **self._holes.counted}
        for counted in tool.progress.counted_totals:
            try:
                find_program(tool, runs=counted)
            except StartError as exc:
                message, hint = _message_and_hint(exc)
                place = places.get(counted, self._node)
                self._report.at(place, f"there will be no total: {message}", hint, severity="warning")

    def _check_folders(self, tool: Tool, find_path: FindPath) -> None:
        """Warn of what is not there: it may well be where the manifest is served."""
        for key, place, path in (("cwd", self._place("cwd"), tool.cwd), *self._sandbox_paths()):
            if place and path and not path.holes:
                try:
                    find_path(tool, path, is_folder=key == "cwd")
                except StartError as exc:
                    self._report.at(place, str(exc), _UNSEEN if key == "read" else _NEEDED, severity="warning")

    def _check_env_file(self, tool: Tool, read_env_file: ReadEnvFile) -> None:
        try:
            read_env_file(tool)
        except StartError as exc:
            self._report.at(self._place("env_file") or self._node, *_message_and_hint(exc))


def _message_and_hint(error: StartError) -> tuple[str, str]:
    message, _, hint = str(error).partition("\nhint: ")
    return message, hint


def resolve_at(
    node: Node, spec: ProgressSpec, parsers: Parsers, report: Report, name: str | None = None
) -> Progress | None:
    """Return a progress with its parser's rules, or report at `node`, where it is written, why there is none."""
    try:
        return parsers.resolve(spec, name)
    except BadValue as exc:
        place = node.child("parser") or node
        report.at(place, exc.message, UNQUOTED if report.comment(place) else exc.hint)
        return None


def _merge(defaults: Defaults, keys: ToolKeys) -> dict[str, Any]:
    """Return a tool's keys over the defaults; `env`, `limits` and `annotations` are joined key by key."""
    merged = _given(defaults) | _given(keys)
    merged["env"] = {**defaults.env, **keys.env}
    merged["limits"] = defaults.limits.model_copy(update=_given(keys.limits))
    merged["annotations"] = defaults.annotations.model_copy(update=_given(keys.annotations))
    return merged


def _given(model: BaseModel) -> dict[str, Any]:
    return {key: getattr(model, key) for key in model.model_fields_set}
