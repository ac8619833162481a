"""The server's media API over HTTP.

Only the server's own media address is requested: a peer's message cannot make this client fetch from anywhere else.
The HTTP library's exceptions are translated here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from ..errors import ConnectionFailed, DownloadFailed, MediaGone, NetworkError, ProtocolError, RequestTimeout
from ..protocol.codec import Reply, decode
from ..protocol.media import UUID, uuid_from_url
from .server_info import ServerInfo

if TYPE_CHECKING:
    import httpx2

PROCESSING_TIMEOUT_S = 60.0  # the server may take this long to check 100 MB and to write them to its disk
_SPAN = re.compile(r"bytes (\d+)-\d+/(\d+)\Z")


class MediaServerBusy(NetworkError):
    """The server asks to come back later."""


class MediaApi:
    """HTTP requests to the media API of the server that this client is logged in to."""

    def __init__(self, server: ServerInfo, *, timeout_s: float) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._http: httpx2.AsyncClient | None = None

    def resolve_uuid(self, uuid: str, url: str) -> str:
        """Return the name under which this server has the content. Raises DownloadFailed for content that is elsewhere."""
        name = uuid if UUID.match(uuid) else uuid_from_url(url, self._server.media_url)
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
        """Send one request.

        Raises NetworkError, also when the server is not ready, and ProtocolError for content of another length than announced.
        """
        client = await self._client()
        import httpx2

        try:
            reply = await client.request(
                method, self._server.media_url + path, params=params, headers=self._headers(headers or {}), content=content
            )
        except httpx2.LocalProtocolError as exc:  # fewer bytes than were announced, or more
            raise ProtocolError(str(exc)) from exc
        except httpx2.TimeoutException as exc:
            raise RequestTimeout("the media server did not respond") from exc
        except httpx2.TransportError as exc:
            raise ConnectionFailed(f"the connection to the media server was cut: {type(exc).__name__}") from exc
        if reply.status_code in (408, 502, 503, 504):
            raise MediaServerBusy(f"the media server is not ready: {_error_text(reply)}")
        return reply

    async def stream_content(self, uuid: str, offset: int, tag: str) -> AsyncGenerator[tuple[str, int, bytes], None]:
        """Yield the content from `offset` on: its hash, its size in bytes, and a chunk.

        Raises NetworkError, MediaGone, DownloadFailed.
        `tag` is the hash that an earlier part came with; "" for none.
        """
        client = await self._client()
        import httpx2

        headers = self._headers({"Range": f"bytes={offset}-"} if offset else {})
        try:
            async with client.stream("GET", f"{self._server.media_url}/{uuid}", headers=headers) as reply:
                if reply.status_code in (401, 403, 404, 410):
                    raise MediaGone(f"the server does not have it for this account: HTTP {reply.status_code}")
                if reply.status_code in (429, 503):
                    raise MediaServerBusy(f"the server is busy: HTTP {reply.status_code}")
                if reply.status_code != (206 if offset else 200):
                    raise DownloadFailed(f"the server refused the download: HTTP {reply.status_code}")
                etag = reply.headers.get("etag", "").strip('"')
                if tag and etag != tag:
                    raise DownloadFailed("the content changed while it was fetched")
                total = int(reply.headers.get("content-length", "0"))
                if offset:
                    span = _SPAN.match(reply.headers.get("content-range", ""))
                    if span is None or int(span[1]) != offset:
                        raise DownloadFailed("the server sent another part than was asked for")
                    total = int(span[2])
                async for chunk in reply.aiter_bytes():
                    yield etag, total, chunk
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
        return {"Authorization": f"Bearer {self._server.token}", **more}

    async def _client(self) -> httpx2.AsyncClient:
        """Return the HTTP client. Loading it takes a tenth of a second, so a thread does that at the first transfer."""
        if self._http is None:
            http = await asyncio.to_thread(_http_client, self._timeout_s)
            if self._http is None:  # no other transfer made one meanwhile
                self._http = http
        return self._http


def _error_text(reply: httpx2.Response) -> str:
    """Return the reason that a server, or a proxy before it, gives for a refusal."""
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
    trust = ssl.create_default_context()  # the same servers are trusted as by the websocket
    return httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=trust)
