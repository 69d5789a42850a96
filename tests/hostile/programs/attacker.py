"""Attacks the server that started it: its environment, memory, descriptors, and by ptrace."""

import ctypes
import os

server = os.getppid()
PTRACE_SEIZE = 0x4206


def attempt(name: str, action: object) -> None:
    try:
        action()  # type: ignore[operator]
    except OSError as exc:
        print(f"{name}: refused: {exc.strerror}")
    else:
        print(f"{name}: done")


def seize() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_SEIZE, server, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")


def forge() -> None:
    with open(f"/proc/{server}/fd/1", "wb", buffering=0) as wire:
        wire.write(b'{"jsonrpc":"2.0","method":"notifications/forged"}\n')


attempt("environment", lambda: open(f"/proc/{server}/environ", "rb").read(1))
attempt("memory", lambda: open(f"/proc/{server}/mem", "rb").close())
attempt("wire", forge)
attempt("ptrace", seize)
