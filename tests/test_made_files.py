import os
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp_types import TextContent

from cmdtool.argv import FilePattern, file_patterns
from cmdtool.errors import ArgumentError
from cmdtool.host import LocalHost
from cmdtool.made_files import MEDIA_LIMIT, MOST_FILES, MadeFile, NoFile, find_made_files
from cmdtool.masking import Secrets
from cmdtool.model import Tool
from cmdtool.server.answers import file_blocks

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n"


OGG = b"OggS".ljust(28, b"\0")


def find(folder: Path, *patterns: str, within: tuple[str, ...] = (), text_limit: int = -1) -> list[MadeFile | NoFile]:
    return find_made_files([FilePattern(f"{folder}/{pattern}", within) for pattern in patterns], text_limit)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG + b"...", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF1234WEBP", "image/webp"),
        (b"RIFF1234WAVEfmt ", "audio/wav"),
        (b"ID3...", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (OGG + b"OpusHead", "audio/ogg"),
        (OGG + b"\x01vorbis", "audio/ogg"),
        (OGG + b"\x80theora", "text/plain"),
        (b"RIFF1234AVI ", "text/plain"),
        (b"", "text/plain"),
    ],
)
def test_what_a_picture_or_a_recording_is_its_content_says(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    media = None if kind == "text/plain" else data
    assert find(tmp_path, "a.txt") == [MadeFile(f"{tmp_path}/a.txt", len(data), kind, media)]


def test_text_is_read_where_it_is_wanted_up_to_a_limit_for_all(tmp_path: Path) -> None:
    for name, data in {"a.md": b"ab\xc3\xa4", "b": b"1234567", "c.txt": b"\xff", "d.png": b"123", "e": b""}.items():
        (tmp_path / name).write_bytes(data)
    found = find(tmp_path, "*", text_limit=10)
    assert [file.text for file in found if isinstance(file, MadeFile)] == ["ab\u00e4", None, None, "123", ""]
    assert [file.media for file in found if isinstance(file, MadeFile)] == [None] * 5
    assert [file.text for file in find(tmp_path, "*") if isinstance(file, MadeFile)] == [None] * 5


def test_large_pictures_are_only_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG.ljust(MEDIA_LIMIT + 1, b"\0"))
    assert find(tmp_path, "a.png") == [MadeFile(f"{tmp_path}/a.png", MEDIA_LIMIT + 1, "image/png")]
    for name in range(6):
        (tmp_path / f"{name}.png").write_bytes(PNG.ljust(MEDIA_LIMIT, b"\0"))
    found = find(tmp_path, "[0-9].png")
    assert [isinstance(file, MadeFile) and file.media is not None for file in found] == [True] * 4 + [False] * 2


async def test_what_is_no_regular_file_is_neither_opened_nor_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "nowhere").symlink_to("/nonexistent")
    os.mkfifo(tmp_path / "fifo")
    with anyio.fail_after(10):  # a pipe without a writer would block the open
        found = await anyio.to_thread.run_sync(find, tmp_path, "link", "nowhere", "fifo", ".", abandon_on_cancel=True)
    assert [file.reason for file in found if isinstance(file, NoFile)] == [
        "a symbolic link",
        "a symbolic link",
        "not a regular file",
        "not a regular file",
    ]


def test_files_lie_within_the_folders_of_their_argument(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "a").touch()
    (outside / "a").touch()
    (inside / "way").symlink_to(outside)
    allowed = (str(inside),)
    assert isinstance(find(inside, "a", within=allowed)[0], MadeFile)
    for path in ("way/a", "../out/a"):
        (found,) = find(inside, path, within=allowed)
        assert isinstance(found, NoFile)
        assert found.reason == "not within the folders that are allowed"


@pytest.mark.skipif(sys.platform != "linux", reason="there are sandboxes on Linux only")
def test_a_way_that_changes_meanwhile_leads_out_of_no_sandbox(tmp_path: Path) -> None:
    way, secret = tmp_path / "way", tmp_path / "secret"
    for folder in (way, secret):
        folder.mkdir()
        (folder / "a").write_text(folder.name)

    def shows(path: str) -> bool:
        is_shown = not path.startswith(str(secret))
        if not way.is_symlink():
            way.rename(tmp_path / "old")
            way.symlink_to(secret)
        return is_shown

    found = find_made_files([FilePattern(str(way / "a"), ())], 100, shows)
    assert found == [NoFile(str(way), "hidden from the sandbox")]


def test_no_result_names_files_without_end(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 5):
        (tmp_path / f"{number:03}").touch()
    found = find(tmp_path, "*", "000")
    assert len(found) == MOST_FILES + 1
    assert found[-1] == NoFile(str(tmp_path), f"more than {MOST_FILES} files: the rest is not named")


def test_a_value_that_is_a_part_of_a_path_leads_no_way_up() -> None:
    keys = {"name": "t", "folder": "/srv", "arguments": {"name": {"type": "string"}}}
    part = Tool.model_validate({**keys, "output": {"files": ["out/{name}.png"]}})
    with pytest.raises(ArgumentError, match=r"`name`: `a/../../etc/x` holds `\.\.`"):
        file_patterns(part, {"name": "a/../../etc/x"}, "/srv", LocalHost())
    assert file_patterns(part, {"name": "a/b..c"}, "/srv", LocalHost()) == (FilePattern("/srv/out/a/b..c.png", ()),)
    whole = Tool.model_validate({**keys, "output": {"files": ["{name}"]}})
    assert file_patterns(whole, {"name": "../x"}, "/srv", LocalHost()) == (FilePattern("/srv/../x", ()),)


def test_values_are_taken_literally_and_arrays_name_a_file_an_item(tmp_path: Path) -> None:
    tool = Tool.model_validate(
        {
            "name": "t",
            "folder": str(tmp_path),
            "arguments": {
                "names": {"type": "array", "within": ["data"]},
                "one": {"type": "string"},
                "none": {"type": "string"},
            },
            "output": {"files": ["{names}.txt", "*.{one}", "{none}", "~/x"]},
        }
    )
    host = LocalHost()
    patterns = file_patterns(tool, {"names": ["a*", "/b"], "one": "[x]"}, "/folder [1]", host)
    within = (str(tmp_path / "data"),)
    assert patterns == (
        FilePattern("/folder [[]1]/a[*].txt", within),
        FilePattern("/b.txt", within),
        FilePattern("/folder [[]1]/*.[[]x]", ()),
        FilePattern(f"{host.environ['HOME']}/x", ()),
    )


def test_a_name_that_holds_a_secret_does_not_leave(tmp_path: Path) -> None:
    file = tmp_path / "of-tiger-lily.txt"
    file.write_text("x")
    (block,) = file_blocks(find(tmp_path, "of-*"), "2026-07-28", Secrets(["tiger-lily"]))
    assert isinstance(block, TextContent)
    assert block.text == f"[file {tmp_path}/of-[masked].txt: its name holds a secret]"
