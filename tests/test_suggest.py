"""The rules that are proposed read what was mined."""

import pytest

from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, check
from cmdtool.mining import Miner
from cmdtool.model import ProgressSpec
from cmdtool.readings import Reader
from cmdtool.suggest import Finding, write_progress


def suggested(*records: str) -> list[str]:
    miner = Miner()
    miner.feed("stdout", [record.encode() for record in records])
    return [finding.pattern for finding in miner.findings()]


@pytest.mark.parametrize(
    ("records", "patterns"),
    [
        (["[ 3%] cc a.o", "[ 6%] ld b.o"], [r"^\[\s*(?P<percent>\d[\d,.]*) ?%\]"]),
        (["Step 1 of 4: x", "Step 2 of 4: y"], [r"^Step\s*(?P<progress>\d[\d,.]*)\s+of\s+(?P<total>\d[\d,.]*):"]),
        (["a.bin 1/9", "a.bin 2/9"], [r"(?P<progress>\d[\d,.]*)/(?P<total>\d[\d,.]*)"]),
        ([" 0/64 in", " 1/63 in"], [r"^\s*(?P<progress>\d[\d,.]*)/(?P<remaining>\d[\d,.]*)\s+in"]),
        (['{"done": 1, "total": 9}', '{"done": 2, "total": 9}'], None),
        (["load 10%", "load 20%"], []),
        (["[#   ]", "[##  ]", "[### ]"], []),
    ],
)
def test_a_pattern_keeps_what_stays_the_same_beside_the_number(records: list[str], patterns: list[str] | None) -> None:
    json = [r'"done": *(?P<progress>[\d.]+)', r'"total": *(?P<total>[\d.]+)']
    assert suggested(*records) == (json if patterns is None else patterns)


@pytest.mark.parametrize(
    "records",
    [
        ["read 5.0 MiB of 20 MiB", "read 6.5 MiB of 20 MiB"],
        ["0:35 / 3:20", "0:36 / 3:20"],
        ["to-chk=20/23", "to-chk=18/23"],
        ["rows: 3row [00:00]", "rows: 6row [00:00]", "rows: 9row [00:01]", "rows: 12row [00:01]"],
        ["5832704 bytes (5.8 MB) copied", "8832704 bytes (8.8 MB) copied", "9832704 bytes (9.8 MB) copied"],
        ["x:0/3/100%", "x:0/4/100%", "x:1/5/100%", "x:1/6/100%"],
        ["PASS a", "PASS b", "FAIL c"],
        ["progress=0.10", "progress=0.25", "progress=0.40"],
        ['{"progress": 0.10}', '{"progress": 0.25}', '{"progress": 0.40}'],
        ['{"nfiles": 1}', '{"nfiles": 2}', '{"nfiles": 3}'],
        ["get: 50% (1/2)", "get: 100% (2/2)", "put: 10% (1/9)", "put: 20% (2/9)"],
    ],
)
def test_the_rules_read_what_was_mined(records: list[str]) -> None:
    miner = Miner()
    mined = miner.feed("stdout", [record.encode() for record in records])
    assert mined
    rules = [{"pattern": rule.pattern, **({"total": rule.total} if rule.total else {})} for rule in miner.findings()]
    reading = Reader(ProgressSpec.model_validate({"rules": rules})).feed("stdout", [one.encode() for one in records])
    assert reading is not None
    assert reading.value is not None
    if mined[-1].total is not None:
        assert reading.total is not None
        assert reading.value / reading.total == pytest.approx((mined[-1].value or 0) / mined[-1].total, abs=0.01)
    else:
        assert reading.value == mined[-1].value


def test_rules_are_written_as_they_stand_in_a_tool() -> None:
    found = [
        Finding(r"it's (\d+) of (\d+)", None, b"\x1b[1mit's 3 of 12\n"),
        Finding(r"p=(?P<progress>\S+)", 1.0, b"p=0.5"),
    ]
    text = write_progress(found)
    assert text.splitlines() == [
        "    progress:",
        "      # it's 3 of 12",
        r"      - 'it''s (\d+) of (\d+)'",
        "      # p=0.5",
        r"      - pattern: 'p=(?P<progress>\S+)'",
        "        total: 1",
    ]
    source = Source("tools.yaml", "/", f"tools:\n  copy:\n    command: ./copy.sh\n{text}")
    manifest, problems = check([source], builtin_parsers())
    assert problems == []
    assert manifest is not None
    rules = manifest.tools["copy"].progress.rules
    assert [(rule.pattern, rule.total) for rule in rules] == [(one.pattern, one.total) for one in found]
