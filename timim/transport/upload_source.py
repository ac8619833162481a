"""What is uploaded: a file, or bytes. A file is read in pieces, and never held whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from ..elems import Progress
from ..errors import FileMissing, MediaError

CHUNK_BYTES = 512 * 1024  # read from disk, or written to it, at a time


def size_of(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        if not source.is_file():
            raise FileMissing(f"there is no file {source}")
        return source.stat().st_size
    except OSError as exc:
        raise MediaError(f"cannot read {source}: {exc.strerror}") from exc


def digest_of(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as exc:
        raise FileMissing(f"there is no file {source}") from exc
    except OSError as exc:
        raise MediaError(f"cannot read {source}: {exc.strerror}") from exc


def name_of(source: Path | bytes) -> str:
    return "the content" if isinstance(source, bytes) else str(source)


async def chunks_of(source: Path | bytes, offset: int, size: int, progress: Progress | None) -> AsyncGenerator[bytes, None]:
    """From `offset` on, as the socket takes them."""
    done = offset
    if isinstance(source, bytes):
        for at in range(offset, size, CHUNK_BYTES):
            yield source[at : at + CHUNK_BYTES]
            done = min(size, at + CHUNK_BYTES)
            if progress is not None and done < size:
                progress(done, size)
        return
    try:
        file = await asyncio.to_thread(_open_at, source, offset)
    except FileNotFoundError as exc:
        raise FileMissing(f"there is no file {source}") from exc
    following = asyncio.ensure_future(asyncio.to_thread(file.read, CHUNK_BYTES))
    try:
        while chunk := await following:
            following = asyncio.ensure_future(asyncio.to_thread(file.read, CHUNK_BYTES))  # while the socket takes this one
            yield chunk
            done += len(chunk)
            if progress is not None and done < size:  # all of it is reported once the server has checked it
                progress(done, size)
    except OSError as exc:
        raise MediaError(f"cannot read {source}: {exc.strerror}") from exc
    finally:
        await asyncio.gather(following, return_exceptions=True)
        await asyncio.shield(asyncio.to_thread(file.close))


def _open_at(path: Path, offset: int) -> BinaryIO:
    file = path.open("rb")
    file.seek(offset)
    return file
