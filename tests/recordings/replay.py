"""Replay a recording: write its bytes to stdout and stderr with the recorded chunk boundaries and timing.

    python tests/recordings/replay.py CASE.jsonl [--speed N]     N times as fast; 0 is without waiting

Exits with the recorded exit status (128 + signal if the program was killed), so it can stand in for the program. A
`pty` recording has one stream and comes out on stdout.
"""

import argparse
import base64
import json
import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Replay the recording named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("--speed", type=float, default=1.0)
    options = parser.parse_args()
    head, *chunks = map(json.loads, options.recording.read_text().splitlines())
    start = time.monotonic()

    def wait_for(t: float) -> None:
        if options.speed:
            time.sleep(max(0.0, t / options.speed - (time.monotonic() - start)))

    for chunk in chunks:
        wait_for(chunk["t"])
        data = base64.b64decode(chunk["b64"])
        while data:
            data = data[os.write(chunk["fd"], data) :]
    wait_for(head["duration_s"])
    status = int(head["exit_code"])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
