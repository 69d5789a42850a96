"""Who may come in over HTTP: named tokens and what they may use, OAuth access tokens, and files that are refused."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from mcp.shared.exceptions import MCPError

from cmdtool.errors import CmdtoolError, ManifestError
from cmdtool.server.auth import read_auth
from tests.http_serving import ACCEPT, HttpServer, http_server, legacy_request
from tests.serving import ERAS, Era, text_of
from tests.waiting import until

pytestmark = pytest.mark.anyio

MANIFEST = r"""
tools:
  hello: {command: echo hello}
  build_one: {command: echo one}
  build_two: {command: echo two}
  wait: {shell: 'echo $$ > pid; until [ -e go ]; do sleep 0.02; done'}
"""
ALICE, BOB, CAROL = (name * 8 for name in ("alice", "bob42", "carol"))
AUTH = f"""
tokens:
  alice: {ALICE}
  bob: {{token: {BOB}, tools: [hello, "build_*"]}}
  carol: {{sha256: {hashlib.sha256(CAROL.encode()).hexdigest()}, tools: []}}
"""


def write_auth(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "auth.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = tmp_path_factory.mktemp("auth")
    write_auth(folder, AUTH)
    with http_server(folder, MANIFEST, "--auth", "auth.yaml", "--allow-origin", "https://a.example") as server:
        yield server


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# --- named tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("="), bearer("x" * 40), bearer(ALICE[:-1]), bearer(ALICE + "x"), {"Authorization": f"Basic {ALICE}"}],
    ids=["none", "empty", "unknown", "short", "long", "basic"],
)
async def test_whoever_has_no_token_is_refused(server: HttpServer, headers: dict[str, str]) -> None:
    answer = await server.post("tools/list", None, headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "hello" not in answer.text


async def test_health_needs_no_token(server: HttpServer) -> None:
    async with httpx2.AsyncClient() as http:
        assert (await http.get(f"{server.root}/readyz")).status_code == 200


async def test_a_page_may_ask_before_it_has_a_token(server: HttpServer) -> None:
    ask = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    async with httpx2.AsyncClient() as http:
        asked = await http.options(server.url, headers=ask | {"Access-Control-Request-Headers": "authorization"})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://a.example"


async def test_a_token_does_not_excuse_a_foreign_host_or_origin(server: HttpServer) -> None:
    assert (await server.post("tools/list", None, bearer(ALICE) | {"Host": "evil.example"})).status_code == 421
    assert (await server.post("tools/list", None, bearer(ALICE) | {"Origin": "http://evil.example"})).status_code == 403


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("token", "tools"),
    [(ALICE, ["hello", "build_one", "build_two", "wait"]), (BOB, ["hello", "build_one", "build_two"]), (CAROL, [])],
)
async def test_a_caller_sees_and_calls_its_own_tools_only(
    server: HttpServer, era: Era, token: str, tools: list[str]
) -> None:
    async with server.client(era, token) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == tools
        for name in ("hello", "build_two"):
            if name in tools:
                assert text_of(await client.call_tool(name, {})) in ("hello", "two")
        hidden = {"hello", "build_one", "build_two", "wait", "nothing"} - set(tools)
        for name in hidden:
            with pytest.raises(MCPError, match=f"unknown tool: {name}") as error:
                await client.call_tool(name, {})
            assert error.value.error.code == -32602


async def test_a_session_belongs_to_the_token_that_opened_it(server: HttpServer) -> None:
    hello = legacy_request(
        0,
        "initialize",
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    )
    async with httpx2.AsyncClient(headers=ACCEPT, timeout=30) as http:
        opened = await http.post(server.url, json=hello, headers=bearer(ALICE))
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        listing = legacy_request(1, "tools/list")
        assert (await http.post(server.url, json=listing, headers=session | bearer(BOB))).status_code == 404
        assert (await http.post(server.url, json=listing, headers=session)).status_code == 401
        assert (await http.delete(server.url, headers=session | bearer(BOB))).status_code == 404
        assert (await http.post(server.url, json=listing, headers=session | bearer(ALICE))).status_code == 200


async def test_no_token_is_in_the_log(tmp_path: Path) -> None:
    write_auth(tmp_path, AUTH)
    with http_server(tmp_path, MANIFEST, "--auth", "auth.yaml") as server:
        await server.post("tools/list", None, bearer(ALICE))
        await server.post("tools/list", None, bearer("wrong" * 10))
        async with server.client("auto", BOB) as client:
            await client.call_tool("hello", {})
        await until(lambda: "hello: " in server.log)
    assert ALICE not in server.log
    assert BOB not in server.log
    assert "wrongwrong" not in server.log


def test_another_address_is_served_with_tokens(tmp_path: Path) -> None:
    write_auth(tmp_path, AUTH)
    with http_server(tmp_path, MANIFEST, "--auth", "auth.yaml", address="0.0.0.0:0") as server:
        assert server.url.startswith("http://0.0.0.0:")
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx2.post(url, json={}, headers=ACCEPT).status_code == 401
        assert "tokens travel unencrypted" in server.log


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o622, 0o660])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_auth(tmp_path, AUTH, mode)
    with pytest.raises(CmdtoolError, match="others can read or change it") as error:
        read_auth(path)
    assert f"hint: chmod 600 {path}" in str(error.value)


def test_a_folder_in_which_others_could_put_another_file_is_refused(tmp_path: Path) -> None:
    path = write_auth(tmp_path, AUTH)
    tmp_path.chmod(0o777)
    with pytest.raises(CmdtoolError, match="everybody can write it, so others could choose who comes in"):
        read_auth(path)
    assert read_auth(path, trust=True).tokens


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused_unless_it_is_trusted(tmp_path: Path) -> None:
    path = write_auth(tmp_path, AUTH)
    os.chown(path, 54321, -1)
    with pytest.raises(CmdtoolError, match="it belongs to user 54321, so others could choose who comes in"):
        read_auth(path)
    with http_server(tmp_path, MANIFEST, "--auth", "auth.yaml", "--trust") as server:
        assert server.url


SECRET = "sesame-9c1d7b26f3e84a10"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tokens: {a: short}", "a token is 20 to 500 letters"),
        (f"tokens: {{a: '{SECRET} x'}}", "a token is 20 to 500 letters"),
        (f"tokens: {{a: [{SECRET}]}}", "not a name and its token"),
        (f"tokens: {{a: {{token: {SECRET}, metrics: {SECRET}}}}}", "not a name and its token"),
        ("state_keys: [sesame-short]", "a key is text of at least 32 characters"),
        (f"state_keys: {SECRET * 2}", "not a list of keys"),
        ("state_keys: [12345678901234567890123456789012]", "not a list of keys"),
        (f"tokens: {{a: {{token: {SECRET}, sha256: ab}}}}", "a SHA-256 is 64 hexadecimal digits"),
        ("tokens: {a: 12345678901234567890}", "not a name and its token"),
        ("tokens: {a: 001234567012345670123}", "not a name and its token"),
        (f"tokens: {{a: {{tokem: {SECRET}}}}}", "unknown key"),
        ("tokens: {a: {tools: [x]}}", "give the token or its SHA-256"),
        (f"tokens: {{a: {{token: {SECRET}, tools: 3}}}}", "expected a list"),
        (f"tokens: {{'a b': {SECRET}}}", "not a name and its token"),
        (f"tokens:\n  a: '{SECRET}\n", "a quote is never closed"),
        ("oauth: {issuer: 'http://example.org', audience: 'https://a.b/mcp'}", "expected an `https://` URL"),
        ("oauth: {issuer: 'https://example.org'}", "`audience` is missing"),
        ("{}", "nobody could come in"),
        ("", "nobody could come in"),
        (f"- {SECRET}", "expected a mapping"),
    ],
)
def test_mistakes_are_told_without_what_the_file_holds(tmp_path: Path, text: str, said: str) -> None:
    path = write_auth(tmp_path, text)
    with pytest.raises(CmdtoolError) as error:
        read_auth(path)
    assert said in str(error.value)
    assert str(error.value).startswith(str(path) if not isinstance(error.value, ManifestError) else f"error: {path}")
    for part in ("sesame", "1234567"):
        assert part not in str(error.value)


def test_two_names_for_one_token_are_refused(tmp_path: Path) -> None:
    path = write_auth(tmp_path, f"tokens: {{alice: '{ALICE}', bob: '{ALICE}'}}")
    with pytest.raises(CmdtoolError, match="`alice` and `bob` have the same token") as caught:
        read_auth(path)
    assert ALICE not in str(caught.value)


def test_a_wrong_file_is_told_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(MANIFEST)
    write_auth(tmp_path, "tokens: {a: short}")
    command = [sys.executable, "-m", "cmdtool", "serve", "--http", "0", "--auth", "auth.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr == (
        "error: auth.yaml:1:13: tokens.a: a token is 20 to 500 letters, digits and `-._~+/`\n"
        "hint: make one: openssl rand -base64 32\n"
    )


# --- OAuth -----------------------------------------------------------------------------------------------------------

AUDIENCE = "http://127.0.0.1/mcp"


class Issuer:
    """An authorization server: its metadata, its keys, and tokens with what a test says in them."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.curve = ec.generate_private_key(ec.SECP256R1())
        self.asked: list[str] = []
        rsa_key = {**RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": "r", "use": "sig"}
        ec_key = {**ECAlgorithm.to_jwk(self.curve.public_key(), as_dict=True), "kid": "e", "use": "sig"}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                pages: dict[str, Any] = {
                    "/.well-known/oauth-authorization-server/i": {"issuer": issuer.url, "jwks_uri": issuer.jwks},
                    "/jwks": {"keys": [rsa_key, ec_key]},
                }
                body = json.dumps(pages.get(self.path, {})).encode()
                self.send_response(200 if self.path in pages else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.root}/i"
        self.jwks = f"{self.root}/jwks"
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    def token(self, key: Any = None, algorithm: str = "RS256", kid: str = "r", **claims: Any) -> str:
        """Return a token that is right but for `claims`; one that is None is left out."""
        now = int(time.time())
        right = {"iss": self.url, "aud": AUDIENCE, "sub": "dora", "exp": now + 600, "iat": now, "scope": "tools other"}
        kept = {name: value for name, value in {**right, **claims}.items() if value is not None}
        return jwt.encode(kept, self.key if key is None else key, algorithm=algorithm, headers={"kid": kid})

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    started = Issuer()
    yield started
    started.end()


@pytest.fixture(scope="module")
def guarded(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = tmp_path_factory.mktemp("oauth")
    text = f"tokens: {{alice: {ALICE}}}\noauth: {{issuer: '{issuer.url}', audience: '{AUDIENCE}', scopes: [tools]}}\n"
    write_auth(folder, text)
    with http_server(folder, MANIFEST, "--auth", "auth.yaml") as server:
        yield server


async def test_a_right_token_and_a_named_one_come_in(issuer: Issuer, guarded: HttpServer) -> None:
    tokens = [
        issuer.token(),
        issuer.token(issuer.curve, "ES256", "e"),
        issuer.token(aud=["https://other.example", AUDIENCE]),
        issuer.token(scope=None, scp=["tools"]),
        ALICE,
    ]
    for token in tokens:
        assert (await guarded.post("tools/list", None, bearer(token))).status_code == 200
    assert issuer.asked.count("/jwks") == 1, "keys are kept"


@pytest.mark.parametrize("era", ERAS)
async def test_the_client_works_with_an_access_token(issuer: Issuer, guarded: HttpServer, era: Era) -> None:
    async with guarded.client(era, issuer.token()) as client:
        assert text_of(await client.call_tool("hello", {})) == "hello"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 32_000_000_000},
        {"aud": "http://127.0.0.1/other"},
        {"aud": None},
        {"iss": "http://127.0.0.1/evil"},
        {"iss": None},
        {"sub": None},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_refused(
    issuer: Issuer, guarded: HttpServer, claims: dict[str, Any]
) -> None:
    answer = await guarded.post("tools/list", None, bearer(issuer.token(**claims)))
    assert answer.status_code == 401
    metadata = f'resource_metadata="{AUDIENCE.removesuffix("/mcp")}/.well-known/oauth-protected-resource/mcp"'
    assert metadata in answer.headers["www-authenticate"]


async def test_a_token_that_others_signed_is_refused(issuer: Issuer, guarded: HttpServer) -> None:
    other = rsa.generate_private_key(65537, 2048)
    right = issuer.token()
    head, claims, signature = right.split(".")
    forged = [
        issuer.token(other),
        issuer.token(kid="unknown"),
        issuer.token("", "none"),
        issuer.token("a secret that both sides know, long enough", "HS256"),
        f"{head}.{claims}.",
        f"{head}.{claims[:-4]}AAAA.{signature}",
        issuer.token(issuer.curve, "ES256", "r"),
    ]
    for token in forged:
        assert (await guarded.post("tools/list", None, bearer(token))).status_code == 401, token
    assert (await guarded.post("tools/list", None, bearer(right))).status_code == 200


async def test_a_token_without_the_scope_is_told_so(issuer: Issuer, guarded: HttpServer) -> None:
    answer = await guarded.post("tools/list", None, bearer(issuer.token(scope="other")))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


async def test_the_metadata_name_the_authorization_server(issuer: Issuer, guarded: HttpServer) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{guarded.root}/.well-known/oauth-protected-resource/mcp")
    assert answer.status_code == 200
    document = answer.json()
    assert (document["resource"], document["authorization_servers"]) == (AUDIENCE, [issuer.url])
    assert (document["scopes_supported"], document["bearer_methods_supported"]) == (["tools"], ["header"])
    assert "access-control-allow-origin" not in answer.headers


async def test_an_authorization_server_that_is_away_lets_nobody_in(issuer: Issuer, tmp_path: Path) -> None:
    gone = "{issuer: 'http://127.0.0.1:9/i', audience: 'http://127.0.0.1/mcp'}"
    write_auth(tmp_path, f"oauth: {gone}")
    with http_server(tmp_path, MANIFEST, "--auth", "auth.yaml") as server:
        token = issuer.token(iss="http://127.0.0.1:9/i")
        assert (await server.post("tools/list", None, bearer(token))).status_code == 401
        await until(lambda: "a token was refused" in server.log)
