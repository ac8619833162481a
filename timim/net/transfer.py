"""Content up and down over HTTP, streamed, in constant memory; a cut transfer goes on where it stopped.

Both directions end with the content's SHA-256: bytes that are not those which were meant are never taken for them. A failed or
cancelled download leaves no partial file. Only the server's own media address is asked: a peer's message cannot make this
client fetch from anywhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import re
import secrets
import shutil
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
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
    RequestTimeout,
    StorageError,
    TimimError,
    TooLarge,
    UploadFailed,
)
from ..wire.backoff import Backoff
from ..wire.codec import Reply, decode, decode_reply, encode
from ..wire.media import UUID, BeginUpload, SignedUrlReply, UploadReply, uuid_in
from .cache import MediaCache
from .sources import CHUNK_BYTES, chunks_of, digest_of, name_of, size_of

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("timim")
Kind = Literal["image", "sound", "file", "video"]
LIMIT_BYTES: dict[Kind, int] = {  # TIM's: 28 MB for what is shown at once, 100 MB for files
    "image": 28 * 1024 * 1024,
    "sound": 28 * 1024 * 1024,
    "file": 100 * 1024 * 1024,
    "video": 100 * 1024 * 1024,
}
TRIES = 5  # in a row without a byte of progress; then the caller hears of it
SETTLE_S = 60.0  # what the server may take to check 100 MB and to have them on disk
DROP_S = 2.0
_SPAN = re.compile(r"bytes (\d+)-\d+/(\d+)\Z")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Where content is on the server."""

    uuid: str
    url: str
    size_bytes: int


class _Busy(NetworkError):
    """The server asks to come back later."""


class Transfer:
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
        self._token = token
        self._media_url = media_url
        self._limits = limits
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(concurrency)
        self._cache = cache
        self._backoff = Backoff(limit_s=5.0)
        self._http: httpx2.AsyncClient | None = None

    async def upload(self, source: Path | bytes, *, kind: Kind, name: str, progress: Progress | None = None) -> Uploaded:
        """Stream a file or bytes up; what was cut goes on where it stopped, also in a later process that says the same `name`.

        Raises FileMissing, EmptyFile, TooLarge before anything is sent; UploadFailed, and what `progress` raises: then
        nothing of it stays on the server. NetworkError, or cancelling: what the server has of it stays, to go on from.
        """
        size = await asyncio.to_thread(size_of, source)
        if size == 0:
            raise EmptyFile(f"{name_of(source)} is empty")
        limit = self._limits().get(kind, LIMIT_BYTES[kind])
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
                await asyncio.shield(self._drop(upload))
                raise
        return Uploaded(done.uuid, done.url, size)

    async def drop(self, source: Path | bytes, *, name: str) -> None:
        """Give up an upload that will not go on: the server forgets what it has of it, if it can be reached."""
        try:
            digest = await asyncio.to_thread(digest_of, source)
        except MediaError:
            return  # the server collects it by itself
        await self._drop(hashlib.sha256(f"{name}\0{digest}".encode()).hexdigest()[:32])

    async def read(self, uuid: str, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        """The bytes, fetched now, or from the cache. Raises DownloadFailed, MediaGone, NetworkError."""
        uuid = self._uuid(uuid, url)
        if (kept := await self._cached(uuid, size_bytes, progress)) is not None:
            return await asyncio.to_thread(kept.read_bytes)
        got = bytearray()

        async def take(chunk: bytes) -> None:
            got.extend(chunk)

        await self._fetch(uuid, size_bytes, take, progress)
        return bytes(got)

    async def download(self, uuid: str, url: str, size_bytes: int, path: Path, progress: Progress | None) -> Path:
        """Fetch into `path`, by way of a file beside it that goes when anything fails."""
        uuid = self._uuid(uuid, url)
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
        reply = await self._ask("GET", f"/{self._uuid(uuid, url)}/url")
        if reply.status_code in (403, 404):
            raise MediaGone("the server does not have it, or not for this account")
        return decode_reply(SignedUrlReply, reply.content).url

    async def aclose(self) -> None:
        """Close the connections, and a cache that is not to last."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()
        if self._cache is not None:
            await self._cache.close()

    async def _upload(self, asked: BeginUpload, source: Path | bytes, progress: Progress | None) -> UploadReply:
        best, failures = -1, 0
        while True:
            try:
                standing = await self._begin(asked)
                if not standing.uuid:
                    best, failures = _counted(standing.offset, best, failures)
                    standing = await self._put(asked, source, standing.offset, progress)
                if standing.uuid:
                    if progress is not None:
                        progress(asked.size, asked.size)
                    return standing
                best, failures = _counted(standing.offset, best, failures)
            except NetworkError as exc:
                failures += 1
                if failures >= TRIES:
                    raise
                log.info("an upload was cut and goes on: %s", exc)
                await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))

    async def _begin(self, asked: BeginUpload) -> UploadReply:
        return _told(await self._ask("POST", "", content=encode(asked)))

    async def _put(self, asked: BeginUpload, source: Path | bytes, offset: int, progress: Progress | None) -> UploadReply:
        headers = {"Content-Length": str(asked.size - offset)}
        async with aclosing(chunks_of(source, offset, asked.size, progress)) as body:
            try:
                reply = await self._ask(
                    "PUT", f"/uploads/{asked.upload}", params={"offset": str(offset)}, headers=headers, content=body
                )
            except ProtocolError as exc:
                raise UploadFailed(f"{name_of(source)} changed while it was sent") from exc
        if reply.status_code in (404, 409):  # it was collected, or stands elsewhere: ask again
            return UploadReply(offset=-1)
        return _told(reply)

    async def _drop(self, upload: str) -> None:
        try:
            async with asyncio.timeout(DROP_S):
                await self._ask("DELETE", f"/uploads/{upload}")
        except (TimimError, TimeoutError) as exc:
            log.info("an upload was not dropped, and the server will collect it: %s", exc)

    async def _cached(self, uuid: str, size_bytes: int, progress: Progress | None) -> Path | None:
        """Where the cache has it, fetched first if need be; None without a cache, and with one whose disk fails."""
        if self._cache is None:
            return None
        try:
            kept = await self._cache.find(uuid)
            if kept is None:
                return await self._fetch_to_keep(self._cache, uuid, size_bytes, progress)
        except (StorageError, OSError) as exc:
            log.warning("the media cache is passed by: %s", exc)
            return None
        if progress is not None:
            progress(size_bytes, size_bytes)
        return kept

    async def _fetch_to_keep(self, cache: MediaCache, uuid: str, size_bytes: int, progress: Progress | None) -> Path:
        partial = await cache.partial()
        try:
            digest = await self._fetch_into(uuid, size_bytes, partial, progress)
            return await cache.keep(partial, uuid, digest)
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
                    async with aclosing(self._get(uuid, done, tag)) as stream:
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
                    if failures >= TRIES:
                        raise
                    log.info("a download was cut and goes on: %s", exc)
                    await asyncio.sleep(exc.retry_after or self._backoff.wait_s(failures - 1, _random))
        if size_bytes and done != size_bytes:
            raise DownloadFailed(f"{done} bytes came of {size_bytes}")
        if hashed.hexdigest() != tag:
            raise DownloadFailed("the bytes that came are not those that were sent")
        return tag

    async def _get(self, uuid: str, offset: int, tag: str) -> AsyncGenerator[tuple[str, int, bytes], None]:
        """The content's hash, its size and a chunk of it, from `offset` on."""
        client = await self._client()
        import httpx2

        headers = self._headers({"Range": f"bytes={offset}-"} if offset else {})
        try:
            async with client.stream("GET", f"{self._media_url()}/{uuid}", headers=headers) as reply:
                if reply.status_code in (401, 403, 404, 410):
                    raise MediaGone(f"the server does not have it for this account: HTTP {reply.status_code}")
                if reply.status_code in (429, 503):
                    raise _Busy(f"the server is busy: HTTP {reply.status_code}")
                if reply.status_code != (206 if offset else 200):
                    raise DownloadFailed(f"the server refused the download: HTTP {reply.status_code}")
                told = reply.headers.get("etag", "").strip('"')
                if tag and told != tag:
                    raise DownloadFailed("the content changed while it was fetched")
                total = int(reply.headers.get("content-length", "0"))
                if offset:
                    span = _SPAN.match(reply.headers.get("content-range", ""))
                    if span is None or int(span[1]) != offset:
                        raise DownloadFailed("the server sent another part than was asked for")
                    total = int(span[2])
                async for chunk in reply.aiter_bytes(CHUNK_BYTES):
                    yield told, total, chunk
        except httpx2.TimeoutException as exc:
            raise RequestTimeout("the download stalled") from exc
        except httpx2.TransportError as exc:
            raise ConnectionFailed(f"the download was cut: {type(exc).__name__}") from exc

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
    ) -> httpx2.Response:
        client = await self._client()
        import httpx2

        try:
            reply = await client.request(
                method, self._media_url() + path, params=params, headers=self._headers(headers or {}), content=content
            )
        except httpx2.LocalProtocolError as exc:  # fewer bytes than were announced, or more
            raise ProtocolError(str(exc)) from exc
        except httpx2.TimeoutException as exc:
            raise RequestTimeout("the media door does not answer") from exc
        except httpx2.TransportError as exc:
            raise ConnectionFailed(f"the connection to the media door was cut: {type(exc).__name__}") from exc
        if reply.status_code in (408, 502, 503, 504):
            raise _Busy(f"the media door is not ready: {_reason(reply)}")
        return reply

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}", **more}

    def _uuid(self, uuid: str, url: str) -> str:
        """What to ask this server for. Raises DownloadFailed for content that is elsewhere."""
        name = uuid if UUID.match(uuid) else uuid_in(url, self._media_url())
        if name:
            return name
        raise DownloadFailed("the content is not on this client's server, and is not fetched from elsewhere")

    async def _client(self) -> httpx2.AsyncClient:
        """The HTTP client; loading it takes a tenth of a second, so it is loaded at the first transfer, in a thread."""
        if self._http is None:
            http = await asyncio.to_thread(_http_client, self._timeout_s)
            if self._http is None:  # nobody else made one meanwhile
                self._http = http
        return self._http


def _reason(reply: httpx2.Response) -> str:
    """Why a server, or a proxy before it, does not do it now."""
    try:
        return decode(Reply, reply.content).error_info or f"HTTP {reply.status_code}"
    except ProtocolError:
        return f"HTTP {reply.status_code}"


def _told(reply: httpx2.Response) -> UploadReply:
    """What the server says of an upload. Raises what it refuses."""
    if reply.status_code >= 500:
        raise UploadFailed(f"the server failed: HTTP {reply.status_code}")
    try:
        return decode_reply(UploadReply, reply.content)
    except RateLimited as exc:
        raise _Busy(exc.info, retry_after=exc.retry_after) from exc
    except ProtocolError as exc:
        raise UploadFailed(f"the server's answer is not understood: HTTP {reply.status_code}") from exc


def _counted(offset: int, best: int, failures: int) -> tuple[int, int]:
    """The best offset so far, and the failures in a row: none after progress."""
    if offset > best:
        return offset, 0
    if failures + 1 >= TRIES:
        raise ConnectionFailed(f"the upload does not get past {max(offset, best)} bytes")
    return best, failures + 1


def _http_client(timeout_s: float) -> httpx2.AsyncClient:
    import httpx2

    requests = logging.getLogger("httpx2")
    if requests.level == logging.NOTSET:
        requests.setLevel(logging.WARNING)  # it logs whole URLs, and these carry signatures
    timeout = httpx2.Timeout(timeout_s, read=max(timeout_s, SETTLE_S))
    trust = ssl.create_default_context()  # as the websocket's: whom messages go to, content goes to
    return httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=trust)


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
