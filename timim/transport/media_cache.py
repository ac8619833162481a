"""Downloaded content kept on this device, by uuid and up to a size: only for a client that asked for it.

A file here is whole or not here at all, whatever ends the process: it gets its name after its last byte is on disk, and
its name has the hash of its bytes. The least recently used content is removed first.
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

_PARTIAL = "partial-"  # the prefix of files that are not whole yet


class CachedFile(NamedTuple):
    """One file of a cache."""

    path: Path
    size_bytes: int


class MediaCache:
    """Files in `folder`, `limit_bytes` in all. `folder` None: in a temporary folder, which `close()` removes."""

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._opening = asyncio.Lock()
        self._ready: Path | None = None
        self._files: dict[str, CachedFile] = {}  # by uuid, the least recently used first

    async def find(self, uuid: str) -> Path | None:
        """Return the file of this content, or None. The content counts as used now. Raises StorageError."""
        await self._open()
        file = self._files.get(uuid)
        if file is None:
            return None
        try:
            if await sha256_of_file(file.path) == file.path.name.partition("-")[2]:
                await utime(file.path)
                self._files[uuid] = self._files.pop(uuid, file)
                return file.path
            await remove_file(file.path)  # the disk or another program changed it
        except FileNotFoundError:
            pass
        except OSError:
            return None
        self._files.pop(uuid, None)
        return None

    async def create_partial(self) -> Path:
        """Create an empty file to download into; the caller passes it to `add`, or removes it. Raises StorageError, OSError."""
        folder = await self._open()
        async with aiofiles.tempfile.NamedTemporaryFile("wb", dir=folder, prefix=_PARTIAL, delete=False) as file:
            return Path(str(file.name))

    async def add(self, partial: Path, uuid: str, hash: str) -> Path:
        """Keep a whole file under its uuid, remove what is over the limit, and return its path. Raises StorageError."""
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
            raise StorageError(f"the media cache cannot keep {uuid}: {exc}") from exc
        return path

    async def close(self) -> None:
        """Remove a temporary folder."""
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
                    raise StorageError(f"the media cache cannot be used: {exc}") from exc
            return self._ready

    async def _prepare(self) -> Path:
        if self._folder is None:
            self._temporary = await asyncio.to_thread(
                tempfile.TemporaryDirectory, prefix="timim-cache-", ignore_cleanup_errors=True
            )
            return Path(self._temporary.name)
        await aiofiles.os.makedirs(self._folder, exist_ok=True)
        # one hop for the whole folder: a hop for each of ten thousand files would take a second
        for path, size_bytes in await asyncio.to_thread(_scan, self._folder):
            uuid = path.name.partition("-")[0]
            if older := self._files.pop(uuid, None):
                await remove_file(older.path)
            self._files[uuid] = CachedFile(path, size_bytes)
        await self._evict(keep=0)
        return self._folder

    async def _evict(self, *, keep: int) -> None:
        """Remove the least recently used files until the limit holds, but the `keep` last ones."""
        total = sum(file.size_bytes for file in self._files.values())
        while total > self._limit_bytes and len(self._files) > keep:
            file = self._files.pop(next(iter(self._files)))
            total -= file.size_bytes
            await remove_file(file.path)


def _scan(folder: Path) -> list[CachedFile]:
    """Return the folder's files, the least recently used first; remove what an earlier run left unfinished."""
    found: list[tuple[int, CachedFile]] = []
    for path in folder.iterdir():
        if path.name.startswith(_PARTIAL):
            path.unlink(missing_ok=True)
        else:
            state = path.stat()
            found.append((state.st_mtime_ns, CachedFile(path, state.st_size)))
    return [file for _, file in sorted(found)]
