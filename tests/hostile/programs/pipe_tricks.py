"""Does to its output pipe what a program may do: non-blocking, tiny, huge, opened anew."""

import fcntl
import os
import time
from contextlib import suppress

F_SETPIPE_SZ = 1031


def write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            time.sleep(0.001)


os.set_blocking(1, False)
for size in (4096, 1 << 20, 4096):
    with suppress(OSError):  # smaller than what waits in it
        fcntl.fcntl(1, F_SETPIPE_SZ, size)
    write(b"x" * 300_000 + b"\n")
os.set_blocking(1, True)
for path in ("/dev/stdout", "/proc/self/fd/1"):
    with open(path, "wb", buffering=0) as again:
        again.write(f"through {path}\n".encode())
os.close(1)
os.dup2(2, 1)
os.write(1, b"the end\n")
