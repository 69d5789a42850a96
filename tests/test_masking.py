import base64
import json
import re
import shlex
import subprocess
import time
import urllib.parse
from itertools import pairwise
from secrets import token_urlsafe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.masking import LEAST, MASK, MOST_BYTES, MOST_LINES, Secrets, StreamMask, is_too_long, is_too_short, named

SECRETS = st.lists(
    st.text("ab+/é\"'\\ \n%", min_size=LEAST, max_size=12).filter(lambda text: not is_too_short(text)),
    min_size=1,
    max_size=3,
)


def mask(values: list[str], blocks: list[bytes]) -> bytes:
    stream = StreamMask(Secrets(values))
    return b"".join([*map(stream.feed, blocks), stream.finish()])


def written(text: str) -> list[bytes]:
    """The ways in which programs write a text."""
    raw = text.encode()
    return [
        raw,
        json.dumps(text)[1:-1].encode(),
        json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        urllib.parse.quote(raw, safe="").encode(),
        urllib.parse.quote_plus(raw).encode(),
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw),
    ]


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], list[bytes]]:
    """Secrets, and blocks of output in which they and their halves stand between other text."""
    secrets = draw(SECRETS)
    pieces = [form for secret in secrets for form in written(secret)]
    halves = [piece[: len(piece) // 2] for piece in pieces] + [piece[len(piece) // 2 :] for piece in pieces]
    text = b"".join(draw(st.lists(st.sampled_from([*pieces, *halves, b"", b"a", b"ab", b"\n", b"\xff\x00"]))))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return secrets, [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(streams())
def test_no_form_of_a_secret_is_left_however_the_stream_is_cut(case: tuple[list[str], list[bytes]]) -> None:
    secrets, blocks = case
    masked = mask(secrets, blocks)
    for form in (form for secret in secrets for form in written(secret)):
        assert form not in masked


@given(streams())
def test_any_blocks_give_the_same_bytes(case: tuple[list[str], list[bytes]]) -> None:
    secrets, blocks = case
    text = b"".join(blocks)
    assert mask(secrets, blocks) == mask(secrets, [text]) == mask(secrets, [text[i : i + 1] for i in range(len(text))])


@given(streams())
def test_what_is_no_secret_is_left_byte_for_byte(case: tuple[list[str], list[bytes]]) -> None:
    """Exactly the bytes that stand in some occurrence of a known form are masked."""
    secrets, blocks = case
    text = b"".join(blocks)
    spans = list(Secrets(secrets).find(text))
    expected, told = b"", 0
    for start, stop in spans:
        if start >= told:
            expected += text[told:start] + MASK.encode()
        told = max(told, stop)
    assert mask(secrets, blocks) == expected + text[told:]


@given(st.binary(), st.lists(st.integers(0, 300)))
def test_other_text_passes_unchanged(text: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    blocks = [text[start:end] for start, end in pairwise(places)]
    assert mask(["correct horse battery staple"], blocks) == text


SECRET = 's3cr3t/ti+ger\'s "ü"'


@pytest.mark.parametrize(
    "printed",
    [
        SECRET,
        json.dumps({"token": SECRET}),
        json.dumps(SECRET, ensure_ascii=False).replace("/", "\\/"),
        urllib.parse.urlencode({"token": SECRET}),
        urllib.parse.quote(SECRET),
        urllib.parse.quote(SECRET, safe="").lower(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_the_usual_forms_are_masked(printed: str) -> None:
    masked = Secrets([SECRET]).mask(f"before {printed} after")
    assert re.fullmatch(r'before ("|\{"token": "|token=)?\[masked\]("|"\}|=+)? after', masked)


@pytest.mark.parametrize("before", ["", "u", "us", "user", "user:"])
@pytest.mark.parametrize("after", ["", "\n", "-x"])
def test_base64_is_masked_whatever_stands_around_the_secret(before: str, after: str) -> None:
    secret = "correct-horse-battery"
    encoded = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    masked = Secrets([secret]).mask(encoded)
    assert MASK in masked
    # What is left are characters that also hold bits of the text around it.
    assert len(masked.replace(MASK, "")) <= 4 * (len(before + after) + 2)


def test_a_secret_that_echo_passes_to_base64_is_masked_to_its_end() -> None:
    encoded = base64.b64encode(b"p4ss word!\n").decode()
    assert re.fullmatch(r"\[masked\]=*", Secrets(["p4ss word!"]).mask(encoded))


@pytest.mark.parametrize("width", ["0", "64", "76"])
def test_base64_in_lines_is_masked(width: str) -> None:
    secret = "".join(chr(97 + (i * i) % 26) for i in range(200))
    encoded = subprocess.run(["base64", "-w", width], input=secret.encode(), capture_output=True, check=True).stdout
    assert not re.search(rb"[A-Za-z0-9]{3}", mask([secret], [encoded]).replace(MASK.encode(), b""))


def test_a_shell_that_shows_its_commands_shows_no_secret() -> None:
    secret = "it's a tiger"
    shown = subprocess.run(["bash", "-xc", f"true {shlex.quote(secret)}"], capture_output=True, check=True).stderr
    assert secret not in shown.decode()
    assert b"tiger" in shown
    assert b"tiger" not in mask([secret], [shown])


def test_each_line_of_a_secret_counts() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nab==\n"
    assert Secrets([key]).mask("> hkiG9w0BAQEFAASC <") == "> [masked] <"
    assert Secrets([key]).mask(json.dumps(key)) == '"[masked]"'
    assert Secrets([key]).mask("ab==") == "ab=="


def test_secrets_that_overlap_leave_nothing_of_either() -> None:
    assert Secrets(["xabcdef", "abcdefSECRET"]).mask("<xabcdefSECRET>") == "<[masked]>"
    assert Secrets(["abcabcabc"]).mask("abcabcabcabcabc!") == "[masked]!"
    assert mask(["xabcdef", "abcdefSECRET"], [b"<xabcdef", b"SEC", b"RET>"]) == b"<[masked]>"


def test_only_what_may_become_a_secret_is_held_back() -> None:
    stream = StreamMask(Secrets(["tiger-lily"]))
    assert stream.feed(b"50%\r") == b"50%\r"
    assert not stream.holds
    assert stream.feed(b"a tiger-") == b"a "
    assert stream.holds
    assert stream.feed(b"cat ti") == b"tiger-cat "
    assert stream.feed(b"ger-lily.") == b"[masked]."
    assert stream.feed(b"ti") == b""
    assert stream.finish() == b"ti"


def test_short_secrets_are_not_masked() -> None:
    assert not Secrets(["12345", "", " abc  \n"])
    assert Secrets(["12345"]).mask("12345") == "12345"
    assert is_too_short(" 12345\n")
    assert not is_too_short("123456")


def test_text_that_is_no_unicode_is_kept() -> None:
    secrets = Secrets(["byte\udcff-secret"])
    assert secrets.mask("\ud800 stays") == "\ud800 stays"
    assert mask(["byte\udcff-secret"], [b"a byte\xff-secret"]) == b"a [masked]"


def test_names_are_found_by_globs() -> None:
    assert named(["API_KEY", "*_TOKEN"], ["HOME", "GH_TOKEN", "API_KEY", "api_key"]) == ["GH_TOKEN", "API_KEY"]


@pytest.mark.parametrize("text", [b"a" * (1 << 18), b"aaaaab" * (1 << 15), b"aaaaaaX" * (1 << 15)])
def test_text_that_is_nearly_a_secret_costs_no_more_than_its_length(text: bytes) -> None:
    secret = "a" * 4000 + "b"
    assert mask([secret, "a" * 3000 + "c"], [text[i : i + 65536] for i in range(0, len(text), 65536)]) == text


def test_the_longest_secret_that_is_taken_holds_nothing_up() -> None:
    value = "\n".join(token_urlsafe(120)[: MOST_BYTES // MOST_LINES - 1] for _ in range(MOST_LINES))
    assert not is_too_long(value)
    assert is_too_long(f"{value}\n{value}")
    assert is_too_long("x" * (MOST_BYTES + 1))
    begun = time.process_time()
    secrets = Secrets([value])
    assert secrets.mask("an innocent line 42\n" * 5000) == "an innocent line 42\n" * 5000
    assert time.process_time() - begun < 1
    assert value[:20] not in secrets.mask(value)
