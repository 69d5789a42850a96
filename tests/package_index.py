"""A package index of one wheel, which is served at the pace that a test sets."""

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Final

WHEEL: Final = "big-1.0-py3-none-any.whl"
"""Of a little more than 5 MiB."""

_BLOCK: Final = 512 << 10


@contextmanager
def serving_wheel(folder: Path, may_pass: Callable[[float], bool]) -> Iterator[str]:
    """Serve the package `big`, made in `folder`; a fraction of it is passed as soon as `may_pass` says so."""
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("big.bin", os.urandom(5 << 20))
        wheel.writestr("big-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: big\nVersion: 1.0\n")
        wheel.writestr("big-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("big-1.0.dist-info/RECORD", "")
    data = (folder / WHEEL).read_bytes()

    closing = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_index = self.path == "/"
            body = f'<a href="{WHEEL}">{WHEEL}</a>'.encode() if is_index else data
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if is_index else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for start in range(0, len(body), _BLOCK):
                end = start + _BLOCK
                self.wfile.write(body[start:end])
                while end < len(body) and not may_pass(end / len(body)) and not closing.wait(0.01):
                    pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            closing.set()
            server.shutdown()
