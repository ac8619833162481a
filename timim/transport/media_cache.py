"""Downloaded content kept on this device, by uuid and up to a size: only for a client that asked for it.

A file here is whole or not here at all, whatever ends the process: it gets its name after its last byte is on disk, and
its name says what its bytes hash to. What was not used for longest goes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from ..errors import StorageError

CHUNK_BYTES = 1024 * 1024


class MediaCache:
    """`folder` None: a folder of its own, gone when it is closed. Everything here runs in threads."""

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._opening = asyncio.Lock()
        self._ready: Path | None = None

    async def find(self, uuid: str) -> Path | None:
        """The file of this content, or None. It counts as used now."""
        return await asyncio.to_thread(self._find, await self._open(), uuid)

    async def create_partial(self) -> Path:
        """A new empty file to download into; `keep` gives it its name, and whoever does not keep it removes it."""
        folder = await self._open()

        def make() -> Path:
            descriptor, name = tempfile.mkstemp(dir=folder, prefix="partial-")
            os.close(descriptor)
            return Path(name)

        return await asyncio.to_thread(make)

    async def add(self, partial: Path, uuid: str, hash: str) -> Path:
        """The file is whole: keep it under its uuid, and let go what is over the limit. Returns where it is."""
        return await asyncio.to_thread(self._add, await self._open(), partial, uuid, hash)

    async def close(self) -> None:
        """A folder of its own goes."""
        own, self._own, self._ready = self._own, None, None
        if own is not None:
            await asyncio.to_thread(own.cleanup)

    async def _open(self) -> Path:
        async with self._opening:
            if self._ready is None:
                self._ready = await asyncio.to_thread(self._prepare)
            return self._ready

    def _prepare(self) -> Path:
        try:
            if self._folder is None:
                self._own = tempfile.TemporaryDirectory(prefix="timim-cache-", ignore_cleanup_errors=True)
                return Path(self._own.name)
            self._folder.mkdir(parents=True, exist_ok=True)
            for left in self._folder.glob("partial-*"):  # an earlier run ended in the middle
                left.unlink(missing_ok=True)
            self._evict(self._folder, keeping=None)
        except OSError as exc:
            raise StorageError(f"the media cache cannot be used: {exc}") from exc
        return self._folder

    def _find(self, folder: Path, uuid: str) -> Path | None:
        for path in folder.glob(f"{uuid}-*"):
            with contextlib.suppress(OSError):
                if _hash_of(path) == path.name.partition("-")[2]:
                    os.utime(path)
                    return path
                path.unlink(missing_ok=True)  # the disk or somebody changed it
        return None

    def _add(self, folder: Path, partial: Path, uuid: str, hash: str) -> Path:
        try:
            path = folder / f"{uuid}-{hash}"
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
            os.utime(path)
            self._evict(folder, keeping=path)
        except OSError as exc:
            raise StorageError(f"the media cache cannot keep {uuid}: {exc}") from exc
        return path

    def _evict(self, folder: Path, keeping: Path | None) -> None:
        """Remove the longest unused until the limit holds; what was just kept goes last."""
        files: list[tuple[bool, int, Path, int]] = []
        for path in folder.iterdir():
            if not path.name.startswith("partial-"):
                with contextlib.suppress(FileNotFoundError):
                    state = path.stat()
                    files.append((path == keeping, state.st_mtime_ns, path, state.st_size))
        total = sum(size for *_, size in files)
        for newest, _, path, size in sorted(files):
            if total <= self._limit_bytes or newest:
                return
            path.unlink(missing_ok=True)
            total -= size


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
