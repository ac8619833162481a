"""Uploads and downloads of content over HTTP, streamed in constant memory; an interrupted transfer is resumed.

Both directions verify the SHA-256 of the content. A failed or cancelled download leaves no partial file.
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
from typing import Protocol

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
from .media_api import MediaApi, MediaReply, MediaServerBusy
from .media_cache import MediaCache
from .network import DIRECT, NetworkOptions
from .server_info import ServerInfo
from .upload_source import UploadSource, upload_source

log = logging.getLogger(__name__)
DEFAULT_LIMIT_BYTES: dict[ContentKind, int] = {  # Tencent's limits
    "image": 28 * 1024 * 1024,
    "sound": 28 * 1024 * 1024,
    "file": 100 * 1024 * 1024,
    "video": 100 * 1024 * 1024,
}
UNKNOWN_LIMIT_BYTES = max(DEFAULT_LIMIT_BYTES.values())  # of content whose size neither its sender nor the server states
MAX_TRIES = 5  # consecutive attempts without progress before the error is raised
ABORT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The uuid, URL and size of uploaded content."""

    uuid: str
    url: str
    size_bytes: int


class MediaTransfer:
    """Uploads and downloads of one client; at most `concurrency` run at once, and the others wait."""

    def __init__(
        self,
        server: ServerInfo,
        *,
        timeout_s: float,
        concurrency: int = 4,
        cache: MediaCache | None = None,
        network: NetworkOptions = DIRECT,
    ) -> None:
        self._server = server
        self._api = MediaApi(server, timeout_s=timeout_s, network=network)
        self._slots = asyncio.Semaphore(concurrency)
        self._cache = cache
        self._backoff = Backoff(limit_s=5.0)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Return None for copies and pickles of elems: they have no client, and never its credentials."""
        return type(None), ()

    async def upload(
        self, source: UploadSource, *, kind: ContentKind, name: str, progress: Progress | None = None
    ) -> UploadResult:
        """Upload content; an interrupted upload is resumed, also by a later process that uses the same `name`.

        When cancelled, and after NetworkError, the server keeps the uploaded part. After UploadFailed or an exception of
        `progress`, the uploaded part is removed.

        Raises:
            FileMissing, EmptyFile, TooLarge: The content was not sent.
            UploadFailed: The server refused the content, or the file changed since the source was first asked for its size.
            NetworkError: The upload was interrupted; call again to resume it.
        """
        size = await source.size()
        if size == 0:
            raise EmptyFile(f"{source.name} is empty")
        limit = self._server.media_limits.get(kind, DEFAULT_LIMIT_BYTES[kind])
        if size > limit:
            raise TooLarge(f"{source.name} has {size} bytes; the limit for {kind} is {limit}")
        async with self._slots:
            digest = await source.sha256()
            begin = BeginUpload(upload=_upload_id(name, digest), kind=kind, size=size, hash=digest)
            try:
                done = await self._upload(begin, source, progress)
            except (NetworkError, asyncio.CancelledError):
                raise
            except BaseException as exc:
                await asyncio.shield(self._abort(begin.upload))
                if isinstance(exc, UploadFailed):
                    await source.check()  # other bytes than announced are refused by the server too
                raise
        return UploadResult(done.uuid, done.url, size)

    async def abort_upload(self, content: Path | bytes, *, name: str) -> None:
        """Remove the uploaded part of an upload that will not be resumed, if the server can be reached."""
        try:
            digest = await upload_source(content).sha256()
        except MediaError:
            return  # the server removes the part after a time
        await self._abort(_upload_id(name, digest))

    async def read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        """Return content from the cache or the server. Raises DownloadFailed, MediaGone, NetworkError."""
        uuid = self._api.resolve_uuid(uuid, url)
        if (cached := await self._cached(uuid, size_bytes, progress)) is not None:
            with contextlib.suppress(FileNotFoundError):  # another transfer evicted the file
                return await read_file(cached)
        buffer = _MemoryWriter()
        await self._fetch(uuid, size_bytes, buffer, progress)
        return buffer.content()

    async def download(self, uuid: str, url: str, size_bytes: int, path: Path, progress: Progress | None) -> Path:
        """Download content to `path` by way of a temporary file beside it; return `path`.

        Raises:
            DownloadFailed: The server refused the download, or sent other bytes.
            MediaGone: The server does not have the content, or this account may not read it.
            MediaError: `path` cannot be written.
            NetworkError: The server cannot be reached.
        """
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
        """Return a URL that works without a login for a limited time. Raises MediaGone, NetworkError."""
        reply = await self._api.request("GET", f"/{self._api.resolve_uuid(uuid, url)}/url")
        if reply.status_code in (403, 404):
            raise MediaGone(f"the content does not exist or is not for this account: HTTP {reply.status_code}")
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
                log.debug("upload %s was interrupted; resuming it: %s", begin.upload, exc)
                await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))

    async def _begin_upload(self, begin: BeginUpload) -> UploadReply:
        return _parse_reply(await self._api.request("POST", "", content=encode(begin)))

    async def _send_from(self, begin: BeginUpload, source: UploadSource, offset: int, progress: Progress | None) -> UploadReply:
        headers = {"Content-Length": str(begin.size - offset)}
        async with aclosing(_reported(source, offset, begin.size, progress)) as body:
            reply = await self._api.request(
                "PUT", f"/uploads/{begin.upload}", params={"offset": str(offset)}, headers=headers, content=body
            )
        if reply.status_code in (404, 409):  # the server removed the upload, or has another offset: begin again
            return UploadReply(offset=-1)
        return _parse_reply(reply)

    async def _abort(self, upload_id: str) -> None:
        try:
            async with asyncio.timeout(ABORT_TIMEOUT_S):
                await self._api.request("DELETE", f"/uploads/{upload_id}")
        except (TimimError, TimeoutError) as exc:
            log.debug("aborting upload %s failed; the server will remove it later: %s", upload_id, exc)

    async def _cached(self, uuid: str, size_bytes: int, progress: Progress | None) -> Path | None:
        """Return the cached file, downloading it first if needed; None without a cache or if the cache fails."""
        if self._cache is None:
            return None
        try:
            path = await self._cache.find(uuid)
            if path is None:
                return await self._fetch_into_cache(self._cache, uuid, size_bytes, progress)
        except (StorageError, OSError) as exc:
            log.warning("the media cache failed; downloading %s without it: %s", uuid, exc)
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
        """Download the content, resuming after interruptions; return its verified SHA-256."""
        download, failures = _Download(writer, progress, size_bytes), 0
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
                    log.debug("the download of %s was interrupted; resuming it: %s", uuid, exc)
                    await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))
            return await download.finish()


class _PieceSink(Protocol):
    """A destination for the pieces of a download: a file's `PieceWriter`, or memory."""

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
    """One download, possibly over several connections.

    `received` is the number of bytes so far and the offset to resume at; `tag` is the SHA-256 that the server sent.
    `size_bytes` is the size that the sender of the content announced; 0 if it is unknown.
    """

    def __init__(self, writer: _PieceSink, progress: Progress | None, size_bytes: int) -> None:
        self.received = 0
        self.tag = ""
        self._writer = writer
        self._progress = progress
        self._hash = hashlib.sha256()
        self._chunks: list[bytes] = []  # of the next piece
        self._chunks_bytes = 0
        self._total = 0
        self._size_bytes = size_bytes

    async def receive(self, tag: str, total: int, chunk: bytes) -> None:
        """Add a chunk from the socket; hash and write a complete piece.

        Raises:
            DownloadFailed: The server sends more than was announced.
        """
        size = self._size_bytes or total or UNKNOWN_LIMIT_BYTES
        if max(total, self.received + len(chunk)) > size:
            raise DownloadFailed(f"the server sends more than the {size} bytes that were announced; the rest was not read")
        self.tag, self._total = tag, total
        self.received += len(chunk)
        self._chunks.append(chunk)
        self._chunks_bytes += len(chunk)
        if self._chunks_bytes >= PIECE_BYTES:
            await self._write_piece()

    async def finish(self) -> str:
        """Write the last piece, verify hash and size (unless it is unknown), and return the hash. Raises DownloadFailed."""
        if self._chunks:
            await self._write_piece()
        if self._size_bytes and self.received != self._size_bytes:
            raise DownloadFailed(f"the download has {self.received} bytes instead of {self._size_bytes}")
        if self._hash.hexdigest() != self.tag:
            raise DownloadFailed("the SHA-256 of the download does not match that of the content")
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
    """Yield the content from `offset` on, and report each piece after the socket has accepted it."""
    done = offset
    async with aclosing(source.pieces(offset)) as pieces:
        async for piece in pieces:
            yield piece
            done += len(piece)
            if progress is not None and done < size:  # the end is reported after the server has verified the content
                progress(done, size)


def _upload_id(name: str, digest: str) -> str:
    """Return an upload id that differs if the content differs, because a file may change between two runs."""
    return hashlib.sha256(f"{name}\0{digest}".encode()).hexdigest()[:32]


def _parse_reply(reply: MediaReply) -> UploadReply:
    """Return the state of an upload. Raises the server's refusal as an exception."""
    if reply.status_code >= 500:
        raise UploadFailed(f"the media server failed: HTTP {reply.status_code}")
    try:
        return decode_reply(UploadReply, reply.content)
    except RateLimited as exc:
        raise MediaServerBusy(exc.info, retry_after=exc.retry_after) from exc
    except ProtocolError as exc:
        raise UploadFailed(f"the media server sent an invalid reply: HTTP {reply.status_code}") from exc


def _count_failure(offset: int, best: int, failures: int) -> tuple[int, int]:
    """Return the highest offset so far, and the number of consecutive failures, or 0 after progress."""
    if offset > best:
        return offset, 0
    if failures + 1 >= MAX_TRIES:
        raise ConnectionFailed(f"the upload stopped making progress at {max(offset, best)} bytes")
    return best, failures + 1


_random = random.Random()
