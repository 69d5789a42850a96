"""An `Invocation` becomes one inside a sandbox: the argv of bubblewrap, bwrap(1). Nothing here starts it.

The command gets a process namespace of its own, so it sees no process but those it starts, and the death of the
sandbox is theirs, wherever they have hidden. It has no capability, also as root. Folders are bound by their real paths
as they are when the call begins.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from cmdtool.argv import DEFAULT_PATH, Invocation, Resolve, argument_values, innermost, lies_in, locate
from cmdtool.errors import ArgumentError, SandboxError
from cmdtool.model import JSONValue, Sandbox, Tool
from cmdtool.template import Template

PROGRAM: Final = "bwrap"

OWN_PROCESSES: Final = 2
"""How many processes bubblewrap is: one that waits outside, and one inside that reaps (bwrap(1))."""

ISOLATION: Final = (
    # The parent is the thread that starts it, PR_SET_PDEATHSIG(2const): it has to be one that lives as long.
    *("--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc"),
    # In its own user namespace root would have every capability, enough to mount what is read-only anew.
    *("--cap-drop", "ALL"),
)

PRIVATE: Final = (
    *("--dev", "/dev"),
    # To the kernel, root without capabilities still owns the files in /proc/sys; bwrap 0.8 leaves them writable.
    *("--proc", "/proc", "--remount-ro", "/proc"),
    *("--tmpfs", "/tmp", "--tmpfs", "/run"),
)
_HIDDEN: Final = ("/dev", "/tmp", "/run")
"""What is private: the sockets in the machine's own would lead out of the sandbox."""

_NEEDED: Final = ("/etc/resolv.conf",)
"""Often a link into /run."""

_SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ca-certificates.conf", "/etc/crypto-policies"),
    *("/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols"),
    *("/etc/passwd", "/etc/group", "/etc/localtime", "/etc/timezone", "/etc/locale.alias", "/etc/mime.types"),
    *("/etc/fonts", "/etc/magic", "/etc/terminfo"),
)
"""What programs need, and where there are no secrets; of these what exists is visible always."""

Access: TypeAlias = Literal["hidden", "shown", "read", "write", "kept"]
"""How a path is seen.

`shown` is `read` where it would be hidden, `kept` is `read` where it could be written to; otherwise both are what the
path is anyway.
"""


def enclose(tool: Tool, arguments: Mapping[str, JSONValue], invocation: Invocation, resolve: Resolve) -> Invocation:
    """Return what runs `invocation` in the tool's sandbox; itself if the tool has none.

    Args:
        tool: its `sandbox` says what can be reached.
        arguments: as `build_invocation` takes them.
        invocation: what `tool` runs with them.
        resolve: answers for the file system and the environment.

    Raises:
        ArgumentError: an argument names a path that cannot be made writable.
        SandboxError: there is no bubblewrap, or a path of the manifest cannot be made writable.
    """
    if tool.sandbox is None:
        return invocation
    options = [*ISOLATION, *(() if tool.sandbox.network else ("--unshare-net",))]
    mounts, seen = _mounts(_paths(tool, tool.sandbox, arguments, invocation, resolve), tool.sandbox, resolve)
    options += mounts
    argv = [PROGRAM, *options, "--chdir", invocation.cwd, "--", invocation.program, *invocation.argv[1:]]
    env = dict(invocation.env)
    if "TMPDIR" in env and "TMPDIR" not in tool.env:
        env["TMPDIR"] = "/tmp"
    shown = {path: access != "hidden" for path, access in seen.items()} | {"/proc": False}
    return replace(invocation, program=find_bubblewrap(resolve), argv=tuple(argv), env=env, shown=shown)


def find_bubblewrap(resolve: Resolve) -> str:
    """Return the absolute path of bubblewrap.

    Raises:
        SandboxError: there is none; the message holds the PATH that was searched.
    """
    search = resolve.environ.get("PATH") or DEFAULT_PATH
    if found := resolve.which(PROGRAM, search):
        return found
    raise SandboxError(
        f"`sandbox` needs bubblewrap, and the program `{PROGRAM}` was not found; searched: {search}\n"
        "hint: install the package `bubblewrap` (Linux only), or take `sandbox` out"
    )


# --- what can be reached ---------------------------------------------------------------------------------------------


def _paths(
    tool: Tool, sandbox: Sandbox, arguments: Mapping[str, JSONValue], invocation: Invocation, resolve: Resolve
) -> list[tuple[str, Access]]:
    """Return all paths that the command is given, absolute but not resolved; of one that stands twice the last counts.

    Raises:
        ArgumentError, SandboxError: as `enclose`.
    """
    program, _, _ = invocation.program.rpartition("/")
    own = [invocation.cwd, program, *(locate(tool, folder, resolve) for folder in tool.path)]
    # The program may be a link: its libraries lie beside the file that it leads to.
    own.append(resolve.real_path(invocation.program).rpartition("/")[0])
    shown = [*_NEEDED, *(_SYSTEM if sandbox.read is not None else ()), *own]
    paths: list[tuple[str, Access]] = [(path, "shown") for path in shown if path.strip("/") and resolve.exists(path)]
    given: list[tuple[Access, tuple[Template, ...]]] = [("read", sandbox.read or ()), ("write", sandbox.write)]
    for access, entries in given:
        for entry in entries:
            for path in _entry(tool, entry, arguments, invocation.cwd, resolve):
                _check(entry, path, access, resolve)
                if resolve.exists(path):
                    paths.append((path, access))
    # Who writes these chooses what runs, and where: outside of the sandbox, too.
    says_what_runs = [tool.manifest, tool.env_file and locate(tool, tool.env_file, resolve)]
    paths += [(path, "kept") for path in says_what_runs if path and resolve.exists(path)]
    return paths


def _entry(
    tool: Tool, entry: Template, arguments: Mapping[str, JSONValue], cwd: str, resolve: Resolve
) -> Iterator[str]:
    """Yield what an entry names: a path of the manifest, or the paths that the argument in its place is given."""
    if not entry.holes:
        yield locate(tool, entry.fill({}), resolve)
        return
    value = argument_values(tool, arguments).get(entry.holes[0], ())
    for path in (value,) if isinstance(value, str) else value:
        yield f"{cwd}/{path}" if not path.startswith("/") else path


def _check(entry: Template, path: str, access: Access, resolve: Resolve) -> None:
    problem = ""
    if lies_in(resolve.real_path(path), "/proc"):
        problem = f"`{path}` cannot be given to a sandbox, which has its own `/proc`"
    elif access == "write" and not resolve.exists(path):
        problem = (
            f"`{path}` does not exist, so nothing can be written there\nhint: create it, or give the folder it is in"
        )
    if problem:
        raise ArgumentError(f"`{entry.holes[0]}`: {problem}") if entry.holes else SandboxError(f"`sandbox`: {problem}")


# --- how bubblewrap is told ------------------------------------------------------------------------------------------


def _mounts(
    paths: Iterable[tuple[str, Access]], sandbox: Sandbox, resolve: Resolve
) -> tuple[list[str], Mapping[str, Access]]:
    """Return options, and how what lies in each folder is then seen; the innermost one decides."""
    wanted: dict[str, Access] = {} if sandbox.read is not None else {"/": "read"}
    links: dict[str, str] = {}
    for path, access in paths:
        wanted[_follow(path, links, resolve)] = access
    seen: dict[str, Access] = {"/": wanted.pop("/", "hidden")}
    options = [] if seen["/"] == "hidden" else _bind("/", seen["/"])
    options += PRIVATE
    seen |= dict.fromkeys(_HIDDEN, "hidden")
    for path in sorted(wanted, key=lambda path: path.split("/")):  # a folder before what lies in it
        access = wanted[path]
        around = innermost(path, seen)
        if around == access or (access == "shown" and around != "hidden") or (access == "kept" and around != "write"):
            continue
        seen[path] = access
        options += _bind(path, access)
    for link, target in links.items():
        if innermost(link.rpartition("/")[0] or "/", seen) == "hidden":  # elsewhere it is seen as what it is
            options += ["--symlink", target, link]
    # What was made for mount points and links must not take what would be lost.
    return [*options, *(["--remount-ro", "/"] if seen["/"] == "hidden" else []), "--remount-ro", "/run"], seen


def _bind(path: str, access: Access) -> list[str]:
    if access != "write":
        return ["--ro-bind", path, path]
    return ["--dev-bind" if lies_in(path, "/dev") else "--bind", path, path]


def _follow(path: str, links: dict[str, str], resolve: Resolve) -> str:
    """Return the real path of `path`, and put the symbolic links on the way to it into `links`."""
    real = "/"
    for part in path.split("/"):
        step = f"{real.rstrip('/')}/{part}"
        real = resolve.real_path(step)
        if real != step and part not in ("", ".", ".."):
            links[step] = real
    return real
