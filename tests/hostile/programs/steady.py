"""Prints for three seconds as fast as it can, then says that it is done: it must never be held up."""

import time

open("ready", "w").close()
end = time.monotonic() + 3
number = 0
while time.monotonic() < end:
    number += 1
    print(f"{number} of 100000000", "." * 200)
open("done", "w").close()
print("the end", flush=True)
