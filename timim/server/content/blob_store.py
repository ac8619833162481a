"""Bytes of uploads and of media, through one API for a local folder, an S3 bucket or memory.

An object is a sequence of parts, each stored whole or not at all under the offset where it begins. A name is made by this
server: nothing that a user chose is ever a path.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import obstore
from obstore.store import LocalStore, MemoryStore, S3Store

from ...errors import MediaGone, StorageError
from ..settings import Settings

CHUNK_BYTES = 512 * 1024  # read from a part at a time: what one download holds in memory
GONE = (FileNotFoundError, obstore.exceptions.NotFoundError)


class BlobStore:
    """Parts of objects. Raises StorageError when the store fails."""

    def __init__(self, store: LocalStore | MemoryStore | S3Store, *, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    @classmethod
    def from_settings(cls, settings: Settings) -> BlobStore:
        """Return the store that the settings name: a bucket, a folder, or memory. Blocks while it makes the folder."""
        content = settings.content
        if content.bucket:
            given = {
                "endpoint": content.endpoint,
                "region": content.region,
                "access_key_id": settings.s3_access_key,
                "secret_access_key": settings.s3_secret_key,
            }
            store = S3Store(
                content.bucket,
                prefix=content.prefix or None,
                client_options={"allow_http": content.endpoint.startswith("http://")},
                **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
            )
            return cls(store)
        if content.folder is None:
            return cls(MemoryStore())
        return cls(LocalStore(str(content.folder), mkdir=True, automatic_cleanup=True), folder=content.folder)

    async def put(self, object: str, offset: int, data: bytes) -> None:
        """Store a part; it is on disk once `sync` has returned too."""
        try:
            await obstore.put_async(self._store, f"{object}/{offset:015d}", data, use_multipart=False)
        except (obstore.exceptions.BaseError, OSError) as exc:
            raise StorageError(f"a part of an upload was not stored: {_why(exc)}") from exc

    async def sync(self, object: str, offset: int | None = None) -> None:
        """Have this part on disk; without an offset, the names of all parts. A bucket needs neither."""
        if self._folder is None:
            return
        folder = self._folder / object
        try:
            await asyncio.to_thread(_sync, folder if offset is None else folder / f"{offset:015d}")
        except OSError as exc:
            raise StorageError(f"a part of an upload is not on disk: {_why(exc)}") from exc

    async def parts(self, object: str) -> list[int]:
        """Return the sizes of the parts that follow each other from the beginning."""
        found: dict[int, int] = {}
        try:
            async for listed in obstore.list(self._store, prefix=f"{object}/"):
                for meta in listed:
                    found[int(meta["path"].rpartition("/")[2])] = meta["size"]
        except (obstore.exceptions.BaseError, OSError) as exc:
            raise StorageError(f"the parts of an upload cannot be listed: {_why(exc)}") from exc
        parts: list[int] = []
        at = 0
        while size := found.get(at, 0):
            parts.append(size)
            at += size
        return parts

    async def read(
        self, object: str, parts: Sequence[int], first: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `first` up to `end`; the next are read while the last are used. Raises MediaGone."""
        end = sum(parts) if end is None else end
        at = 0
        for size in parts:
            low, high = max(first - at, 0), min(end - at, size)
            if low < high:
                async with aclosing(ahead(self._read(f"{object}/{at:015d}", low, high))) as chunks:
                    async for chunk in chunks:
                        yield chunk
            at += size

    async def _read(self, name: str, low: int, high: int) -> AsyncGenerator[bytes, None]:
        try:
            if isinstance(self._store, S3Store):  # a request for each part, and not for each chunk
                got = await obstore.get_async(self._store, name, options={"range": (low, high)})
                async for chunk in got.stream(min_chunk_size=CHUNK_BYTES):
                    yield bytes(chunk)
                return
            for at in range(low, high, CHUNK_BYTES):  # a stream of a file comes in pieces of 8 KiB, each from a thread
                yield bytes(await obstore.get_range_async(self._store, name, start=at, end=min(high, at + CHUNK_BYTES)))
        except GONE as exc:
            raise MediaGone("a part of it is missing") from exc
        except (obstore.exceptions.BaseError, OSError) as exc:
            raise StorageError(f"a part cannot be read: {_why(exc)}") from exc

    async def delete(self, object: str) -> None:
        """Remove all parts; what is gone already is gone."""
        try:
            async for listed in obstore.list(self._store, prefix=f"{object}/"):
                for meta in listed:
                    try:
                        await obstore.delete_async(self._store, meta["path"])
                    except GONE:
                        continue
        except GONE:
            return
        except (obstore.exceptions.BaseError, OSError) as exc:
            raise StorageError(f"parts cannot be removed: {_why(exc)}") from exc


async def ahead(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the chunks, with one read ahead."""
    async with aclosing(chunks):
        following = asyncio.ensure_future(_next(chunks))
        try:
            while (chunk := await following) is not None:
                following = asyncio.ensure_future(_next(chunks))
                yield chunk
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(chunks, None)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(exc: Exception) -> str:
    """Return the first line of an error: the rest may hold addresses with signatures."""
    return str(exc).partition("\n")[0][:200]
