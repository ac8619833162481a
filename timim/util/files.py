"""Files read and written through aiofiles, in pieces.

Invariant: the event loop never waits for a disk, and a caller that is cancelled leaves no file open.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

import aiofiles
import aiofiles.os
from aiofiles.threadpool.binary import AsyncBufferedIOBase, AsyncBufferedReader

from .private_files import private_opener

F = TypeVar("F", bound=AsyncBufferedIOBase)
PIECE_BYTES: Final = 1024 * 1024  # a thread call costs 0.1 ms for each piece, and hashing the piece 0.5 to 2 ms

fsync = aiofiles.os.wrap(os.fsync)
utime = aiofiles.os.wrap(os.utime)


class PieceWriter:
    """Writes pieces to an open file; the caller can receive the next piece while one is being written."""

    def __init__(self, file: AsyncBufferedIOBase) -> None:
        self._file = file
        self._writing: asyncio.Future[int] | None = None

    async def write(self, piece: bytes | memoryview) -> None:
        """Start writing a piece after the previous piece is written. Raises OSError if the previous piece failed."""
        await self._written()
        self._writing = asyncio.ensure_future(self._file.write(piece))

    async def flush(self) -> None:
        """Wait until the operating system has all pieces that were given to `write`. Raises OSError."""
        await self._written()
        await self._file.flush()

    async def sync(self) -> None:
        """Wait until all pieces are on disk. Raises OSError."""
        await self.flush()
        await fsync(self._file.fileno())

    async def settle(self) -> None:
        """Wait for the piece that is being written, and ignore its error."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing


@asynccontextmanager
async def open_for_reading(path: Path) -> AsyncIterator[AsyncBufferedReader]:
    """Open a file for reading, and close it at the end of the block."""
    opening = asyncio.ensure_future(aiofiles.open(path, "rb"))
    file = await _opened(opening)
    try:
        yield file
    finally:
        await asyncio.shield(file.close())


@asynccontextmanager
async def open_for_writing(path: Path, mode: Literal["wb", "xb"], *, private: bool = False) -> AsyncIterator[PieceWriter]:
    """Open a file for a `PieceWriter`; flush it if the block ends without an exception, and close it in any case.

    A new file has the rights that the umask allows, or is for its owner only if it is `private`.
    """
    opening = asyncio.ensure_future(aiofiles.open(path, mode, opener=private_opener if private else None))
    file = await _opened(opening)
    writer = PieceWriter(file)
    try:
        yield writer
        await writer.flush()
    finally:
        await asyncio.shield(_close(writer, file))


async def read_pieces(path: Path, offset: int = 0) -> AsyncGenerator[bytes, None]:
    """Yield the file from `offset` on; the next piece is read while the caller handles the current one. Raises OSError."""
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
    """Return the content of a file. Raises OSError."""
    async with aclosing(read_pieces(path)) as pieces:
        return b"".join([piece async for piece in pieces])


async def copy_into(path: Path, writer: PieceWriter) -> None:
    """Copy the content of a file to a writer. Raises OSError."""
    async with aclosing(read_pieces(path)) as pieces:
        async for piece in pieces:
            await writer.write(piece)


@asynccontextmanager
async def file_target(path: Path, name: str) -> AsyncIterator[Path]:
    """Yield the path to write to: `path`, or if that is a folder, a new file in it that is called `name`.

    An existing file of the folder is never chosen: the name gets a number. The new file is removed if the block fails. Raises
    OSError.
    """
    if not await aiofiles.os.path.isdir(path):
        yield path
        return
    made = await asyncio.to_thread(_new_file, path, name)
    try:
        yield made
    except BaseException:
        await asyncio.shield(remove_file(made))
        raise


def _new_file(folder: Path, name: str) -> Path:
    path = folder / name
    for number in itertools.count(2):
        try:
            path.touch(exist_ok=False)
            break
        except FileExistsError:
            path = folder / f"{Path(name).stem} ({number}){Path(name).suffix}"
    return path


async def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises OSError."""
    hashed = hashlib.sha256()
    async with aclosing(read_pieces(path)) as pieces:
        async for piece in pieces:
            await asyncio.to_thread(hashed.update, piece)
    return hashed.hexdigest()


async def remove_file(path: Path) -> None:
    """Remove a file, if it exists. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        await aiofiles.os.remove(path)


async def _opened(opening: asyncio.Future[F]) -> F:
    """Wait for a file to be opened, and return it. If the wait is cancelled, close the file once it is open."""
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            (await opening).detach().close()
        raise


async def _close(writer: PieceWriter, file: AsyncBufferedIOBase) -> None:
    await writer.settle()
    await file.close()
