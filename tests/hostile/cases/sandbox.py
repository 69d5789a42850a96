"""Programs in a sandbox, and what they must not reach from there."""

import functools

from tests.hostile.acts import call_near_a_listener, cancel
from tests.hostile.case import Case
from tests.hostile.cases.ending import LIMIT, made

READ = ["@programs", "@binaries"]
sandboxed = functools.partial(
    Case,
    keys={"sandbox": {"network": False, "read": READ, "write": ["@folder"]}},
    needs=("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"),
    status=None,
)

SANDBOX = [
    sandboxed(
        "sandbox: files, network, processes",
        "intruder.sh",
        ("@own/tools.yaml", "@folder"),
        act=call_near_a_listener,
        says=(
            "read outside: refused\nwrite outside: refused\nwrite beside it: refused\nwrite in /usr: refused\n"
            "write inside: done\nconnect: refused\nsee others: refused",
        ),
        check=made("inside"),
    ),
    sandboxed("sandbox: kill(-1)", "kill_all.sh", ("@namespace",), says=("killed all",)),
    sandboxed(
        "sandbox: daemon that does all of that",
        "steps.c",
        tuple("child setsid daemon setsid daemon close ignore rename clear ready leave last".split()),
        act=cancel,
        ended_by=None,
        dead_in=LIMIT,
    ),
    sandboxed(
        "sandbox: runaway daemon", "runner.c", ("leader stays",), act=cancel, ended_by=None, dead_in=LIMIT, answers_in=3
    ),
    sandboxed(
        "sandbox: polite leader",
        "polite.sh",
        keys={"sandbox": {"read": READ, "write": ["@folder"]}, "grace": "5s"},
        act=cancel,
        ended_by=None,
        dead_in=LIMIT,
        check=made("cleaned-leader"),  # with it all others in the sandbox end
    ),
]
