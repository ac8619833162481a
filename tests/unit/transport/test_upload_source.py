"""Tests of content to upload: files and bytes give the same data, and a missing file is reported as missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from timim.errors import FileMissing, MediaError, UploadFailed
from timim.transport.upload_source import FileSource, upload_source
from timim.util.files import PIECE_BYTES


@pytest.mark.parametrize("in_memory", [True, False])
async def test_content_has_a_size_a_hash_and_pieces_from_any_offset(tmp_path: Path, in_memory: bool) -> None:
    data = b"0123456789" * (PIECE_BYTES // 8)
    (tmp_path / "file").write_bytes(data)
    source = upload_source(data if in_memory else tmp_path / "file")
    assert await source.size() == len(data)
    assert await source.sha256() == hashlib.sha256(data).hexdigest()
    for offset in (0, 7, len(data)):
        pieces = [piece async for piece in source.pieces(offset)]
        assert b"".join(pieces) == data[offset:]
        assert all(len(piece) <= PIECE_BYTES for piece in pieces)


@pytest.mark.parametrize("name", ["missing", "file/below", "nul\0", "folder", "loop", "fifo"])
async def test_a_path_without_a_file_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileMissing):
        await upload_source(tmp_path / name).size()


async def test_a_file_that_cannot_be_read_is_an_error_of_its_path(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=str(tmp_path)):
        await upload_source(tmp_path).sha256()


def _grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"new")
    path.with_name("new").replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "grew from 10 to 14 bytes": _grow,
    "shrank from 10 to 3 bytes": lambda path: os.truncate(path, 3),
    "was written to": lambda path: path.write_bytes(b"9876543210"),
    "was replaced by another file": _replace,
    "was deleted": lambda path: path.unlink(),
}


async def _take(source: FileSource, step: str) -> None:
    match step:
        case "size":
            await source.size()
        case "sha256":
            await source.sha256()
        case "pieces":
            assert [piece async for piece in source.pieces(0)] == [], "no last piece of a changed file"
        case "unchanged":
            async with source.unchanged():
                pass
        case _:
            async with source.unchanged():
                raise MediaError("a symptom of the change")


@pytest.mark.parametrize("step", ["size", "sha256", "pieces", "unchanged", "failing"])
@pytest.mark.parametrize("words", CHANGES)
async def test_a_source_refuses_a_file_that_changed_since_its_size_was_asked_for(tmp_path: Path, words: str, step: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    os.utime(path, (1, 1))  # else the write may fall into the same tick of the file system's clock
    source = upload_source(path)
    assert isinstance(source, FileSource)
    assert await source.size() == 10
    await source.check()
    CHANGES[words](path)
    with pytest.raises(UploadFailed, match=f"{path} {words} while it was being sent"):
        await _take(source, step)


async def test_another_inode_alone_is_no_change(tmp_path: Path) -> None:
    path, copy = tmp_path / "file", tmp_path / "copy"
    for one in (path, copy):
        one.write_bytes(b"0123456789")
        os.utime(one, (1, 1))
    source = upload_source(path)
    await source.size()
    copy.replace(path)
    assert await source.size() == 10
