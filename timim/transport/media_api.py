"""The server's media API over HTTP.

Requests go only to the server's own media URL, so that a received message cannot make the client fetch from other hosts.
The HTTP library's exceptions are converted to those of `timim.errors`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConnectionFailed, DownloadFailed, MediaGone, NetworkError, ProtocolError, RequestTimeout
from ..protocol.codec import Reply, decode
from ..protocol.media import UUID, uuid_from_url
from ..util.shown_text import shown_text
from .network import DIRECT, NetworkOptions, shown_address, tls_cause, tls_reason
from .server_info import ServerInfo

if TYPE_CHECKING:
    import httpx2

PROCESSING_TIMEOUT_S = 60.0  # time for the server to check 100 MB and write them to disk
REPLY_LIMIT_BYTES = 64 * 1024  # of a reply that is no content; those of a server have less than 1 kB
_SPAN = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})\Z")


class MediaReply(NamedTuple):
    """The status of a response, and its whole body."""

    status_code: int
    content: bytes


class MediaServerBusy(NetworkError):
    """The media server cannot handle the request at this moment; retry later."""


class MediaApi:
    """Client of the media API of the server to which this device is logged in."""

    def __init__(self, server: ServerInfo, *, timeout_s: float, network: NetworkOptions = DIRECT) -> None:
        self._server = server
        self._network = network
        self._timeout_s = timeout_s
        self._http: httpx2.AsyncClient | None = None

    def resolve_uuid(self, uuid: str, url: str) -> str:
        """Return the uuid of content on this server. Raises DownloadFailed for content of another server."""
        name = uuid if UUID.match(uuid) else uuid_from_url(url, self._server.media_url)
        if name:
            return name
        raise DownloadFailed("the content is not on this client's server; content of other hosts is never fetched")

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
    ) -> MediaReply:
        """Send one request and return the response, which may be a refusal.

        Raises:
            NetworkError: The server cannot be reached, is not ready, or sends more than REPLY_LIMIT_BYTES.
        """
        client = await self._client()
        import httpx2

        try:
            async with client.stream(
                method, self._server.media_url + path, params=params, headers=self._headers(headers or {}), content=content
            ) as response:
                reply = MediaReply(response.status_code, await _whole_body(response))
        except httpx2.TimeoutException as exc:
            raise RequestTimeout("the media server did not respond") from exc
        except httpx2.TransportError as exc:
            raise ConnectionFailed(self._reason(exc)) from exc
        if reply.status_code in (408, 502, 503, 504):
            raise MediaServerBusy(f"the media server is not ready: {_error_text(reply)}")
        return reply

    async def stream_content(self, uuid: str, offset: int, tag: str) -> AsyncGenerator[tuple[str, int, bytes], None]:
        """Yield chunks of the content from `offset` on, each with the SHA-256 and the size of the whole content.

        Args:
            uuid: The content.
            offset: The first byte to fetch.
            tag: The SHA-256 that an earlier part had; "" for the first part.

        Raises:
            NetworkError: The download was interrupted; call again with the new offset.
            MediaGone: The server does not have the content, or this account may not read it.
            DownloadFailed: The server refused the download, or the content has changed.
        """
        client = await self._client()
        import httpx2

        headers = self._headers({"Range": f"bytes={offset}-"} if offset else {})
        try:
            async with client.stream("GET", f"{self._server.media_url}/{uuid}", headers=headers) as reply:
                if reply.status_code in (401, 403, 404, 410):
                    raise MediaGone(f"the content does not exist or is not for this account: HTTP {reply.status_code}")
                if reply.status_code in (429, 503):
                    raise MediaServerBusy(f"the media server is busy: HTTP {reply.status_code}")
                if reply.status_code != (206 if offset else 200):
                    raise DownloadFailed(f"the server refused the download: HTTP {reply.status_code}")
                etag = reply.headers.get("etag", "").strip('"')
                if tag and etag != tag:
                    raise DownloadFailed("the content changed during the download")
                total = int(reply.headers.get("content-length", "0"))
                if offset:
                    span = _SPAN.match(reply.headers.get("content-range", ""))
                    if span is None or int(span[1]) != offset:
                        raise DownloadFailed("the server sent another range than requested")
                    total = int(span[2])
                if (coding := reply.headers.get("content-encoding", "identity")) != "identity":
                    raise DownloadFailed(f"the server sent the content as {shown_text(coding)}, which was not requested")
                async for chunk in reply.aiter_raw():
                    yield etag, total, chunk
        except httpx2.TimeoutException as exc:
            raise RequestTimeout("the download stalled") from exc
        except httpx2.TransportError as exc:
            raise ConnectionFailed(self._reason(exc)) from exc

    async def aclose(self) -> None:
        """Close the connections; the next request opens new ones."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def _reason(self, exc: httpx2.TransportError) -> str:
        import httpx2

        if isinstance(exc, httpx2.ConnectError):
            reason = tls_cause(exc)
            where = f"cannot connect to the media server at {shown_address(self._server.media_url)}"
            return where if reason is None else f"{where}: {tls_reason(reason)}"
        if isinstance(exc, httpx2.ProxyError):
            return "the proxy failed to connect to the media server"
        return "the connection to the media server was lost"

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        # never compressed: a small answer could become gigabytes
        return {"Authorization": f"Bearer {self._server.token}", "Accept-Encoding": "identity", **more}

    async def _client(self) -> httpx2.AsyncClient:
        """Return the HTTP client, created in a thread at the first transfer because the import takes 100 ms."""
        if self._http is None:
            proxy = self._network.proxy_for(self._server.media_url)
            http = await asyncio.to_thread(_http_client, self._timeout_s, proxy, self._network.tls)
            if self._http is None:  # no concurrent transfer has created one
                self._http = http
        return self._http


async def _whole_body(response: httpx2.Response) -> bytes:
    """Read a response as it is on the wire.

    Raises:
        ProtocolError: It is longer than REPLY_LIMIT_BYTES.
    """
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > REPLY_LIMIT_BYTES:
            raise ProtocolError(f"the media server sent a reply of more than {REPLY_LIMIT_BYTES} bytes")
    return body


def _error_text(reply: MediaReply) -> str:
    """Return the reason for a refusal, in the server's words or as the HTTP status."""
    try:
        return shown_text(decode(Reply, reply.content).error_info) or f"HTTP {reply.status_code}"
    except ProtocolError:
        return f"HTTP {reply.status_code}"


def _http_client(timeout_s: float, proxy: str | None, tls: ssl.SSLContext | None) -> httpx2.AsyncClient:
    import httpx2

    requests = logging.getLogger("httpx2")
    if requests.level == logging.NOTSET:
        requests.setLevel(logging.WARNING)  # the library logs whole URLs, which contain signatures
    trust = _trust(ssl.get_default_verify_paths())
    timeout = httpx2.Timeout(timeout_s, read=max(timeout_s, PROCESSING_TIMEOUT_S))
    return httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=tls or trust, proxy=proxy)


@cache
def _trust(paths: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Return a context that trusts the authorities at the system's paths, as the websocket does; reading them takes 20 ms."""
    return ssl.create_default_context()
