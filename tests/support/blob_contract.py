"""The contract of blob stores: parts are written, read and deleted alike in a folder, a bucket and memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from timim.errors import MediaGone
from timim.server.content.blob_store import BlobStore
from timim.server.settings import Settings

MIB = 1 << 20


def blobs_of(where: dict[str, object], folder: Path | None) -> BlobStore:
    return BlobStore.from_settings(Settings(data_dir=folder, **where))  # type: ignore[arg-type]


async def whole(blobs: BlobStore, name: str, first: int = 0, end: int | None = None) -> bytes:
    parts = await blobs.parts(name)
    return b"".join([chunk async for chunk in blobs.read(name, parts, first, end)])


async def check_parts(blobs: BlobStore) -> None:
    data = random.Random(3).randbytes(3 * MIB)
    assert await blobs.parts("nothing") == []
    at = 0
    for size in (MIB, 5, 2 * MIB - 5):
        await blobs.put("one", at, data[at : at + size])
        at += size
    await blobs.put("one", 5 * MIB, b"after a hole")
    await blobs.put("other", 0, b"other")
    assert await blobs.parts("one") == [MIB, 5, 2 * MIB - 5]
    assert await whole(blobs, "one") == data
    for first, end in ((0, 1), (MIB - 1, MIB + 6), (MIB + 2, MIB + 3), (MIB + 5, None), (3 * MIB - 1, None), (7, 7)):
        assert await whole(blobs, "one", first, end) == data[first:end]
    await blobs.put("one", MIB, b"again")
    assert await whole(blobs, "one", MIB, MIB + 5) == b"again"
    await blobs.delete("one")
    await blobs.delete("one")
    assert await blobs.parts("one") == []
    assert await whole(blobs, "other") == b"other"
    with pytest.raises(MediaGone):
        _ = [chunk async for chunk in blobs.read("one", [5])]
