"""`cmdtool run --dry-run`: what would run, and where."""

import json
import shlex
import sys

from cmdtool.masking import MASK
from cmdtool.outcome import show_limits
from cmdtool.run import Call, named_secrets
from cmdtool.text import clean


def show_call(call: Call, *, as_json: bool) -> None:
    """Print it on standard output, secrets masked."""
    invocation = call.invocation
    env = {**invocation.env, **dict.fromkeys(named_secrets(call.tool, invocation.env), MASK)}
    if as_json:
        facts = {
            "program": invocation.program,
            "argv": invocation.argv,
            "cwd": invocation.cwd,
            "env": env,
            "stdin": invocation.stdin.decode("utf-8"),
            "pty": invocation.terminal and invocation.terminal.model_dump(),
            "limits": invocation.limits and invocation.limits.model_dump(exclude_none=True),
        }
        sys.stdout.write(call.secrets.mask(json.dumps(facts, ensure_ascii=False)) + "\n")
        return

    def write(text: str) -> None:
        sys.stdout.write(clean(call.secrets.mask(text)))

    write(f"program: {invocation.program}\n")
    write(f"argv:    {shlex.join(invocation.argv)}\n")
    write(f"folder:  {invocation.cwd}\n")
    write(f"stdin:   {len(invocation.stdin)} bytes\n" if invocation.stdin else "stdin:   empty\n")
    if invocation.terminal:
        terminal = invocation.terminal
        write(f"pty:     {terminal.columns} columns, {terminal.rows} rows, {terminal.controlling} is controlling\n")
    if invocation.limits:
        write(f"limits:  {', '.join(show_limits(invocation.limits))}\n")
    write("environment:\n")
    for name, value in sorted(env.items()):
        write(f"  {name}={value}\n")
