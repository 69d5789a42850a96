from hypothesis import given
from hypothesis import strategies as st

from cmdtool.output import Capture, Excerpt, share_limit


def capture(data: bytes, limit: int, block: int = 7) -> Capture:
    captured = Capture(limit)
    for start in range(0, len(data), block):
        captured.feed(data[start : start + block])
    return captured


@given(st.binary(max_size=300), st.integers(1, 64), st.integers(1, 50))
def test_head_and_tail_are_the_first_and_last_bytes(data: bytes, limit: int, block: int) -> None:
    excerpt = capture(data, limit, block).excerpt(limit)
    if len(data) <= limit:
        assert (excerpt.head + excerpt.tail, excerpt.left_out) == (data, 0)
        return
    assert len(excerpt.head) + len(excerpt.tail) == limit
    assert data.startswith(excerpt.head)
    assert data.endswith(excerpt.tail)
    assert excerpt.left_out == len(data) - limit
    assert len(excerpt.head) == limit // 2


@given(st.lists(st.integers(0, 200), min_size=2, max_size=2), st.integers(1, 100))
def test_streams_share_the_limit_and_lend_what_they_do_not_need(sizes: list[int], limit: int) -> None:
    excerpts = share_limit([capture(b"x" * size, limit) for size in sizes], limit)
    kept = [len(excerpt.head) + len(excerpt.tail) for excerpt in excerpts]
    assert sum(kept) == min(limit, sum(sizes))
    assert all(kept[i] == sizes[i] or kept[i] >= limit // 2 for i in range(2))


def test_text_says_how_much_is_left_out() -> None:
    text = capture(b"a" * 50 + b"b" * 2000 + b"c" * 50, 100).excerpt(100).text
    assert text == "a" * 50 + "\n[... 2,000 bytes left out ...]\n" + "c" * 50


def test_a_character_cut_by_the_limit_leaves_no_debris() -> None:
    excerpt = capture("é".encode() * 50, 10).excerpt(10)
    assert excerpt.text == "éé\n[... 90 bytes left out ...]\néé"


def test_memory_stays_bounded_however_long_the_stream() -> None:
    captured = Capture(1000)
    for _ in range(1000):
        captured.feed(b"x" * 10_000)
    assert captured.size == 10_000_000
    assert len(captured._head) + len(captured._tail) < 4 * 1000


def test_an_excerpt_can_be_shortened_once_more() -> None:
    whole = Excerpt(b"0123456789", 0, b"")
    assert whole.shortened(10) is whole
    assert whole.shortened(4) == Excerpt(b"01", 6, b"89")
    assert whole.shortened(4).shortened(2) == Excerpt(b"0", 8, b"9")
