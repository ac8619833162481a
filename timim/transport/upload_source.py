"""Content to upload: a file, which is read in pieces, or bytes.

Invariant: what is uploaded is the content of one moment. A source remembers the state of its file when its size was first
asked for, and refuses the file when the state differs later; a source is made for one attempt to send.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import aiofiles.os

from ..errors import FileMissing, MediaError, UploadFailed
from ..util.files import PIECE_BYTES, read_pieces, sha256_of_file

_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class BytesSource:
    """Content in memory."""

    name = "the content"

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def content(self) -> bytes:
        """The bytes."""
        return self._data

    async def check(self) -> None:
        """Do nothing: bytes do not change."""

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[bytes]:
        """Return the content for a block that reads it."""
        yield self._data

    async def size(self) -> int:
        """Return the number of bytes."""
        return len(self._data)

    async def sha256(self) -> str:
        """Return the content's SHA-256, in hexadecimal."""
        return (await asyncio.to_thread(hashlib.sha256, self._data)).hexdigest()

    async def pieces(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the content from `offset` on."""
        for at in range(offset, len(self._data), PIECE_BYTES):
            yield self._data[at : at + PIECE_BYTES]


class FileSource:
    """Content in a file.

    The methods raise FileMissing if there is no file, MediaError if it cannot be read, and UploadFailed if it is no longer
    the file that it was at the first call of `size`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: os.stat_result | None = None

    @property
    def name(self) -> str:
        """The path, used in error messages."""
        return str(self._path)

    @property
    def content(self) -> Path:
        """The path."""
        return self._path

    async def size(self) -> int:
        """Return the number of bytes."""
        if self._first is None:
            self._first = await self._state()
        else:
            await self.check()
        return self._first.st_size

    async def check(self) -> None:
        """Raise UploadFailed if the file has changed since the first call of `size`, or if there is none any more."""
        if self._first is None:
            return
        try:
            fault = _change(self._first, await self._state())
        except FileMissing:
            fault = "was deleted"
        if fault:
            raise UploadFailed(f"{self._path} {fault} while it was being sent; send it again when it is complete, or a copy")

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[Path]:
        """Return the path for a block that reads the file; a change is the reason if the block fails with MediaError."""
        try:
            yield self._path
        except MediaError:
            await self.check()
            raise
        await self.check()

    async def sha256(self) -> str:
        """Return the content's SHA-256, in hexadecimal."""
        async with self.unchanged():
            try:
                return await sha256_of_file(self._path)
            except OSError as exc:
                raise self._error(exc) from exc

    async def pieces(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the content from `offset` on; the next piece is read while the caller handles the current one.

        The last piece is yielded only if the file has not changed until then, so that a receiver never has all bytes of a
        file that changed.
        """
        left = await self.size() - offset
        async with self.unchanged():
            try:
                async with aclosing(read_pieces(self._path, offset)) as pieces:
                    async for piece in pieces:
                        left -= len(piece)
                        if left <= 0:
                            await self.check()
                        yield piece
            except OSError as exc:
                raise self._error(exc) from exc

    async def _state(self) -> os.stat_result:
        try:
            state = await aiofiles.os.stat(self._path)
        except ValueError:  # a NUL in the path
            raise FileMissing(f"there is no file {self._path}") from None
        except OSError as exc:
            raise self._error(exc) from exc
        if not stat.S_ISREG(state.st_mode):
            raise FileMissing(f"there is no file {self._path}")
        return state

    def _error(self, exc: OSError) -> MediaError:
        if exc.errno in _NO_FILE:
            return FileMissing(f"there is no file {self._path}")
        return MediaError(f"cannot read {self._path}: {exc.strerror}")


def _change(first: os.stat_result, now: os.stat_result) -> str:
    """Return the difference of two states of a path, in words; empty if they are of the same content.

    The inode alone is no difference: some network file systems give another one at each look-up.
    """
    if (first.st_size, first.st_mtime_ns) == (now.st_size, now.st_mtime_ns):
        return ""
    if (first.st_dev, first.st_ino) != (now.st_dev, now.st_ino):
        return "was replaced by another file"
    if first.st_size == now.st_size:
        return "was written to"
    verb = "grew" if now.st_size > first.st_size else "shrank"
    return f"{verb} from {first.st_size} to {now.st_size} bytes"


UploadSource = BytesSource | FileSource


def upload_source(content: Path | bytes) -> UploadSource:
    """Return a source for one attempt to send content that is given as a path or as bytes."""
    return BytesSource(content) if isinstance(content, bytes) else FileSource(content)
