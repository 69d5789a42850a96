"""Fills the disk: 100 MB at most."""

import sys

try:
    with open("full", "wb", buffering=0) as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
except OSError as exc:
    sys.exit(f"stopped: {exc}")
print("filled")
