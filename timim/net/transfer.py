"""Content up and down over HTTP, streamed. A failed or cancelled download leaves no partial file.

Only the server's own media address is asked: a peer's message cannot make this client fetch from anywhere else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..elems import Progress
from ..errors import (
    ConnectionFailed,
    DownloadFailed,
    EmptyFile,
    FileMissing,
    MediaError,
    MediaGone,
    RequestTimeout,
    TooLarge,
    UploadFailed,
)

if TYPE_CHECKING:
    import httpx2

Kind = Literal["image", "sound", "file", "video"]
LIMIT_BYTES: dict[Kind, int] = {  # TIM's: 28 MB for what is shown at once, 100 MB for files
    "image": 28 * 1024 * 1024,
    "sound": 28 * 1024 * 1024,
    "file": 100 * 1024 * 1024,
    "video": 100 * 1024 * 1024,
}
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Where content is on the server."""

    uuid: str
    url: str
    size_bytes: int


class Transfer:
    """`token` and `media_url` are the session's; at most `concurrency` transfers run at once."""

    def __init__(
        self, *, token: Callable[[], str], media_url: Callable[[], str], timeout_s: float, concurrency: int = 4
    ) -> None:
        self._token = token
        self._media_url = media_url
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(concurrency)
        self._http: httpx2.AsyncClient | None = None

    async def upload(self, source: Path | bytes, *, kind: Kind, progress: Progress | None = None) -> Uploaded:
        """Stream a file or bytes up. Raises FileMissing, EmptyFile, TooLarge before anything is sent; UploadFailed."""
        size = await asyncio.to_thread(_size_of, source)
        if size == 0:
            raise EmptyFile(f"{_name(source)} is empty")
        if size > LIMIT_BYTES[kind]:
            raise TooLarge(f"{_name(source)} is {size} bytes, the limit for {kind} is {LIMIT_BYTES[kind]}")
        client = await self._client()
        import httpx2

        headers = {"Authorization": f"Bearer {self._token()}", "Content-Length": str(size)}
        async with self._slots:
            try:
                reply = await client.post(
                    self._media_url(), params={"kind": kind}, headers=headers, content=_chunks(source, size, progress)
                )
            except httpx2.TimeoutException as exc:
                raise RequestTimeout("the upload stalled") from exc
            except httpx2.TransportError as exc:
                raise ConnectionFailed(f"the upload was cut: {type(exc).__name__}") from exc
        if reply.status_code == 413:
            raise TooLarge(f"the server takes no {kind} of {size} bytes")
        if reply.status_code != 200:
            raise UploadFailed(f"the server refused the upload: HTTP {reply.status_code}")
        told = reply.json()
        if told.get("Size") != size:
            raise UploadFailed(f"the server stored {told.get('Size')} of {size} bytes")
        return Uploaded(told["UUID"], told["Url"], size)

    async def read(self, url: str, size_bytes: int, progress: Progress | None) -> bytes:
        """The bytes at `url`, fetched now. Raises DownloadFailed, MediaGone, NetworkError."""
        return b"".join([chunk async for chunk in self._download(url, size_bytes, progress)])

    async def download(self, url: str, size_bytes: int, path: Path, progress: Progress | None) -> Path:
        """Fetch into `path`, by way of a file beside it that goes when anything fails."""
        try:
            descriptor, name = await asyncio.to_thread(tempfile.mkstemp, dir=path.parent, prefix=".timim-")
        except OSError as exc:
            raise MediaError(f"cannot write to {path.parent}: {exc.strerror}") from exc
        try:
            file = os.fdopen(descriptor, "wb")
            try:
                async for chunk in self._download(url, size_bytes, progress):
                    await asyncio.to_thread(file.write, chunk)
            finally:
                await asyncio.shield(asyncio.to_thread(file.close))
            await asyncio.to_thread(os.replace, name, path)
        except BaseException as exc:
            await asyncio.shield(asyncio.to_thread(Path(name).unlink, missing_ok=True))
            if isinstance(exc, OSError):
                raise MediaError(f"cannot write {path}: {exc.strerror}") from exc
            raise
        return path

    async def aclose(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _download(self, url: str, size_bytes: int, progress: Progress | None) -> AsyncIterator[bytes]:
        if not url.startswith(self._media_url() + "/"):
            raise DownloadFailed("the content is not on this client's server, and is not fetched from elsewhere")
        client = await self._client()
        import httpx2

        done = 0
        async with self._slots:
            try:
                async with client.stream("GET", url) as reply:
                    if reply.status_code in (403, 404, 410):
                        raise MediaGone(f"the server does not have it: HTTP {reply.status_code}")
                    if reply.status_code != 200:
                        raise DownloadFailed(f"the server refused the download: HTTP {reply.status_code}")
                    async for chunk in reply.aiter_bytes(CHUNK_BYTES):
                        done += len(chunk)
                        yield chunk
                        if progress is not None:
                            progress(done, size_bytes)
            except httpx2.TimeoutException as exc:
                raise RequestTimeout("the download stalled") from exc
            except httpx2.TransportError as exc:
                raise DownloadFailed(f"the download was cut after {done} bytes: {type(exc).__name__}") from exc
        if size_bytes and done != size_bytes:
            raise DownloadFailed(f"{done} bytes came of {size_bytes}")

    async def _client(self) -> httpx2.AsyncClient:
        """The HTTP client; loading it takes a tenth of a second, so it is loaded at the first transfer, in a thread."""
        if self._http is None:
            http = await asyncio.to_thread(_http_client, self._timeout_s)
            if self._http is None:  # nobody else made one meanwhile
                self._http = http
        return self._http


def _http_client(timeout_s: float) -> httpx2.AsyncClient:
    import httpx2

    requests = logging.getLogger("httpx2")
    if requests.level == logging.NOTSET:
        requests.setLevel(logging.WARNING)  # it logs whole URLs, and these carry signatures
    return httpx2.AsyncClient(timeout=timeout_s, trust_env=False)


def _size_of(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        if not source.is_file():
            raise FileMissing(f"there is no file {source}")
        return source.stat().st_size
    except OSError as exc:
        raise MediaError(f"cannot read {source}: {exc.strerror}") from exc


def _name(source: Path | bytes) -> str:
    return "the content" if isinstance(source, bytes) else str(source)


async def _chunks(source: Path | bytes, size: int, progress: Progress | None) -> AsyncIterator[bytes]:
    done = 0
    if isinstance(source, bytes):
        for at in range(0, size, CHUNK_BYTES):
            chunk = source[at : at + CHUNK_BYTES]
            yield chunk
            done += len(chunk)
            if progress is not None:
                progress(done, size)
        return
    file = await asyncio.to_thread(source.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if progress is not None:
                progress(done, size)
    finally:
        await asyncio.shield(asyncio.to_thread(file.close))
