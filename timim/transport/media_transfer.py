"""Content up and down over HTTP, streamed, in constant memory; a cut transfer goes on where it stopped.

Both directions end with the content's SHA-256: bytes that are not those which were meant are never taken for them. A failed or
cancelled download leaves no partial file.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from ..elems import Progress
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
from .media_api import MediaApi, MediaServerBusy
from .media_cache import MediaCache
from .upload_source import chunks_of, digest_of, name_of, size_of

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("timim")
ContentKind = Literal["image", "sound", "file", "video"]
DEFAULT_LIMIT_BYTES: dict[ContentKind, int] = {  # TIM's: 28 MB for what is shown at once, 100 MB for files
    "image": 28 * 1024 * 1024,
    "sound": 28 * 1024 * 1024,
    "file": 100 * 1024 * 1024,
    "video": 100 * 1024 * 1024,
}
MAX_TRIES = 5  # in a row without a byte of progress; then the caller hears of it
ABORT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class UploadResult:
    """Where content is on the server."""

    uuid: str
    url: str
    size_bytes: int


class MediaTransfer:
    """`token`, `media_url` and `limits` (bytes by kind) are what the server told at login, TIM's own before that.

    At most `concurrency` transfers run at once, the others wait in line.
    """

    def __init__(
        self,
        *,
        token: Callable[[], str],
        media_url: Callable[[], str],
        limits: Callable[[], Mapping[str, int]] = dict,
        timeout_s: float,
        concurrency: int = 4,
        cache: MediaCache | None = None,
    ) -> None:
        self._api = MediaApi(token=token, media_url=media_url, timeout_s=timeout_s)
        self._limits = limits
        self._slots = asyncio.Semaphore(concurrency)
        self._cache = cache
        self._backoff = Backoff(limit_s=5.0)

    async def upload(
        self, source: Path | bytes, *, kind: ContentKind, name: str, progress: Progress | None = None
    ) -> UploadResult:
        """Stream a file or bytes up; what was cut goes on where it stopped, also in a later process that says the same `name`.

        Raises FileMissing, EmptyFile, TooLarge before anything is sent; UploadFailed, and what `progress` raises: then
        nothing of it stays on the server. NetworkError, or cancelling: what the server has of it stays, to go on from.
        """
        size = await asyncio.to_thread(size_of, source)
        if size == 0:
            raise EmptyFile(f"{name_of(source)} is empty")
        limit = self._limits().get(kind, DEFAULT_LIMIT_BYTES[kind])
        if size > limit:
            raise TooLarge(f"{name_of(source)} is {size} bytes, the limit for {kind} is {limit}")
        async with self._slots:
            digest = await asyncio.to_thread(digest_of, source)
            # other content under the same name is another upload: the file may have changed between two runs
            upload = hashlib.sha256(f"{name}\0{digest}".encode()).hexdigest()[:32]
            asked = BeginUpload(upload=upload, kind=kind, size=size, hash=digest)
            try:
                done = await self._upload(asked, source, progress)
            except (NetworkError, asyncio.CancelledError):
                raise
            except BaseException:
                await asyncio.shield(self._abort(upload))
                raise
        return UploadResult(done.uuid, done.url, size)

    async def abort_upload(self, source: Path | bytes, *, name: str) -> None:
        """Give up an upload that will not go on: the server forgets what it has of it, if it can be reached."""
        try:
            digest = await asyncio.to_thread(digest_of, source)
        except MediaError:
            return  # the server collects it by itself
        await self._abort(hashlib.sha256(f"{name}\0{digest}".encode()).hexdigest()[:32])

    async def read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        """The bytes, fetched now, or from the cache. Raises DownloadFailed, MediaGone, NetworkError."""
        uuid = self._api.resolve_uuid(uuid, url)
        if (kept := await self._cached(uuid, size_bytes, progress)) is not None:
            return await asyncio.to_thread(kept.read_bytes)
        got = bytearray()

        async def take(chunk: bytes) -> None:
            got.extend(chunk)

        await self._fetch(uuid, size_bytes, take, progress)
        return bytes(got)

    async def download(self, uuid: str, url: str, size_bytes: int, path: Path, progress: Progress | None) -> Path:
        """Fetch into `path`, by way of a file beside it that goes when anything fails."""
        uuid = self._api.resolve_uuid(uuid, url)
        partial = path.parent / f".timim-{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(partial.touch, exist_ok=False)
        except OSError as exc:
            raise MediaError(f"cannot write to {path.parent}: {exc.strerror}") from exc
        try:
            if (kept := await self._cached(uuid, size_bytes, progress)) is not None:
                await asyncio.to_thread(shutil.copyfile, kept, partial)
            else:
                await self._fetch_into(uuid, size_bytes, partial, progress)
            await asyncio.to_thread(partial.replace, path)
        except BaseException as exc:
            await asyncio.shield(asyncio.to_thread(partial.unlink, missing_ok=True))
            if isinstance(exc, OSError):
                raise MediaError(f"cannot write {path}: {exc.strerror}") from exc
            raise
        return path

    async def signed_url(self, uuid: str, url: str) -> str:
        """An address that anybody may open for a while. Raises MediaGone, NetworkError."""
        reply = await self._api.request("GET", f"/{self._api.resolve_uuid(uuid, url)}/url")
        if reply.status_code in (403, 404):
            raise MediaGone("the server does not have it, or not for this account")
        return decode_reply(SignedUrlReply, reply.content).url

    async def aclose(self) -> None:
        """Close the connections, and a cache that is not to last."""
        await self._api.aclose()
        if self._cache is not None:
            await self._cache.close()

    async def _upload(self, asked: BeginUpload, source: Path | bytes, progress: Progress | None) -> UploadReply:
        best, failures = -1, 0
        while True:
            try:
                standing = await self._begin_upload(asked)
                if not standing.uuid:
                    best, failures = _count_failure(standing.offset, best, failures)
                    standing = await self._send_from(asked, source, standing.offset, progress)
                if standing.uuid:
                    if progress is not None:
                        progress(asked.size, asked.size)
                    return standing
                best, failures = _count_failure(standing.offset, best, failures)
            except NetworkError as exc:
                failures += 1
                if failures >= MAX_TRIES:
                    raise
                log.info("an upload was cut and goes on: %s", exc)
                await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))

    async def _begin_upload(self, asked: BeginUpload) -> UploadReply:
        return _parse_reply(await self._api.request("POST", "", content=encode(asked)))

    async def _send_from(self, asked: BeginUpload, source: Path | bytes, offset: int, progress: Progress | None) -> UploadReply:
        headers = {"Content-Length": str(asked.size - offset)}
        async with aclosing(chunks_of(source, offset, asked.size, progress)) as body:
            try:
                reply = await self._api.request(
                    "PUT", f"/uploads/{asked.upload}", params={"offset": str(offset)}, headers=headers, content=body
                )
            except ProtocolError as exc:
                raise UploadFailed(f"{name_of(source)} changed while it was sent") from exc
        if reply.status_code in (404, 409):  # it was collected, or stands elsewhere: ask again
            return UploadReply(offset=-1)
        return _parse_reply(reply)

    async def _abort(self, upload: str) -> None:
        try:
            async with asyncio.timeout(ABORT_TIMEOUT_S):
                await self._api.request("DELETE", f"/uploads/{upload}")
        except (TimimError, TimeoutError) as exc:
            log.info("an upload was not dropped, and the server will collect it: %s", exc)

    async def _cached(self, uuid: str, size_bytes: int, progress: Progress | None) -> Path | None:
        """Where the cache has it, fetched first if need be; None without a cache, and with one whose disk fails."""
        if self._cache is None:
            return None
        try:
            kept = await self._cache.find(uuid)
            if kept is None:
                return await self._fetch_into_cache(self._cache, uuid, size_bytes, progress)
        except (StorageError, OSError) as exc:
            log.warning("the media cache is passed by: %s", exc)
            return None
        if progress is not None:
            progress(size_bytes, size_bytes)
        return kept

    async def _fetch_into_cache(self, cache: MediaCache, uuid: str, size_bytes: int, progress: Progress | None) -> Path:
        partial = await cache.create_partial()
        try:
            digest = await self._fetch_into(uuid, size_bytes, partial, progress)
            return await cache.add(partial, uuid, digest)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(partial.unlink, missing_ok=True))
            raise

    async def _fetch_into(self, uuid: str, size_bytes: int, path: Path, progress: Progress | None) -> str:
        file = await _opened(path)
        writing: asyncio.Future[int] | None = None

        async def write(chunk: bytes) -> None:
            """One write behind: the next chunk comes in meanwhile."""
            nonlocal writing
            if writing is not None:
                await writing
            writing = asyncio.ensure_future(asyncio.to_thread(file.write, chunk))

        try:
            digest = await self._fetch(uuid, size_bytes, write, progress)
            if writing is not None:
                await writing
            return digest
        finally:
            await asyncio.shield(_closed(file, writing))

    async def _fetch(
        self, uuid: str, size_bytes: int, take: Callable[[bytes], Awaitable[None]], progress: Progress | None
    ) -> str:
        """Give the bytes to `take`, going on after a cut where it stopped; their SHA-256, which was checked."""
        done, tag, failures, hashed = 0, "", 0, hashlib.sha256()
        async with self._slots:
            while True:
                at_first = done
                try:
                    async with aclosing(self._api.stream_content(uuid, done, tag)) as stream:
                        async for told, total, chunk in stream:
                            tag = told
                            await take(chunk)
                            hashed.update(chunk)
                            done += len(chunk)
                            if progress is not None:
                                progress(done, total)
                    break
                except NetworkError as exc:
                    failures = 1 if done > at_first else failures + 1
                    if failures >= MAX_TRIES:
                        raise
                    log.info("a download was cut and goes on: %s", exc)
                    await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))
        if size_bytes and done != size_bytes:
            raise DownloadFailed(f"{done} bytes came of {size_bytes}")
        if hashed.hexdigest() != tag:
            raise DownloadFailed("the bytes that came are not those that were sent")
        return tag


def _parse_reply(reply: httpx2.Response) -> UploadReply:
    """What the server says of an upload. Raises what it refuses."""
    if reply.status_code >= 500:
        raise UploadFailed(f"the server failed: HTTP {reply.status_code}")
    try:
        return decode_reply(UploadReply, reply.content)
    except RateLimited as exc:
        raise MediaServerBusy(exc.info, retry_after=exc.retry_after) from exc
    except ProtocolError as exc:
        raise UploadFailed(f"the server's answer is not understood: HTTP {reply.status_code}") from exc


def _count_failure(offset: int, best: int, failures: int) -> tuple[int, int]:
    """The best offset so far, and the failures in a row: none after progress."""
    if offset > best:
        return offset, 0
    if failures + 1 >= MAX_TRIES:
        raise ConnectionFailed(f"the upload does not get past {max(offset, best)} bytes")
    return best, failures + 1


_random = random.Random()


async def _opened(path: Path) -> BinaryIO:
    """The file, open for writing. Who is cancelled meanwhile leaves none open."""
    opening = asyncio.create_task(asyncio.to_thread(_open, path))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unwanted)
        raise


def _open(path: Path) -> BinaryIO:
    return path.open("wb")


def _close_unwanted(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


async def _closed(file: BinaryIO, writing: asyncio.Future[int] | None) -> None:
    """Close it, behind what is being written."""
    if writing is not None:
        await asyncio.gather(writing, return_exceptions=True)
    await asyncio.to_thread(file.close)
