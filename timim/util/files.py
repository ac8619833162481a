"""Files read and written through aiofiles, in pieces.

Invariant: the event loop never waits for a disk, and a caller that is cancelled leaves no file open.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

import aiofiles
import aiofiles.os
from aiofiles.threadpool.binary import AsyncBufferedIOBase, AsyncBufferedReader

F = TypeVar("F", bound=AsyncBufferedIOBase)
PIECE_BYTES: Final = 1024 * 1024  # each piece costs a hop to a thread, 0.1 ms; its hash alone costs 0.5 to 2 ms

fsync = aiofiles.os.wrap(os.fsync)
utime = aiofiles.os.wrap(os.utime)


class PieceWriter:
    """Writes pieces to an open file, one behind its caller: the next piece can come in while one is written."""

    def __init__(self, file: AsyncBufferedIOBase) -> None:
        self._file = file
        self._writing: asyncio.Future[int] | None = None

    async def write(self, piece: bytes | memoryview) -> None:
        """Begin to write a piece, after the one before. Raises OSError, also that of the piece before."""
        await self._written()
        self._writing = asyncio.ensure_future(self._file.write(piece))

    async def flush(self) -> None:
        """Return when all pieces have been handed to the operating system. Raises OSError."""
        await self._written()
        await self._file.flush()

    async def sync(self) -> None:
        """Return when all pieces are on the disk. Raises OSError."""
        await self.flush()
        await fsync(self._file.fileno())

    async def settle(self) -> None:
        """Wait for the piece under way, however it ends."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing


@asynccontextmanager
async def open_for_reading(path: Path) -> AsyncIterator[AsyncBufferedReader]:
    """Open a file, and close it however the block ends."""
    opening = asyncio.ensure_future(aiofiles.open(path, "rb"))
    file = await _opened(opening)
    try:
        yield file
    finally:
        await asyncio.shield(file.close())


@asynccontextmanager
async def open_for_writing(path: Path, mode: Literal["wb", "xb"]) -> AsyncIterator[PieceWriter]:
    """Open a file for a `PieceWriter`; all is flushed when the block ends well, and the file is closed either way."""
    opening = asyncio.ensure_future(aiofiles.open(path, mode))
    file = await _opened(opening)
    writer = PieceWriter(file)
    try:
        yield writer
        await writer.flush()
    finally:
        await asyncio.shield(_close(writer, file))


async def read_pieces(path: Path, offset: int = 0) -> AsyncGenerator[bytes, None]:
    """Yield the file from `offset` on; the next piece is read while the caller handles one. Raises OSError."""
    async with open_for_reading(path) as file:
        if offset:
            await file.seek(offset)
        following = asyncio.ensure_future(file.read(PIECE_BYTES))
        try:
            while piece := await following:
                following = asyncio.ensure_future(file.read(PIECE_BYTES))
                yield piece
        finally:
            await asyncio.gather(following, return_exceptions=True)


async def read_file(path: Path) -> bytes:
    """Return all that a file holds. Raises OSError."""
    async with aclosing(read_pieces(path)) as pieces:
        return b"".join([piece async for piece in pieces])


async def copy_into(path: Path, writer: PieceWriter) -> None:
    """Write all that a file holds. Raises OSError."""
    async with aclosing(read_pieces(path)) as pieces:
        async for piece in pieces:
            await writer.write(piece)


async def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises OSError."""
    hashed = hashlib.sha256()
    async with aclosing(read_pieces(path)) as pieces:
        async for piece in pieces:
            await asyncio.to_thread(hashed.update, piece)
    return hashed.hexdigest()


async def remove_file(path: Path) -> None:
    """Remove a file, if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        await aiofiles.os.remove(path)


async def _opened(opening: asyncio.Future[F]) -> F:
    """Return the open file. A caller that is cancelled meanwhile leaves none open, nor one that is created later."""
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            (await opening).detach().close()
        raise


async def _close(writer: PieceWriter, file: AsyncBufferedIOBase) -> None:
    await writer.settle()
    await file.close()
