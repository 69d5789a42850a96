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
        memory_file,
        newest_pids,
        proportional_memory,
        read_all,
        read_entry,
        send,
        send_to_marked,
    )
else:
    from cmdtool.trees.portable import (
        adopt_orphans,
        children_of_this_process,
        clock,
        forbid_tracing,
        mark_of,
        marking,
        memory_file,
        newest_pids,
        proportional_memory,
        read_all,
        read_entry,
        send,
        send_to_marked,
    )

__all__ = [
    "adopt_orphans",
    "children_of_this_process",
    "clock",
    "forbid_tracing",
    "mark_of",
    "marking",
    "memory_file",
    "newest_pids",
    "proportional_memory",
    "read_all",
    "read_entry",
    "send",
    "send_to_marked",
]
