"""Tests of content to upload: files and bytes give the same data, and a missing file is reported as missing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from timim.errors import FileMissing, MediaError
from timim.transport.upload_source import upload_source
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
