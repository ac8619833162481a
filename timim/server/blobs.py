"""Media bytes by uuid, through one API for a local folder and (later) S3. A name a user chose is never a path.

A blob is there whole or not at all; its URL carries a signature, so that only who was told it can fetch it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid as uuids
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.store import LocalStore, MemoryStore

from ..errors import EmptyFile, MediaGone, TooLarge

_UUID = re.compile(r"[0-9a-f]{32}\Z")
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Blob:
    uuid: str
    size_bytes: int
    url: str


class Blobs:
    """`folder` None keeps everything in memory."""

    def __init__(self, folder: Path | None, *, sign_key: bytes, media_url: str) -> None:
        self._store = MemoryStore() if folder is None else LocalStore(str(folder), mkdir=True)
        self._sign_key = sign_key
        self._media_url = media_url

    async def put(self, chunks: AsyncIterator[bytes], *, limit_bytes: int) -> Blob:
        """Store a stream under a new uuid. Raises TooLarge, EmptyFile; nothing is kept when it fails."""
        uuid = uuids.uuid4().hex
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                if size > limit_bytes:
                    raise TooLarge(f"more than {limit_bytes} bytes")
                if chunk:
                    yield chunk
            if not size:
                raise EmptyFile("there is nothing in it")

        writer = obstore.open_writer_async(self._store, uuid)
        async with writer as out:
            async for chunk in counted():
                await out.write(chunk)
        return Blob(uuid, size, self.url(uuid))

    async def open(self, uuid: str, *, first: int = 0) -> tuple[int, AsyncIterator[bytes]]:
        """Its size and its bytes from `first` on. Raises MediaGone."""
        if not _UUID.match(uuid):
            raise MediaGone("no such media")
        try:
            meta = await obstore.head_async(self._store, uuid)
        except (FileNotFoundError, obstore.exceptions.BaseError) as exc:
            raise MediaGone("no such media") from exc
        size: int = meta["size"]

        async def chunks() -> AsyncIterator[bytes]:
            at = first
            while at < size:
                part = await obstore.get_range_async(self._store, uuid, start=at, end=min(size, at + CHUNK_BYTES))
                yield bytes(part)
                at += len(part)

        return size, chunks()

    def url(self, uuid: str) -> str:
        """Where it is fetched."""
        return f"{self._media_url}/{uuid}?sign={self._sign(uuid)}"

    def check(self, uuid: str, sign: str) -> bool:
        """Whether this signature lets its bearer fetch the blob."""
        return hmac.compare_digest(self._sign(uuid).encode(), sign.encode())

    def _sign(self, uuid: str) -> str:
        return hmac.digest(self._sign_key, b"media\0" + uuid.encode(), hashlib.sha256).hex()[:32]
