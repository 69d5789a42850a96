"""Tries whether this machine lets a sandbox be made: it may have no bubblewrap, or no user namespaces for us."""

import subprocess

from cmdtool.argv import Resolve
from cmdtool.errors import SandboxError
from cmdtool.sandbox import ISOLATION, PRIVATE, find_bubblewrap

_PATIENCE = 10.0


def require_sandbox(resolve: Resolve, *, network: bool = True) -> None:
    """Make a sandbox and let it end at once; a few milliseconds.

    Raises:
        SandboxError: there can be none; the message says what is missing.
    """
    program = find_bubblewrap(resolve)
    isolation = (*ISOLATION, *(() if network else ("--unshare-net",)))
    argv = [program, *isolation, "--ro-bind", "/", "/", *PRIVATE, "--", program, "--version"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise SandboxError(f"`sandbox`: `{program}` cannot be run: {exc}") from exc
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise SandboxError(
            f"`sandbox` is not possible here: {said}\n"
            "hint: user namespaces must be permitted (sysctl `user.max_user_namespaces` above 0, `kernel.unprivileged_"
            "userns_clone` and AppArmor's profile for bwrap where there are such); in a container, by its runtime"
        )
