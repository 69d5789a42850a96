"""Who belongs to a run, whatever it did to hide, and how all of them are killed.

It imports nothing of ours and, on Linux, nothing but the standard library, for the keeper starts with it alone.
`machine` is what reads and signals the processes here: from /proc where that is, else by psutil.
"""

import sys

if sys.platform == "linux":
    from cmdtool.trees import linux as machine
else:
    from cmdtool.trees import portable as machine

__all__ = ["machine"]
