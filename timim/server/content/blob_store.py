"""Store of the bytes of uploads and of media content: a local folder, an S3 bucket or memory.

An object is a sequence of parts. Each part is stored completely or not at all, under the offset at which it begins. The server
generates the names of objects, so a user cannot choose a path.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import obstore
from obstore.store import LocalStore, MemoryStore, S3Store

from ...errors import MediaGone, StorageError
from ...util.outage import OutageLog
from ...util.private_files import FILE_MODE, FOLDER_MODE, private_tree
from ..settings import Settings

log = logging.getLogger("timim.server")
CHUNK_BYTES = 512 * 1024  # read from a part at once; the memory of each download
GONE = (FileNotFoundError, obstore.exceptions.NotFoundError)


class BlobStore:
    """Store of the parts of objects. Each method raises StorageError if the folder or the bucket fails."""

    def __init__(self, store: LocalStore | MemoryStore | S3Store, *, folder: Path | None = None, private: bool = False) -> None:
        self._store = store
        self._folder = folder
        self._private = private  # each part is for the owner of the process only
        self._outage = OutageLog(log, f"the media store {folder}" if folder else "the media store")

    @classmethod
    def from_settings(cls, settings: Settings) -> BlobStore:
        """Return the store that the settings name: a bucket, a folder, or memory. The call blocks to create the folder."""
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
        if not settings.blobs:  # a folder that the setting names may be that of other gateways, with other rights
            private_tree(content.folder)
        store_of_folder = LocalStore(str(content.folder), mkdir=True, automatic_cleanup=True)
        return cls(store_of_folder, folder=content.folder, private=not settings.blobs)

    async def put(self, object: str, offset: int, data: bytes) -> None:
        """Store a part, which is durable after `sync`.

        Raises:
            StorageError: The part was not stored.
        """
        try:
            await obstore.put_async(self._store, f"{object}/{offset:015d}", data, use_multipart=False)
        except (obstore.exceptions.BaseError, OSError) as exc:
            raise self._failure(f"cannot store {len(data)} bytes of upload {object}", exc) from exc
        self._outage.on_success()

    async def sync(self, object: str, offset: int | None = None) -> None:
        """Sync a part to disk, or the object's folder if `offset` is None. Do nothing for a bucket.

        Raises:
            StorageError: The disk failed.
        """
        if self._folder is None:
            return
        folder = self._folder / object
        try:
            await asyncio.to_thread(_sync, folder if offset is None else folder / f"{offset:015d}", self._private)
        except OSError as exc:
            raise self._failure(f"cannot sync upload {object} to disk", exc) from exc

    async def parts(self, object: str) -> list[int]:
        """Return the sizes of the contiguous parts from offset 0.

        Raises:
            StorageError: The parts cannot be listed.
        """
        found: dict[int, int] = {}
        try:
            async for listed in obstore.list(self._store, prefix=f"{object}/"):
                for meta in listed:
                    found[int(meta["path"].rpartition("/")[2])] = meta["size"]
        except (obstore.exceptions.BaseError, OSError) as exc:
            raise self._failure(f"cannot list the parts of upload {object}", exc) from exc
        self._outage.on_success()
        parts: list[int] = []
        at = 0
        while size := found.get(at, 0):
            parts.append(size)
            at += size
        return parts

    async def read(
        self, object: str, parts: Sequence[int], first: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `first` up to, but not including, `end`, with one chunk read ahead.

        Raises:
            MediaGone: A part is missing.
            StorageError: A part cannot be read.
        """
        end = sum(parts) if end is None else end
        at = 0
        for size in parts:
            low, high = max(first - at, 0), min(end - at, size)
            if low < high:
                async with aclosing(ahead(self._read(f"{object}/{at:015d}", low, high))) as chunks:
                    async for chunk in chunks:
                        yield chunk
                self._outage.on_success()
            at += size

    async def _read(self, name: str, low: int, high: int) -> AsyncGenerator[bytes, None]:
        try:
            if isinstance(self._store, S3Store):  # one request for each part instead of each chunk
                got = await obstore.get_async(self._store, name, options={"range": (low, high)})
                async for chunk in got.stream(min_chunk_size=CHUNK_BYTES):
                    yield bytes(chunk)
                return
            for at in range(low, high, CHUNK_BYTES):  # a file's stream would use a thread for each 8 KiB
                yield bytes(await obstore.get_range_async(self._store, name, start=at, end=min(high, at + CHUNK_BYTES)))
        except GONE as exc:
            raise MediaGone(f"part {name} of the content is missing in the media store") from exc
        except (obstore.exceptions.BaseError, OSError) as exc:
            raise self._failure(f"cannot read part {name} of the content", exc) from exc

    async def delete(self, object: str) -> None:
        """Remove all parts of an object; missing parts are no error.

        Raises:
            StorageError: A part cannot be removed.
        """
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
            raise self._failure(f"cannot remove the parts of {object}", exc) from exc

    def _failure(self, text: str, exc: Exception) -> StorageError:
        """Log a failure, and return the error to raise for it."""
        self._outage.on_failure(f"{text}: {_why(exc)}")
        return StorageError(f"{text}: {_why(exc)}")


async def ahead(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the chunks, and read the next one while the caller uses the last."""
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


def _sync(path: Path, private: bool) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if private:
            os.fchmod(descriptor, FOLDER_MODE if path.is_dir() else FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why(exc: Exception) -> str:
    """Return the first line of an error, because the others may contain URLs with signatures."""
    return str(exc).partition("\n")[0][:200]
