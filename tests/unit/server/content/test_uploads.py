"""Tests of uploads on one node: removing one while a connection begins to send leaves no parts behind."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.support.blob_contract import blobs_of
from timim.protocol.media import BeginUpload
from timim.server.content.uploads import Uploads
from timim.server.settings import Settings
from timim.server.store.base import Upload
from timim.server.store.sqlite import SqliteStore

SETTINGS = Settings(data_dir=None)


async def body() -> AsyncIterator[bytes]:
    yield b"half"


async def test_an_upload_that_is_dropped_while_its_row_is_read_leaves_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(None)
    await store.open()
    blobs = await asyncio.to_thread(blobs_of, {}, None)
    uploads = Uploads(store.media, blobs, SETTINGS, now=lambda: 1_700_000_000.0)
    name, found, reading, go_on = uuid.uuid4().hex, list[Upload](), asyncio.Event(), asyncio.Event()
    find = store.media.find

    async def slow(owner: str, upload: str) -> Upload | None:
        row = await find(owner, upload)
        assert row is not None
        found.append(row)
        reading.set()
        await go_on.wait()
        return row

    digest = hashlib.sha256(b"half and half").hexdigest()
    await uploads.begin("alice", BeginUpload(upload=name, kind="file", hash=digest, size=13))
    monkeypatch.setattr(store.media, "find", slow)
    receiving = asyncio.create_task(uploads.receive("alice", name, 0, body()))
    await reading.wait()
    dropping = asyncio.create_task(uploads.drop("alice", name))
    await asyncio.sleep(0)
    go_on.set()
    results = await asyncio.gather(receiving, dropping, return_exceptions=True)
    assert isinstance(results[0], TimeoutError)
    assert results[1] is None
    assert await blobs.parts(found[0].object) == []
    await store.close()
