"""Tests of files read and written in pieces: all bytes in order, no file left open, and no loss without an error."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from contextlib import aclosing
from pathlib import Path

import pytest

from timim.util.files import PIECE_BYTES, copy_into, open_for_writing, read_file, read_pieces, remove_file, sha256_of_file


def made(path: Path, size: int) -> bytes:
    data = random.Random(size).randbytes(size)
    path.write_bytes(data)
    return data


def open_descriptors(path: Path) -> int:
    return sum(os.path.realpath(fd) == str(path) for fd in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 1])
async def test_a_file_is_read_whole_and_from_any_offset(tmp_path: Path, size: int) -> None:
    data = made(tmp_path / "file", size)
    assert await read_file(tmp_path / "file") == data
    assert await sha256_of_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    for offset in {0, size // 2, max(0, size - 1)}:
        assert b"".join([piece async for piece in read_pieces(tmp_path / "file", offset)]) == data[offset:]


async def test_a_reader_that_stops_early_leaves_no_file_open(tmp_path: Path) -> None:
    made(tmp_path / "file", 3 * PIECE_BYTES)
    async with aclosing(read_pieces(tmp_path / "file")) as pieces:
        await anext(pieces)
        assert open_descriptors(tmp_path / "file") == 1
    assert open_descriptors(tmp_path / "file") == 0


async def test_pieces_are_written_in_order(tmp_path: Path) -> None:
    data = made(tmp_path / "file", 2 * PIECE_BYTES + 5)
    async with open_for_writing(tmp_path / "copy", "xb") as writer:
        await copy_into(tmp_path / "file", writer)
        await writer.sync()
        assert (tmp_path / "copy").read_bytes() == data
    assert open_descriptors(tmp_path / "copy") == 0
    with pytest.raises(FileExistsError):
        async with open_for_writing(tmp_path / "copy", "xb"):
            pass


async def test_a_full_disk_is_an_error_of_the_writer() -> None:
    with pytest.raises(OSError, match="No space left"):
        async with open_for_writing(Path("/dev/full"), "wb") as writer:
            await writer.write(b"x" * PIECE_BYTES)


async def test_a_writer_that_is_cancelled_leaves_no_file_open(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with open_for_writing(tmp_path / "file", "wb") as writer:
            await writer.write(b"x" * PIECE_BYTES)
            begun.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write())
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert open_descriptors(tmp_path / "file") == 0
    assert (tmp_path / "file").stat().st_size == PIECE_BYTES


async def test_a_caller_that_is_cancelled_while_a_file_is_opened_leaves_none_open(tmp_path: Path) -> None:
    async def write() -> None:
        async with open_for_writing(tmp_path / "file", "xb"):
            pass

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)  # the file is being opened in a thread now
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert open_descriptors(tmp_path / "file") == 0
    await remove_file(tmp_path / "file")
    assert not (tmp_path / "file").exists()
    await remove_file(tmp_path / "file")  # removing a missing file is no error
