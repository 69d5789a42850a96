"""Who may use a server over HTTP: named tokens, or OAuth 2.1 access tokens of an authorization server.

A file says it; the SDK's `TokenVerifier` protocol is how the rest asks.
"""

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
import jwt
from mcp.server.auth.provider import TokenVerifier
from pydantic import BeforeValidator, Field, model_validator

from cmdtool.errors import BadValue, CmdtoolError, ManifestError, Problem
from cmdtool.manifest import load_keys
from cmdtool.model import Model
from cmdtool.server.callers import Caller
from cmdtool.text import clean_line
from cmdtool.trust import check_trust

logger = logging.getLogger(__name__)

ALGORITHMS: Final = tuple("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA".split())
"""Signatures that are believed: none by a secret that both sides know, and not the lack of one."""

LEAST_STATE_KEY: Final = 32
"""Bytes of a key that seals questions."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{20,500}=*")  # RFC 6750, 2.1
_NEW_TOKEN: Final = "make one: openssl rand -base64 32"
_SAYABLE: Final = (
    "a token is 20 to 500 letters, digits and `-._~+/`",
    "a SHA-256 is 64 hexadecimal digits in small letters",
    "give the token or its SHA-256, one of them",
    "unknown key",
    f"a key is text of at least {LEAST_STATE_KEY} characters",
)
"""What may be said of a token, for it shows nothing of it."""

_TOOLS_KEY: Final = re.compile(r"\.tools(?:\[\d+\])?$")
_LEEWAY: Final = 10
_FETCH: Final = 5.0
_OTHERS: Final = stat.S_IWGRP | stat.S_IRWXO


# --- the file --------------------------------------------------------------------------------------------------------


def _token(value: object) -> object:
    return {"token": value} if isinstance(value, str) else value


def _url(value: object) -> str:
    """Plain http would let whoever is on the way exchange the keys; on this machine nobody is."""
    url = urlsplit(value) if isinstance(value, str) else None
    if url and url.hostname and (url.scheme == "https" or (url.scheme == "http" and _is_local(url.hostname))):
        return str(value)
    raise BadValue("expected an `https://` URL", "plain `http://` is for this machine only, as in `http://127.0.0.1`")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Url = Annotated[str, BeforeValidator(_url)]


def _state_key(value: object) -> object:
    if not isinstance(value, str) or len(value.encode()) < LEAST_STATE_KEY:
        raise BadValue(_SAYABLE[4], _NEW_TOKEN)
    return value


class TokenKeys(Model):
    """A bearer token, or its SHA-256, and the tools that exist for whoever has it."""

    token: Annotated[str, Field(description="The token itself.")] | None = None
    sha256: Annotated[str, Field(description="Its SHA-256, in 64 hexadecimal digits.")] | None = None
    tools: Annotated[tuple[str, ...], Field(description="Globs of the tools that its owner sees and calls.")] = ("*",)
    metrics: Annotated[bool, Field(description="Whether its owner may read `/metrics`.")] = False

    @model_validator(mode="after")
    def _has_one(self) -> "TokenKeys":
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise BadValue(_SAYABLE[0], _NEW_TOKEN)
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise BadValue(_SAYABLE[1], "printf %s TOKEN | sha256sum")
        if (self.token is None) == (self.sha256 is None):
            raise BadValue(_SAYABLE[2], _NEW_TOKEN)
        return self

    @property
    def digest(self) -> bytes:
        """The token's SHA-256."""
        return bytes.fromhex(self.sha256) if self.sha256 else hashlib.sha256((self.token or "").encode()).digest()


class OAuthKeys(Model):
    """The authorization server whose access tokens are accepted."""

    issuer: Annotated[Url, Field(description="The authorization server, as its tokens name it in `iss`.")]
    audience: Annotated[Url, Field(description="The URL of this server, as tokens name it in `aud`.")]
    jwks: (
        Annotated[Url, Field(description="Where the public keys are, if the issuer's metadata do not say.")] | None
    ) = None
    scopes: Annotated[tuple[str, ...], Field(description="Scopes that a token must have.")] = ()


class AuthFile(Model):
    """The file that `--auth` names."""

    tokens: Annotated[
        dict[Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")], Annotated[TokenKeys, BeforeValidator(_token)]],
        Field(description="Bearer tokens by name.", default_factory=dict),
    ]
    oauth: Annotated[OAuthKeys, Field(description="An OAuth 2.1 authorization server.")] | None = None
    state_keys: Annotated[
        tuple[Annotated[str, BeforeValidator(_state_key)], ...],
        Field(description="What seals questions, the same on all replicas; the first one seals, all are believed."),
    ] = ()


def read_auth(path: Path, *, trust: bool = False) -> AuthFile:
    """Read the file.

    Raises:
        CmdtoolError: it cannot be read, others than its owner can read or change it, or, without `trust`, its owner or
            its folder let others replace it.
        ManifestError: it has mistakes; no line of it is shown.
    """
    try:
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            text = file.read()
    except OSError as exc:
        raise CmdtoolError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    except UnicodeDecodeError as exc:
        raise CmdtoolError(f"{path}: not UTF-8 (byte {exc.start})") from exc
    mode = status.st_mode
    if mode & _OTHERS:
        raise CmdtoolError(f"{path}: others can read or change it (mode {mode & 0o777:04o})\nhint: chmod 600 {path}")
    if not trust:
        check_trust(path, status, "choose who comes in")
    try:
        keys = load_keys(AuthFile, str(path), text or "{}", "`tokens:` or `oauth:`")
    except ManifestError as exc:
        raise ManifestError([_without_secrets(problem) for problem in exc.problems]) from None
    if not keys.tokens and not keys.oauth:
        raise CmdtoolError(f"{path}: nobody could come in\nhint: write `tokens:` or `oauth:`")
    names: dict[bytes, str] = {}
    for name, token in keys.tokens.items():
        if (other := names.setdefault(token.digest, name)) != name:
            raise CmdtoolError(f"{path}: `{other}` and `{name}` have the same token\nhint: {_NEW_TOKEN}")
    return keys


def _without_secrets(problem: Problem) -> Problem:
    """Keep what stands in the file out of what is said about it."""
    shown = replace(problem, source="")
    is_said = problem.message.startswith(_SAYABLE) or _TOOLS_KEY.search(problem.key)
    if not problem.key.startswith(("tokens.", "state_keys")) or is_said:
        return shown
    expected = "a name and its token" if problem.key.startswith("tokens.") else "a list of keys"
    return replace(shown, message=f"not {expected}", hint=f"write it in quotes; {_NEW_TOKEN}")


# --- verifying -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """What a server asks of a request."""

    verifier: TokenVerifier
    oauth: OAuthKeys | None
    state_keys: tuple[str, ...]

    @property
    def scopes(self) -> list[str]:
        """Scopes that a caller must have."""
        return list(self.oauth.scopes) if self.oauth else []


def make_access(keys: AuthFile) -> Access:
    """Return the verifier of all tokens that the file accepts."""
    return Access(_Verifier(keys), keys.oauth, keys.state_keys)


class _Verifier:
    """Knows the named tokens, and leaves the others to the authorization server's signature."""

    def __init__(self, keys: AuthFile) -> None:
        self._scopes = list(keys.oauth.scopes) if keys.oauth else []
        self._tokens = {name: (token.digest, token) for name, token in keys.tokens.items()}
        self._oauth = _OAuth(keys.oauth) if keys.oauth else None

    async def verify_token(self, token: str) -> Caller | None:
        digest = hashlib.sha256(token.encode()).digest()
        # All are compared, so that the time tells neither how much of a token is right nor which one is near.
        matching = [name for name, (known, _) in self._tokens.items() if hmac.compare_digest(known, digest)]
        for name in matching:
            _, keys = self._tokens[name]
            scopes = self._scopes
            return Caller(token=token, client_id=name, name=name, scopes=scopes, tools=keys.tools, metrics=keys.metrics)
        return await self._oauth.verify_token(token) if self._oauth else None


class _OAuth:
    """Verifies JWT access tokens (RFC 9068): signature, issuer, audience, expiry."""

    def __init__(self, keys: OAuthKeys) -> None:
        self._keys = keys
        self._jwks: jwt.PyJWKClient | None = None
        # Whoever waits for the authorization server waits here, not in a thread that others need.
        self._turn = anyio.CapacityLimiter(1)

    async def verify_token(self, token: str) -> Caller | None:
        try:
            claims = await anyio.to_thread.run_sync(self._claims, token, limiter=self._turn)
        except (jwt.PyJWTError, httpx2.HTTPError, ValueError) as exc:
            logger.warning("a token was refused: %s", clean_line(str(exc)))
            return None
        scopes = claims.get("scope", claims.get("scp", []))
        return Caller(
            token=token,
            client_id=str(claims.get("client_id", claims.get("azp", claims["sub"]))),
            name=f"{claims['sub']} of {self._keys.issuer}",  # no named token can be called so
            scopes=scopes.split() if isinstance(scopes, str) else list(map(str, scopes)),
            resource=self._keys.audience,
            subject=claims["sub"],
            claims=claims,
        )

    def _claims(self, token: str) -> dict[str, Any]:
        if self._jwks is None:
            url = self._keys.jwks or _find_jwks(self._keys.issuer)
            self._jwks = jwt.PyJWKClient(url, timeout=_FETCH)
        return jwt.decode(
            token,
            self._jwks.get_signing_key_from_jwt(token),
            algorithms=ALGORITHMS,
            audience=self._keys.audience,
            issuer=self._keys.issuer,
            leeway=_LEEWAY,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )


def _find_jwks(issuer: str) -> str:
    """Ask the issuer's metadata for its keys (RFC 8414, 3; OpenID Connect Discovery 1.0, 4).

    Raises:
        ValueError: they do not say, or speak of another issuer.
        HTTPError: they cannot be read.
    """
    url = urlsplit(issuer)
    path = url.path.rstrip("/")
    oauth = url._replace(path=f"/.well-known/oauth-authorization-server{path}").geturl()
    answer = httpx2.get(oauth, timeout=_FETCH)
    if answer.is_client_error:
        answer = httpx2.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=_FETCH)
    metadata = answer.raise_for_status().json()
    if not isinstance(metadata, Mapping) or metadata.get("issuer") != issuer:
        raise ValueError(f"the metadata of {issuer} are not those of this issuer")
    return _url(metadata.get("jwks_uri"))
