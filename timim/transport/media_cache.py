"""An optional cache of downloaded content on disk, by uuid, with a size limit.

A file in the cache is always complete, also after a crash: it is renamed after its last byte is on disk, and its name
contains the hash of its bytes. The least recently used content is removed first.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import NamedTuple

import aiofiles.os
import aiofiles.tempfile

from ..errors import StorageError
from ..util.files import fsync, open_for_reading, remove_file, sha256_of_file, utime
from ..util.private_files import private_folder

_PARTIAL = "partial-"  # the prefix of incomplete files


class CachedFile(NamedTuple):
    """One file of a cache."""

    path: Path
    size_bytes: int


class MediaCache:
    """A cache of at most `limit_bytes` in `folder`, or in a temporary folder that `close()` removes."""

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._opening = asyncio.Lock()
        self._ready: Path | None = None
        self._files: dict[str, CachedFile] = {}  # by uuid, the least recently used first

    async def find(self, uuid: str) -> Path | None:
        """Return the file of some content and mark the content as used; None if it is not cached. Raises StorageError."""
        await self._open()
        file = self._files.get(uuid)
        if file is None:
            return None
        try:
            if await sha256_of_file(file.path) == file.path.name.partition("-")[2]:
                await utime(file.path)
                self._files[uuid] = self._files.pop(uuid, file)
                return file.path
            await remove_file(file.path)  # the hash does not match: the disk or another program changed the file
        except FileNotFoundError:
            pass
        except OSError:
            return None
        self._files.pop(uuid, None)
        return None

    async def create_partial(self) -> Path:
        """Create an empty file for a download, which the caller passes to `add` or removes. Raises StorageError, OSError."""
        folder = await self._open()
        async with aiofiles.tempfile.NamedTemporaryFile("wb", dir=folder, prefix=_PARTIAL, delete=False) as file:
            return Path(str(file.name))

    async def add(self, partial: Path, uuid: str, hash: str) -> Path:
        """Add a complete file under its uuid, remove files above the limit, and return the path. Raises StorageError."""
        path = await self._open() / f"{uuid}-{hash}"
        try:
            async with open_for_reading(partial) as file:
                await fsync(file.fileno())
            size_bytes = (await aiofiles.os.stat(partial)).st_size
            await aiofiles.os.replace(partial, path)
            self._files.pop(uuid, None)
            self._files[uuid] = CachedFile(path, size_bytes)
            await self._evict(keep=1)
        except OSError as exc:
            raise StorageError(f"the media cache cannot store content: {exc.strerror}") from exc
        return path

    async def close(self) -> None:
        """Close the cache and remove a temporary folder."""
        temporary, self._temporary, self._ready = self._temporary, None, None
        self._files.clear()
        if temporary is not None:
            await asyncio.to_thread(temporary.cleanup)

    async def _open(self) -> Path:
        async with self._opening:
            if self._ready is None:
                try:
                    self._ready = await self._prepare()
                except OSError as exc:
                    raise StorageError(f"the media cache cannot be used: {exc.strerror}") from exc
            return self._ready

    async def _prepare(self) -> Path:
        if self._folder is None:
            self._temporary = await asyncio.to_thread(
                tempfile.TemporaryDirectory, prefix="timim-cache-", ignore_cleanup_errors=True
            )
            return Path(self._temporary.name)
        await asyncio.to_thread(private_folder, self._folder)
        # one thread call for the whole folder: one for each of 10,000 files would take a second
        for path, size_bytes in await asyncio.to_thread(_scan, self._folder):
            uuid = path.name.partition("-")[0]
            if older := self._files.pop(uuid, None):
                await remove_file(older.path)
            self._files[uuid] = CachedFile(path, size_bytes)
        await self._evict(keep=0)
        return self._folder

    async def _evict(self, *, keep: int) -> None:
        """Remove the least recently used files above the limit, except the last `keep` files."""
        total = sum(file.size_bytes for file in self._files.values())
        while total > self._limit_bytes and len(self._files) > keep:
            file = self._files.pop(next(iter(self._files)))
            total -= file.size_bytes
            await remove_file(file.path)


def _scan(folder: Path) -> list[CachedFile]:
    """Return the files of a folder, least recently used first; remove incomplete files of earlier runs."""
    found: list[tuple[int, CachedFile]] = []
    for path in folder.iterdir():
        if path.name.startswith(_PARTIAL):
            path.unlink(missing_ok=True)
        else:
            state = path.stat()
            found.append((state.st_mtime_ns, CachedFile(path, state.st_size)))
    return [file for _, file in sorted(found)]
