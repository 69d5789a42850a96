"""The processes of this machine: from /proc where that is, else by psutil."""

import sys

if sys.platform == "linux":
    from cmdtool.trees.linux import (
        adopt_orphans,
        children_of_this_process,
        clock,
        forbid_tracing,
        mark_of,
        marking,
        proportional_memory,
        read_all,
        read_entry,
        send,
    )
else:
    from cmdtool.trees.portable import (
        adopt_orphans,
        children_of_this_process,
        clock,
        forbid_tracing,
        mark_of,
        marking,
        proportional_memory,
        read_all,
        read_entry,
        send,
    )

__all__ = [
    "adopt_orphans",
    "children_of_this_process",
    "clock",
    "forbid_tracing",
    "mark_of",
    "marking",
    "proportional_memory",
    "read_all",
    "read_entry",
    "send",
]
