"""Content to upload: a file, which is read in pieces, or bytes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import aiofiles.os

from ..errors import FileMissing, MediaError
from ..util.files import PIECE_BYTES, read_pieces, sha256_of_file

_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class BytesSource:
    """Content in memory."""

    name = "the content"

    def __init__(self, data: bytes) -> None:
        self._data = data

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
    """Content in a file. The methods raise FileMissing if there is no file, and MediaError if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The path, used in error messages."""
        return str(self._path)

    async def size(self) -> int:
        """Return the number of bytes."""
        try:
            state = await aiofiles.os.stat(self._path)
        except ValueError:  # a NUL in the path
            raise FileMissing(f"there is no file {self._path}") from None
        except OSError as exc:
            raise self._error(exc) from exc
        if not stat.S_ISREG(state.st_mode):
            raise FileMissing(f"there is no file {self._path}")
        return state.st_size

    async def sha256(self) -> str:
        """Return the content's SHA-256, in hexadecimal."""
        try:
            return await sha256_of_file(self._path)
        except OSError as exc:
            raise self._error(exc) from exc

    async def pieces(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the content from `offset` on; the next piece is read while the caller handles the current one."""
        try:
            async with aclosing(read_pieces(self._path, offset)) as pieces:
                async for piece in pieces:
                    yield piece
        except OSError as exc:
            raise self._error(exc) from exc

    def _error(self, exc: OSError) -> MediaError:
        if exc.errno in _NO_FILE:
            return FileMissing(f"there is no file {self._path}")
        return MediaError(f"cannot read {self._path}: {exc.strerror}")


UploadSource = BytesSource | FileSource


def upload_source(content: Path | bytes) -> UploadSource:
    """Return the source of content that is given as a path or as bytes."""
    return BytesSource(content) if isinstance(content, bytes) else FileSource(content)
