"""The only place that starts, reads or signals a process.

It takes an `Invocation` and gives bytes and an exit. A `Supervisor` answers for the end of everything it started: each
process leads a session and a process group of its own, and all that is in them ends with it.
"""

from cmdtool.process.child import Exit, Process
from cmdtool.process.exceeded import Exceeded
from cmdtool.process.limits import watch
from cmdtool.process.sandbox import require_sandbox
from cmdtool.process.supervisor import LAST_GRACE, Supervisor, reset_signals

__all__ = [
    "LAST_GRACE",
    "Exceeded",
    "Exit",
    "Process",
    "Supervisor",
    "require_sandbox",
    "reset_signals",
    "watch",
]
