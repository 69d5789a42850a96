"""The recorded output of programs that have a built-in parser, and what the samples of the others say."""

from typing import Final

import pytest

from cmdtool.library import builtin_parser, builtin_parsers
from cmdtool.readings import Reader
from tests.recordings.readers import load, read_by
from tests.recordings.score import FOLDER, load_truths, score

LIBRARY: Final = FOLDER / "library"
RECORDINGS: Final = {recording.id: recording for recording in map(load, sorted(LIBRARY.glob("*.jsonl")))}
TRUTHS: Final = {truth["id"]: truth for truth in load_truths(LIBRARY)}


def test_each_recording_has_a_truth_and_its_parser() -> None:
    assert RECORDINGS.keys() == TRUTHS.keys()
    assert {recording.program for recording in RECORDINGS.values()} <= set(builtin_parsers())


@pytest.mark.parametrize("case", RECORDINGS)
def test_a_parser_reads_its_program_right(case: str) -> None:
    recording = RECORDINGS[case]
    result = score(TRUTHS[case], read_by(recording.program, recording))
    assert result.ok, result


Expected = tuple[float | None, float | None, str | None]


def last_reading(name: str, text: str) -> Expected | None:
    """Return what is read in the end by parser `name` of `text`, a record a line; None if nothing is."""
    reader = Reader(builtin_parsers()[name])
    readings = [reader.feed("stdout", [line.encode()]) for line in text.splitlines()]
    found = [reading for reading in readings if reading is not None]
    return (found[-1].value, found[-1].total, found[-1].message) if found else None


SAMPLES: Final[dict[str, Expected]] = {
    "aws": (1 * 2**20, 5 * 2**20, "512.0 KiB/s · 1 file(s) left"),
    "azcopy": (12.3, 100, "5 of 43 files"),
    "bazel": (1234, 5678, "Compiling src/main/cpp/blaze.cc; 3s linux-sandbox"),
    "brew": (42.3, 100, "Downloading https://ghcr.io/v2/homebrew/core/jq/manifests/1.7"),
    "cypress": (1, 3, "order.cy.js"),
    "dnf": (3, 24, "Installing       : nginx-core-2:1.24.0-4.fc39.x86_64"),
    "docker": (1, 7, "RUN apt-get update"),
    "growisofs": (1234567, 98765432, "3.9x · 5:12 left"),
    "gsutil": (24, 100, "2.1 MiB/s · 00:00:20 left"),
    "hashcat": (1234567, 5678901, "Progress.........: 1234567/5678901 (21.73%)"),
    "huggingface": (5, 12, "5 of 12 files"),
    "john": (12.34, 100, "0g 0:00:00:05 12.34% (ETA: 12:00:41) 0g/s 1204p/s 1204c/s 1204C/s secret..letmein"),
    "kubectl": (2, 5, "2 of 5 updated"),
    "mongodump": (1, None, "shop.orders"),
    "mutmut": (12, 345, "⠸ 12/345  🎉 10  ⏰ 0  🤔 0  🙁 2  🔇 0"),
    "ollama": (12, 100, "566 MB of 4.7 GB · 58 MB/s"),
    "pacman": (3, 12, "installing jq"),
    "s3cmd": (65536, 1048576, "1.20 MB/s"),
    "swift": (12, 48, "Compiling Shop Cart.swift"),
    "whisper": (9.5, None, "and so the work begins"),
    "wodim": (12, 650, "Track 01"),
}
"""What the samples of the parsers say that were written from documentation: there is no recording of their programs."""


def test_a_parser_with_a_recording_needs_no_sample_here() -> None:
    recorded = {recording.program for recording in RECORDINGS.values()}
    assert recorded.isdisjoint(SAMPLES)
    assert len(recorded) + len(SAMPLES) == 67


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_right(name: str) -> None:
    assert last_reading(name, builtin_parser(name).sample) == SAMPLES[name]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("aws", "Completed 256.0 KiB/~1.2 MiB (1.0 MiB/s) with ~3 file(s) remaining (calculating...)", (None, None)),
        ("blender", "Fra:12 Mem:9.00M (Peak 9.42M) | Time:00:01.2 | Scene, View | Rendered 3/510 Tiles", (3, 510)),
        ("blender", "Fra:1 Mem:9.00M (Peak 9.42M) | Time:00:00.20 | Rendering 12 / 64 samples", (12, 64)),
        ("dnf", "(3/12): jq-1.6-13.fc36.x86_64.rpm     2.1 MB/s | 187 kB     00:00", (3, 12)),
        ("dnf", "  Installing : jq  3/4\n  Verifying        : jq-1.6-13.fc36.x86_64      1/4", (1, 4)),
        ("docker", "#5 [2/7] RUN make\n#5 0.312 compiling 50%\n#5 DONE 1.2s\n#6 CACHED", (2, None)),
        ("docker", "a2abf6c4d29d: Pulling fs layer\na2abf6c4d29d: Pull complete\nb1: Already exists", (2, None)),
        ("go", "FAIL\texample.com/shop/cart [build failed]\n?   \texample.com/shop\t[no test files]", (2, None)),
        ("handbrake", "Encoding: task 2 of 2, 12.50 % (52.07 fps, avg 50.86 fps, ETA 00h01m12s)", (12.5, 100)),
        ("hashcat", '{"session": "x", "status": 3, "progress": [1024, 4096], "restore_point": 0}', (1024, 4096)),
        ("kubectl", 'Waiting for daemon set "a" rollout to finish: 1 of 3 updated pods are available...', (1, 3)),
        ("lftp", "`a.iso', got 1048576 of 4194304 (25%) 1.2M/s eta:3s", (25, 100)),
        ("mongodump", "x\tfinished restoring shop.orders (45 documents, 0 failures)", (1, None)),
        ("podman", "[1/2] STEP 1/2: FROM a\n[1/2] STEP 2/2: RUN b\n[2/2] STEP 1/3: FROM c", (None, 3)),
        ("rclone", "Transferred:   \t   52.1M / 104.2 MBytes, 50%, 5.2 MBytes/s, ETA 10s", (50, 100)),
        (
            "restic",
            "[0:05] 17.35%  9 files 12.5 MiB, total 44 files 50 MiB, 0 errors ETA 0:23",
            (12.5 * 2**20, 50 * 2**20),
        ),
        ("restic", "[0:02] 15.53%  120 files/dirs 1 GiB, total 340 files/dirs 8 GiB", (2**30, 2**33)),
        ("terraform", "Plan: 2 to add, 1 to change, 0 to destroy.\na.b: Creation complete after 1s", (1, None)),
        ("terraform", "Plan: 0 to add, 3 to change, 0 to destroy.\na.b: Modifications complete after 1s", (1, 3)),
        ("whisper", " 42%|████▏     | 12000/28571 [00:10<00:20, 600.00frames/s]", (42, 100)),
        ("whisper", "whisper_print_progress_callback: progress =  45%", (45, 100)),
        ("yarn", "[2/4] Fetching packages...\n[#####-----] 15/91", (15, 91)),
    ],
)
def test_other_forms_are_read_right(name: str, text: str, expected: tuple[float | None, float | None]) -> None:
    found = last_reading(name, text)
    assert found is not None
    assert found[:2] == expected


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("sevenzip", "Compressing  50% done.txt"),
        ("sevenzip", "Archive size: 33202714 bytes (32 MiB)"),
        ("ansible", '    "msg": "50% of 3/4"'),
        ("aria2", "[DL:2.0MiB][#e9ea95 0.9MiB/3.0MiB(32%)][#df162e 0.9MiB/4.0MiB(24%)]"),
        ("badblocks", "Pass completed, 0 bad blocks found. (0/0/0 errors)"),
        ("cargo", "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s"),
        ("docker", "a2abf6c4d29d: Downloading [==>      ]  3.4MB/10MB"),
        ("fio", "     | 99.99th=[  145]"),
        ("go", "FAIL"),
        ("handbrake", "x264 [info]: mb I  I16..4: 81.2%  4.8% 14.0%"),
        ("huggingface", "model.safetensors:  42%|████▏     | 1.2G/2.9G [00:30<00:40, 42MB/s]"),
        ("lame", "   64.0      100.0        98.5   0.7   0.7"),
        ("maven", "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0"),
        ("meson", "[3-4/4] 🌕 test c                 0/30s"),
        ("meson", "[3/4] 🌕 test c                 0/30s"),
        ("minimap2", "[M::mm_idx_stat::0.013*1.33] distinct minimizers: 66772 (100.00% are singletons)"),
        ("ollama", "pulling 6a0746a1ec1a: 100% ▕████████████████▏ 4.7 GB"),
        ("partclone", "Elapsed: 00:00:01, Remaining: 00:00:00, Completed: 100.00%"),
        ("pgbench", "number of failed transactions: 0 (0.000%)"),
        ("phpunit", "OK (150 tests, 150 assertions)"),
        ("rclone", "Transferred:            7 / 44, 16%"),
        ("rclone", " *                                    file03.dat: 76% /1.417Mi, 0/s, -"),
        ("restic", "unused size after prune: 0 B (0.00% of remaining size)"),
        ("rspec", "Finished in 1.02 seconds (files took 0.07484 seconds to load)"),
        ("terraform", "      + disk_percent = 50%"),
        ("wget", "2026-11-24 16:27:43 (2.00 MB/s) - 'a.bin' saved [6291456/6291456]"),
        ("xz", "big.dat: 15.3 MiB / 29.8 MiB = 0.514, 0:01"),
        ("yarn", "info 3/4 packages"),
    ],
)
def test_other_numbers_are_not_read(name: str, line: str) -> None:
    assert last_reading(name, line) is None
