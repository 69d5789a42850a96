from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdtool.features import Feature, find_features, heads_percentages
from cmdtool.json_lines import json_features


def found(record: str, *kinds: str) -> list[tuple[Any, ...]]:
    features = find_features(record.encode())
    return [(one.value, one.total) for one in features if one.kind in (kinds or ("percent", "pair", "left"))]


@pytest.mark.parametrize(
    ("record", "numbers"),
    [
        ("[ 59%] Building C object demo.dir/s15.c.o", [(59, 100)]),
        ("Receiving objects:  45% (1113/2472), 7.30 MiB | 3.63 MiB/s", [(45, 100), (1113, 2472)]),
        ("in @ 27 kiB/s, buffer   0% full,  17% done", [(17, 100)]),
        ("alpha ━━━━━ 0.2/5.0 MB 1.1 MB/s 0:00:05", [(200_000, 5_000_000)]),
        ("Read:  16.0 MiB /  30.9 MiB ==> 75%", [(16 * 2**20, 30.9 * 2**20)]),
        ("Step 3 of 8", [(3, 8)]),
        ("Done  60 out of  60 | elapsed: 4.8s finished", [(60, 60)]),
        ("    (51.22/100%)", [(51.22, 100)]),
        ("A-V: 0:35 / 3:20", [(35, 200)]),
        ("(xfr#1, to-chk=21/23)", [(2, 23)]),
        ("In:50.2% 00:03:20.90 [00:03:19.10] Out:19.3M", [(50.2, 100)]),
        ("1,024 of 4,096 rows", [(1024, 4096)]),
    ],
)
def test_percentages_and_pairs_are_found(record: str, numbers: list[tuple[float, float]]) -> None:
    assert [pytest.approx(one) for one in found(record)] == numbers


@pytest.mark.parametrize(
    "record",
    [
        "  adding: a.txt (deflated 24%)",
        "Compressed: 12.1 MiB => 75.38%",
        "100% tests passed, 0 tests failed",
        "25 packets transmitted, 25 received, 0% packet loss",
        "2026-11-24 16:14:03 started",
        "11/24/2026",
        "bias : 25 / 250 / 40 / 5.00",
        "v1.2.3/4 and src/3/4 and 10/2x",
        "range 0-299",
        "up 150%",
        "speed 12.5x, 24 fps, 3.1 MB/s",
    ],
)
def test_ratios_dates_rates_and_names_are_not(record: str) -> None:
    assert found(record) == []


@pytest.mark.parametrize(
    ("record", "counts"),
    [
        ("frame=  105 fps= 69 size=       4kB time=00:00:04.19 speed=2.77x", [105]),
        ("ok 17 - case 18", [17, 18]),
        ("[   12.345678] usb 1-1: new device", []),
        ("1795467109.72 tick", []),
        ("elapsed 17 pid 4711", []),
        ("9\t48\t4.6\t0\t0 48", []),
        ("17", [17]),
        ("local:1/29/100%/0.3s", [1, 29, 100]),
    ],
)
def test_counts_are_found_unless_they_are_times_ids_or_tables(record: str, counts: list[float]) -> None:
    assert [value for value, _ in found(record, "count")] == counts


def test_bars_scales_dots_and_verdicts_are_found() -> None:
    assert found("copy [====>    ]", "bar") == [(5, 9)]
    assert found("[#########]", "bar") == [(9, 9)]
    assert found("0...10...20...30..", "scale")[-1] == (30, 100)
    assert found("10% 20% 30%", "scale")[-1] == (30, 100)
    assert found("....", "dots") == [(4, None)]
    for line in ("PASS ./t1.test.js", "✔ case", "test_x (t.T) ... ok"):
        assert len(found(line, "verdict")) == 1, line


def test_a_series_is_what_stays_the_same() -> None:
    def series(*records: str) -> set[Any]:
        return {find_features(record.encode())[0].series for record in records}

    assert len(series("[ 3%] Building a.c", "[ 6%] Linking b")) == 1
    assert len(series("a.bin 5%", "b.bin 6%")) == 2
    assert len(series("file x 1/9", "file y 2/9")) == 1
    assert len(series("1/9", "2/8")) == 2
    assert len(series("read 5 lines", "read 6 lines")) == 1
    assert len(series("read 5 lines", "wrote 6 lines")) == 2


def test_the_head_of_a_table_tells_that_rows_begin_with_a_percentage() -> None:
    assert heads_percentages(b"  % Total    % Received % Xferd")
    assert not heads_percentages(b" 5% done")
    row = b" 13 11.4M   13 1568k    0     0  2046k"
    assert [(one.kind, one.value) for one in find_features(row, is_percentage_first=True)] == [("percent", 13)]
    assert find_features(row) == []


@pytest.mark.parametrize(
    ("record", "features"),
    [
        (b'{"type": "status", "percent_done": 0.25}', [("fraction", 0.25, None)]),
        (b'{"status": "pulling", "total": 100, "completed": 40}', [("pair", 40, 100)]),
        (b'{"progressDetail": {"current": 1, "total": 4}, "id": "x"}', [("pair", 1, 4)]),
        (b'{"nfiles": 12, "time": 1795467109.7}', [("count", 12, None)]),
        (b'{"progress": 130, "x": 1}', []),
        (b'{"ok": true}', []),
        (b"[1, 2]", []),
        (b"{1", []),
        (b'{"a":' * 5000, []),
    ],
)
def test_json_lines_are_read_by_their_keys(record: bytes, features: list[tuple[Any, ...]]) -> None:
    assert [(one.kind, one.value, one.total) for one in json_features(record)] == features


@given(st.one_of(st.binary(max_size=300), st.text(alphabet="0123456789 .,:/%[]|#=-of", max_size=300).map(str.encode)))
def test_any_record_has_finite_features_inside_it(record: bytes) -> None:
    features: list[Feature] = [*find_features(record), *json_features(record)]
    for feature in features:
        assert 0 <= feature.value < 1e40
        assert 0 <= feature.span[0] <= feature.span[1]
