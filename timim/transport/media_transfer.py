"""Content up and down over HTTP, streamed, in constant memory; a cut transfer goes on where it stopped.

Both directions end with the content's SHA-256: other bytes are never taken for the content. A failed or cancelled download
leaves no partial file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import aiofiles.os

from ..elems import ContentKind, Progress
from ..errors import (
    ConnectionFailed,
    DownloadFailed,
    EmptyFile,
    MediaError,
    MediaGone,
    NetworkError,
    ProtocolError,
    RateLimited,
    StorageError,
    TimimError,
    TooLarge,
    UploadFailed,
)
from ..protocol.backoff import Backoff
from ..protocol.codec import decode_reply, encode
from ..protocol.media import BeginUpload, SignedUrlReply, UploadReply
from ..util.files import PIECE_BYTES, copy_into, open_for_writing, read_file, remove_file
from .media_api import MediaApi, MediaServerBusy
from .media_cache import MediaCache
from .server_info import ServerInfo
from .upload_source import UploadSource, upload_source

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("timim")
DEFAULT_LIMIT_BYTES: dict[ContentKind, int] = {  # Tencent's: 28 MB for content that is shown at once, 100 MB for files
    "image": 28 * 1024 * 1024,
    "sound": 28 * 1024 * 1024,
    "file": 100 * 1024 * 1024,
    "video": 100 * 1024 * 1024,
}
MAX_TRIES = 5  # in a row without a byte of progress; then the caller gets the error
ABORT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The name, address and size of content on the server."""

    uuid: str
    url: str
    size_bytes: int


class MediaTransfer:
    """Uploads and downloads of one client; at most `concurrency` of them run at once, the others wait in line."""

    def __init__(self, server: ServerInfo, *, timeout_s: float, concurrency: int = 4, cache: MediaCache | None = None) -> None:
        self._server = server
        self._api = MediaApi(server, timeout_s=timeout_s)
        self._slots = asyncio.Semaphore(concurrency)
        self._cache = cache
        self._backoff = Backoff(limit_s=5.0)

    async def upload(
        self, content: Path | bytes, *, kind: ContentKind, name: str, progress: Progress | None = None
    ) -> UploadResult:
        """Stream a file or bytes up; a cut upload goes on where it stopped, also in a later process that uses the same `name`.

        Raises FileMissing, EmptyFile, TooLarge before anything is sent; UploadFailed, and the errors of `progress`: then
        nothing of it stays on the server. After NetworkError, and when cancelled, the server keeps the part that it has.
        """
        source = upload_source(content)
        size = await source.size()
        if size == 0:
            raise EmptyFile(f"{source.name} is empty")
        limit = self._server.media_limits.get(kind, DEFAULT_LIMIT_BYTES[kind])
        if size > limit:
            raise TooLarge(f"{source.name} is {size} bytes, the limit for {kind} is {limit}")
        async with self._slots:
            digest = await source.sha256()
            begin = BeginUpload(upload=_upload_id(name, digest), kind=kind, size=size, hash=digest)
            try:
                done = await self._upload(begin, source, progress)
            except (NetworkError, asyncio.CancelledError):
                raise
            except BaseException:
                await asyncio.shield(self._abort(begin.upload))
                raise
        return UploadResult(done.uuid, done.url, size)

    async def abort_upload(self, content: Path | bytes, *, name: str) -> None:
        """Give up an upload that will not go on: the server forgets the part that it has, if it can be reached."""
        try:
            digest = await upload_source(content).sha256()
        except MediaError:
            return  # the server collects it by itself
        await self._abort(_upload_id(name, digest))

    async def read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        """Return the content, from the server or from the cache. Raises DownloadFailed, MediaGone, NetworkError."""
        uuid = self._api.resolve_uuid(uuid, url)
        if (cached := await self._cached(uuid, size_bytes, progress)) is not None:
            with contextlib.suppress(FileNotFoundError):  # another transfer's content took its place in the cache
                return await read_file(cached)
        buffer = _MemoryWriter()
        await self._fetch(uuid, size_bytes, buffer, progress)
        return buffer.content()

    async def download(self, uuid: str, url: str, size_bytes: int, path: Path, progress: Progress | None) -> Path:
        """Fetch into `path`, by way of a file beside it that is removed when anything fails. Returns `path`."""
        uuid = self._api.resolve_uuid(uuid, url)
        partial = path.parent / f".timim-{secrets.token_hex(8)}"
        try:
            if (cached := await self._cached(uuid, size_bytes, progress)) is not None:
                async with open_for_writing(partial, "wb") as writer:
                    await copy_into(cached, writer)
            else:
                await self._fetch_into(uuid, size_bytes, partial, progress)
            await aiofiles.os.replace(partial, path)
        except BaseException as exc:
            await asyncio.shield(remove_file(partial))
            if isinstance(exc, OSError):
                raise MediaError(f"cannot write {path}: {exc.strerror}") from exc
            raise
        return path

    async def signed_url(self, uuid: str, url: str) -> str:
        """Return an address that anybody may open for a while. Raises MediaGone, NetworkError."""
        reply = await self._api.request("GET", f"/{self._api.resolve_uuid(uuid, url)}/url")
        if reply.status_code in (403, 404):
            raise MediaGone("the server does not have it, or not for this account")
        return decode_reply(SignedUrlReply, reply.content).url

    async def aclose(self) -> None:
        """Close the connections, and remove a temporary cache."""
        await self._api.aclose()
        if self._cache is not None:
            await self._cache.close()

    async def _upload(self, begin: BeginUpload, source: UploadSource, progress: Progress | None) -> UploadReply:
        best, failures = -1, 0
        while True:
            try:
                state = await self._begin_upload(begin)
                if not state.uuid:
                    best, failures = _count_failure(state.offset, best, failures)
                    state = await self._send_from(begin, source, state.offset, progress)
                if state.uuid:
                    if progress is not None:
                        progress(begin.size, begin.size)
                    return state
                best, failures = _count_failure(state.offset, best, failures)
            except NetworkError as exc:
                failures += 1
                if failures >= MAX_TRIES:
                    raise
                log.info("an upload was cut and goes on: %s", exc)
                await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))

    async def _begin_upload(self, begin: BeginUpload) -> UploadReply:
        return _parse_reply(await self._api.request("POST", "", content=encode(begin)))

    async def _send_from(self, begin: BeginUpload, source: UploadSource, offset: int, progress: Progress | None) -> UploadReply:
        headers = {"Content-Length": str(begin.size - offset)}
        async with aclosing(_reported(source, offset, begin.size, progress)) as body:
            try:
                reply = await self._api.request(
                    "PUT", f"/uploads/{begin.upload}", params={"offset": str(offset)}, headers=headers, content=body
                )
            except ProtocolError as exc:
                raise UploadFailed(f"{source.name} changed while it was sent") from exc
        if reply.status_code in (404, 409):  # the server collected it, or has another offset: ask again
            return UploadReply(offset=-1)
        return _parse_reply(reply)

    async def _abort(self, upload_id: str) -> None:
        try:
            async with asyncio.timeout(ABORT_TIMEOUT_S):
                await self._api.request("DELETE", f"/uploads/{upload_id}")
        except (TimimError, TimeoutError) as exc:
            log.info("an upload was not aborted, and the server will collect it: %s", exc)

    async def _cached(self, uuid: str, size_bytes: int, progress: Progress | None) -> Path | None:
        """Return the cached file, fetched first if need be; None without a cache, and with one whose disk fails."""
        if self._cache is None:
            return None
        try:
            path = await self._cache.find(uuid)
            if path is None:
                return await self._fetch_into_cache(self._cache, uuid, size_bytes, progress)
        except (StorageError, OSError) as exc:
            log.warning("the media cache failed, and the content is downloaded without it: %s", exc)
            return None
        if progress is not None:
            progress(size_bytes, size_bytes)
        return path

    async def _fetch_into_cache(self, cache: MediaCache, uuid: str, size_bytes: int, progress: Progress | None) -> Path:
        partial = await cache.create_partial()
        try:
            digest = await self._fetch_into(uuid, size_bytes, partial, progress)
            return await cache.add(partial, uuid, digest)
        except BaseException:
            await asyncio.shield(remove_file(partial))
            raise

    async def _fetch_into(self, uuid: str, size_bytes: int, path: Path, progress: Progress | None) -> str:
        async with open_for_writing(path, "wb") as writer:
            return await self._fetch(uuid, size_bytes, writer, progress)

    async def _fetch(self, uuid: str, size_bytes: int, writer: _PieceSink, progress: Progress | None) -> str:
        """Write the content, going on after a cut where it stopped; returns its SHA-256, which was checked."""
        download, failures = _Download(writer, progress), 0
        async with self._slots:
            while True:
                at_first = download.received
                try:
                    async with aclosing(self._api.stream_content(uuid, download.received, download.tag)) as stream:
                        async for tag, total, chunk in stream:
                            await download.receive(tag, total, chunk)
                    break
                except NetworkError as exc:
                    failures = 1 if download.received > at_first else failures + 1
                    if failures >= MAX_TRIES:
                        raise
                    log.info("a download was cut and goes on: %s", exc)
                    await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))
            return await download.finish(size_bytes)


class _PieceSink(Protocol):
    """Takes the pieces of a download: a file's `PieceWriter`, or memory."""

    async def write(self, piece: bytes) -> None: ...


class _MemoryWriter:
    """Collects the pieces of a download in memory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    async def write(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def content(self) -> bytes:
        return b"".join(self._pieces)


class _Download:
    """One download, across all the connections that it takes.

    `received` is the number of bytes so far, the offset to go on from; `tag` the hash that the server named with them.
    """

    def __init__(self, writer: _PieceSink, progress: Progress | None) -> None:
        self.received = 0
        self.tag = ""
        self._writer = writer
        self._progress = progress
        self._hash = hashlib.sha256()
        self._chunks: list[bytes] = []  # of the next piece
        self._chunks_bytes = 0
        self._total = 0

    async def receive(self, tag: str, total: int, chunk: bytes) -> None:
        """Take a chunk as it came from the socket; a whole piece is hashed and written."""
        self.tag, self._total = tag, total
        self.received += len(chunk)
        self._chunks.append(chunk)
        self._chunks_bytes += len(chunk)
        if self._chunks_bytes >= PIECE_BYTES:
            await self._write_piece()

    async def finish(self, size_bytes: int) -> str:
        """Write the rest, check size (0: unknown) and hash, and return the hash. Raises DownloadFailed."""
        if self._chunks:
            await self._write_piece()
        if size_bytes and self.received != size_bytes:
            raise DownloadFailed(f"{self.received} bytes came of {size_bytes}")
        if self._hash.hexdigest() != self.tag:
            raise DownloadFailed("the bytes that came are not those that were sent")
        return self.tag

    async def _write_piece(self) -> None:
        piece = b"".join(self._chunks)
        self._chunks.clear()
        self._chunks_bytes = 0
        await self._writer.write(piece)
        self._hash.update(piece)
        if self._progress is not None:
            self._progress(self.received, self._total)


async def _reported(source: UploadSource, offset: int, size: int, progress: Progress | None) -> AsyncGenerator[bytes, None]:
    """Yield the content from `offset` on, and report each piece once the socket has taken it."""
    done = offset
    async with aclosing(source.pieces(offset)) as pieces:
        async for piece in pieces:
            yield piece
            done += len(piece)
            if progress is not None and done < size:  # the end is reported once the server has checked all of it
                progress(done, size)


def _upload_id(name: str, digest: str) -> str:
    """Return the id of an upload: other content under the same name is another one, as a file may change between two runs."""
    return hashlib.sha256(f"{name}\0{digest}".encode()).hexdigest()[:32]


def _parse_reply(reply: httpx2.Response) -> UploadReply:
    """Return the state of an upload. Raises the server's refusal."""
    if reply.status_code >= 500:
        raise UploadFailed(f"the server failed: HTTP {reply.status_code}")
    try:
        return decode_reply(UploadReply, reply.content)
    except RateLimited as exc:
        raise MediaServerBusy(exc.info, retry_after=exc.retry_after) from exc
    except ProtocolError as exc:
        raise UploadFailed(f"the server's answer is not understood: HTTP {reply.status_code}") from exc


def _count_failure(offset: int, best: int, failures: int) -> tuple[int, int]:
    """Return the best offset so far, and the failures in a row: none after progress."""
    if offset > best:
        return offset, 0
    if failures + 1 >= MAX_TRIES:
        raise ConnectionFailed(f"the upload does not get past {max(offset, best)} bytes")
    return best, failures + 1


_random = random.Random()
