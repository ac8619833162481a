"""The server's media door over HTTP. Whatever the HTTP library raises leaves here as an error of timim's.

Only the server's own media address is asked: a peer's message cannot make this client fetch from anywhere else.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING

from ..errors import ConnectionFailed, DownloadFailed, MediaGone, NetworkError, ProtocolError, RequestTimeout
from ..protocol.codec import Reply, decode
from ..protocol.media import UUID, uuid_from_url
from .upload_source import CHUNK_BYTES

if TYPE_CHECKING:
    import httpx2

PROCESSING_TIMEOUT_S = 60.0  # what the server may take to check 100 MB and to have them on disk
_SPAN = re.compile(r"bytes (\d+)-\d+/(\d+)\Z")


class MediaServerBusy(NetworkError):
    """The server asks to come back later."""


class MediaApi:
    """`token` and `media_url` are what the server told at login."""

    def __init__(self, *, token: Callable[[], str], media_url: Callable[[], str], timeout_s: float) -> None:
        self._token = token
        self._media_url = media_url
        self._timeout_s = timeout_s
        self._http: httpx2.AsyncClient | None = None

    def resolve_uuid(self, uuid: str, url: str) -> str:
        """What to ask this server for. Raises DownloadFailed for content that is elsewhere."""
        name = uuid if UUID.match(uuid) else uuid_from_url(url, self._media_url())
        if name:
            return name
        raise DownloadFailed("the content is not on this client's server, and is not fetched from elsewhere")

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
    ) -> httpx2.Response:
        """One request. Raises NetworkError, also when the server is not ready; ProtocolError for content of another length."""
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
            raise MediaServerBusy(f"the media door is not ready: {_error_text(reply)}")
        return reply

    async def stream_content(self, uuid: str, offset: int, tag: str) -> AsyncGenerator[tuple[str, int, bytes], None]:
        """The content's hash, its size and a chunk of it, from `offset` on. Raises NetworkError, MediaGone, DownloadFailed.

        `tag`: the hash that an earlier part came with; "" for none.
        """
        client = await self._client()
        import httpx2

        headers = self._headers({"Range": f"bytes={offset}-"} if offset else {})
        try:
            async with client.stream("GET", f"{self._media_url()}/{uuid}", headers=headers) as reply:
                if reply.status_code in (401, 403, 404, 410):
                    raise MediaGone(f"the server does not have it for this account: HTTP {reply.status_code}")
                if reply.status_code in (429, 503):
                    raise MediaServerBusy(f"the server is busy: HTTP {reply.status_code}")
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

    async def aclose(self) -> None:
        """Close the connections; the next request opens others."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}", **more}

    async def _client(self) -> httpx2.AsyncClient:
        """The HTTP client; loading it takes a tenth of a second, so it is loaded at the first transfer, in a thread."""
        if self._http is None:
            http = await asyncio.to_thread(_http_client, self._timeout_s)
            if self._http is None:  # nobody else made one meanwhile
                self._http = http
        return self._http


def _error_text(reply: httpx2.Response) -> str:
    """Why a server, or a proxy before it, does not do it now."""
    try:
        return decode(Reply, reply.content).error_info or f"HTTP {reply.status_code}"
    except ProtocolError:
        return f"HTTP {reply.status_code}"


def _http_client(timeout_s: float) -> httpx2.AsyncClient:
    import httpx2

    requests = logging.getLogger("httpx2")
    if requests.level == logging.NOTSET:
        requests.setLevel(logging.WARNING)  # it logs whole URLs, and these carry signatures
    timeout = httpx2.Timeout(timeout_s, read=max(timeout_s, PROCESSING_TIMEOUT_S))
    trust = ssl.create_default_context()  # as the websocket's: whom messages go to, content goes to
    return httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=trust)
