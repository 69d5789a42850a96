"""Where a server listens over HTTP, and for whom: all that can be wrong with it is found before it serves."""

import ipaddress
import logging
import os
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmdtool.errors import CmdtoolError
from cmdtool.server.auth import Access, make_access, read_auth
from cmdtool.server.connections import BoundedListener

logger = logging.getLogger(__name__)

_ADDRESS: Final = re.compile(r"(?:(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):)?(\d{1,5})", re.ASCII)
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[\w.-]+)(?::\d{1,5})?", re.ASCII)
_LOCAL: Final = ("127.0.0.1", "localhost", "[::1]")
_BACKLOG: Final = 2048


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What the command line says; `address` is `[HOST:]PORT`, `drain` is in seconds."""

    address: str
    allow_hosts: Sequence[str] = ()
    allow_origins: Sequence[str] = ()
    auth: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    drain: float = 30.0


@dataclass(frozen=True, slots=True)
class Site:
    """A socket that listens, and what every request must bring."""

    listener: socket.socket
    url: str
    hosts: list[str]
    """What a Host header may hold; `:*` stands for any port."""
    origins: list[str]
    """What an Origin header may hold, likewise."""
    foreign_origins: list[str]
    """Those of them whose pages may read answers (CORS)."""
    access: Access | None
    tls: ssl.SSLContext | None
    drain: float


def open_site(options: HttpOptions, *, trust: bool = False) -> Site:
    """Check the options and listen; with `trust`, the `--auth` file may be one that others could have written.

    Raises:
        CmdtoolError: an option is wrong, the port is taken, or everybody on the network could come in.
    """
    match = _ADDRESS.fullmatch(options.address)
    if match is None or int(match[3]) > 65535:
        raise CmdtoolError(f"`--http {options.address}`: expected `[HOST:]PORT`, such as `8000` or `0.0.0.0:8000`")
    host = match[1] or match[2] or "127.0.0.1"
    family, place, address = _resolve(host, int(match[3]))
    if not address.is_loopback and options.auth is None:
        raise CmdtoolError(
            f"`--http {options.address}`: others on the network could run these tools\n"
            "hint: say with `--auth FILE` who may, or leave the host out to serve this machine only"
        )
    access = make_access(read_auth(options.auth, trust=trust)) if options.auth else None
    tls = _tls(options.tls_cert, options.tls_key) if options.tls_cert else None
    if access and not tls and not address.is_loopback:
        logger.warning("tokens travel unencrypted: give `--tls-cert`, or put a proxy in front that speaks TLS")
    names = [*_LOCAL, *_own_names(host, address)]
    foreign = [_checked(_ORIGIN, origin, "allow-origin", "https://example.org") for origin in options.allow_origins]
    listener = _listen(family, place, options.address)
    shown = f"[{host}]" if ":" in host else host
    return Site(
        listener=listener,
        url=f"{'https' if tls else 'http'}://{shown}:{listener.getsockname()[1]}/mcp",
        hosts=[*(form for name in names for form in (name, f"{name}:*")), *_allowed(options.allow_hosts)],
        origins=[f"{scheme}://{name}{port}" for scheme in ("http", "https") for name in _LOCAL for port in ("", ":*")]
        + foreign,
        foreign_origins=foreign,
        access=access,
        tls=tls,
        drain=options.drain,
    )


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any, ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as exc:
        raise CmdtoolError(f"`{host}` is no address of this machine: {exc.strerror}") from exc
    return family, place, ipaddress.ip_address(place[0])


def _own_names(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[str]:
    if address.is_unspecified or address.is_loopback:
        return []
    return [f"[{host}]" if ":" in host else host]


def _allowed(hosts: Sequence[str]) -> list[str]:
    checked = [_checked(_HOST, host, "allow-host", "tools.example.org") for host in hosts]
    return [form for host in checked for form in ((host,) if _has_port(host) else (host, f"{host}:*"))]


def _has_port(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and match[1] is not None


def _checked(form: re.Pattern[str], value: str, option: str, example: str) -> str:
    if not form.fullmatch(value):
        raise CmdtoolError(f"`--{option} {value}`: expected one such as `{example}`")
    return value


def _tls(cert: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # an encrypted key is an error, not a question
    except (OSError, ValueError) as exc:
        files = f"{cert}{f' and {key}' if key else ''}"
        why = (getattr(exc, "strerror", None) or str(exc)).lower()
        hint = "the certificate chain and its key are PEM files; the key has no passphrase"
        raise CmdtoolError(f"no TLS with {files}: {why}\nhint: {hint}") from exc
    return context


def _listen(family: socket.AddressFamily, place: Any, address: str) -> socket.socket:
    try:
        listener = BoundedListener(socket.create_server(place, family=family, backlog=_BACKLOG))
    except OSError as exc:
        # Python adds the address to `strerror` here.
        raise CmdtoolError(f"`--http {address}`: cannot listen: {os.strerror(exc.errno or 0).lower()}") from exc
    # Inherited by each connection. asyncio does this only where it has made the socket itself; without it a second
    # write, as of a body after its head, waits some 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
