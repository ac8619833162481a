"""Tests of the media cache: files by uuid, up to a size, and none whose bytes changed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from pathlib import Path

import pytest

from timim.errors import StorageError
from timim.transport.media_cache import MediaCache

MIB = 1 << 20


def held(folder: Path) -> dict[str, int]:
    """Return the names in a folder with their sizes."""
    return {path.name: path.stat().st_size for path in folder.iterdir()}


async def put(cache: MediaCache, uuid: str, seed: int, size: int = MIB) -> Path:
    data = random.Random(seed).randbytes(size)
    file = await cache.create_partial()
    file.write_bytes(data)
    return await cache.add(file, uuid, hashlib.sha256(data).hexdigest())


async def test_a_cache_stays_within_its_size_and_deletes_the_least_recently_used(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path, 3 * MIB)
    names = [f"{n:032x}" for n in range(4)]
    for n, name in enumerate(names[:3]):
        path = await put(cache, name, n)
        os.utime(path, ns=(n, n))
    assert await cache.find(names[0]) is not None  # now the most recently used file
    await put(cache, names[3], 3)
    assert [await cache.find(name) is not None for name in names] == [True, False, True, True]
    assert sum(held(tmp_path).values()) <= 3 * MIB
    large = MediaCache(tmp_path, MIB // 2)
    await put(large, "f" * 32, 9)
    assert [name[:32] for name in held(tmp_path)] == ["f" * 32]  # the newest file stays, although it is larger than the limit


async def test_a_corrupt_file_in_the_cache_is_not_used(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path, 8 * MIB)
    path = await put(cache, "a" * 32, 1)
    path.write_bytes(path.read_bytes()[:-1])
    assert await cache.find("a" * 32) is None
    assert held(tmp_path) == {}


async def test_a_cache_that_is_opened_again_knows_its_files_and_which_was_used_last(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path, 3 * MIB)
    names = [f"{n:032x}" for n in range(3)]
    for n, name in enumerate(names):
        os.utime(await put(cache, name, n), ns=(n, n))
    assert await cache.find(names[0]) is not None  # now the most recently used file
    again = MediaCache(tmp_path, 2 * MIB)
    assert [await again.find(name) is not None for name in names] == [True, False, True]
    assert len(held(tmp_path)) == 2


async def test_a_cache_without_a_folder_of_its_own_leaves_nothing(tmp_path: Path) -> None:
    cache = MediaCache(None, MIB)
    path = await put(cache, "a" * 32, 1)
    assert await cache.find("a" * 32) == path
    await cache.close()
    assert not path.parent.exists()
    assert await cache.find("a" * 32) is None  # in a new folder
    await cache.close()


async def test_transfers_that_keep_content_at_once_stay_within_the_size(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path, 3 * MIB)
    await asyncio.gather(*(put(cache, f"{n:032x}", n) for n in range(8)))
    assert sum(held(tmp_path).values()) <= 3 * MIB


async def test_a_folder_that_cannot_be_used_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        await MediaCache(tmp_path / "file", MIB).find("a" * 32)
