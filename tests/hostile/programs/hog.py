"""Opens descriptors until the kernel refuses."""

import os
import sys

opened = 0
try:
    while opened < 5000:
        os.open("/dev/null", os.O_RDONLY)
        opened += 1
except OSError as exc:
    sys.exit(f"stopped after {opened}: {exc.strerror}")
print("opened", opened)
