"""Media endpoint: resumable uploads, downloads and signed URLs of media content. See docs/explanation/media.md.

A request is refused before its body is read, if its headers are enough to refuse it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ...errors import (
    AuthError,
    EmptyFile,
    InvalidArgument,
    MediaGone,
    ProtocolError,
    RateLimited,
    StorageError,
    TimimError,
    TooLarge,
    UploadFailed,
)
from ...protocol.codec import Reply, decode, encode
from ...protocol.media import BeginUpload, SignedUrlReply, UploadReply
from ..content.downloads import Downloads
from ..content.uploads import OffsetMismatch, UploadProgress, Uploads
from ..handlers.registry import error_reply
from ..sessions.auth import Auth
from .new_connections import subnet_of
from .peer_transport import PeerTransport

BODY_LIMIT_BYTES = 4096  # of a request to begin an upload
BEGIN_S = 8.0  # for the whole body of such a request
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})\Z")
_STATUS: tuple[tuple[type[TimimError], int], ...] = (
    (OffsetMismatch, 409),
    (TooLarge, 413),
    (EmptyFile, 400),
    (AuthError, 401),
    (MediaGone, 404),
    (UploadFailed, 422),
    (RateLimited, 429),
    (InvalidArgument, 400),
    (ProtocolError, 400),
    (StorageError, 503),
)
Endpoint = Callable[[Request], Awaitable[Response]]


class MediaEndpoint:
    """The routes of media content: uploads, downloads and signed URLs."""

    def __init__(self, downloads: Downloads, uploads: Uploads, auth: Auth) -> None:
        self._downloads = downloads
        self._uploads = uploads
        self._auth = auth

    def routes(self) -> list[Route]:
        """Return the routes of the endpoint."""
        return [
            Route("/media", _with_errors(self._begin), methods=["POST"]),
            Route("/media/uploads/{upload}", _with_errors(self._receive), methods=["PUT"]),
            Route("/media/uploads/{upload}", _with_errors(self._drop), methods=["DELETE"]),
            Route("/media/web/{uuid}", _with_errors(self._take), methods=["PUT"]),
            Route("/media/web/{uuid}", _with_errors(self._allow), methods=["OPTIONS"]),
            Route("/media/{uuid}", _with_errors(self._download), methods=["GET"]),
            Route("/media/{uuid}", _with_errors(self._allow), methods=["OPTIONS"]),
            Route("/media/{uuid}/url", _with_errors(self._sign), methods=["GET"]),
        ]

    async def _caller(self, request: Request) -> str:
        user = await self._auth.user_of(request.headers.get("authorization", "").removeprefix("Bearer "))
        if user is None:
            raise AuthError("the Authorization header has no valid token; send the A2Key of a login", code=70003)
        return user

    def _progress(self, progress: UploadProgress) -> Response:
        reply = UploadReply(offset=progress.offset)
        if progress.blob is not None:
            reply.uuid, reply.url, reply.size = progress.blob.uuid, self._downloads.url(progress.blob.uuid), progress.blob.size
        return _json(reply)

    async def _begin(self, request: Request) -> Response:
        user = await self._caller(request)
        body = bytearray()
        async with asyncio.timeout(BEGIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise TooLarge(f"the body is over {BODY_LIMIT_BYTES} bytes; send content with PUT to the upload")
        return self._progress(await self._uploads.begin(user, decode(BeginUpload, bytes(body))))

    async def _receive(self, request: Request) -> Response:
        user = await self._caller(request)
        offset = request.query_params.get("offset", "")
        if not (offset.isascii() and offset.isdecimal() and len(offset) < 16):
            raise InvalidArgument("offset must be a number of bytes, with at most 15 digits")
        upload, address = request.path_params["upload"], _address(request)
        return self._progress(await self._uploads.receive(user, upload, int(offset), request.stream(), address=address))

    async def _drop(self, request: Request) -> Response:
        await self._uploads.drop(await self._caller(request), request.path_params["upload"])
        return _json(Reply())

    async def _download(self, request: Request) -> Response:
        uuid, query = request.path_params["uuid"], request.query_params
        if "sign" in query:
            user = self._downloads.user_of(uuid, query.get("user", ""), query.get("expires", ""), query["sign"])
        else:
            user = await self._caller(request)
        blob = await self._downloads.find(uuid, user)
        headers = {
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, immutable",
            "Content-Disposition": "attachment",
            "ETag": f'"{blob.hash}"',
            "X-Content-Type-Options": "nosniff",
        }
        span = _range(request.headers.get("range", ""), blob.size)
        if span is None:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{blob.size}"})
        first, end = span
        headers["Content-Length"] = str(end - first)
        if (first, end) != (0, blob.size):
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{blob.size}"
        status = 206 if "Content-Range" in headers else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type="application/octet-stream")
        peer: PeerTransport = request.scope["state"]["peer"]
        peer.bytes.trust()  # which waits for the peer in chunks, and cuts a peer that reads below the least rate
        return _ContentResponse(self._downloads.read(blob, first, end), status_code=status, headers=headers)

    async def _sign(self, request: Request) -> Response:
        user, uuid = await self._caller(request), request.path_params["uuid"]
        await self._downloads.find(uuid, user)
        return _json(SignedUrlReply(url=self._downloads.signed_url(uuid, user), expires_in=self._downloads.url_s))

    async def _take(self, request: Request) -> Response:
        uuid, query = request.path_params["uuid"], request.query_params
        kind = query.get("kind", "")
        user = self._downloads.user_of(
            uuid, query.get("user", ""), query.get("expires", ""), query.get("sign", ""), kind or "none"
        )
        length = request.headers.get("content-length", "")
        size = int(length) if length.isdecimal() else 0
        blob = await self._uploads.receive_whole(user, uuid, kind, size, request.stream(), address=_address(request))
        return _json(UploadReply(offset=blob.size, uuid=blob.uuid, url=self._downloads.url(blob.uuid), size=blob.size))

    async def _allow(self, request: Request) -> Response:
        """Allow a page of another origin to make requests, which is safe because cookies give no access here."""
        return Response(status_code=204, headers={"Access-Control-Allow-Methods": "GET, PUT", "Access-Control-Max-Age": "600"})


class _ContentResponse(StreamingResponse):
    """A response that ends early when the content cannot be read."""

    media_type = "application/octet-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except (TimimError, ClientDisconnect):
            return  # the body is shorter than its Content-Length, so the client requests the rest


def _with_errors(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            reply = await endpoint(request)
        except TimimError as exc:
            reply = _error_response(exc)
        except (ClientDisconnect, TimeoutError):
            reply = Response(status_code=408, headers={"Connection": "close"})
        reply.headers["Access-Control-Allow-Origin"] = "*"
        if request.method == "OPTIONS":
            reply.headers["Access-Control-Allow-Headers"] = "*"
        return reply

    return answer


def _error_response(exc: TimimError) -> Response:
    status = next((number for kind, number in _STATUS if isinstance(exc, kind)), 500)
    reply = error_reply(exc)
    if isinstance(exc, OffsetMismatch):
        fields = msgspec.structs.asdict(reply)
        return _json(UploadReply(offset=exc.offset, **fields), status)
    return _json(reply, status)


def _address(request: Request) -> str:
    """Return the address that an upload counts for: that of the client, or its /64 for IPv6."""
    peer: PeerTransport = request.scope["state"]["peer"]
    return subnet_of(peer.host) if ":" in peer.host else peer.host


def _json(reply: Reply, status: int = 200) -> Response:
    return Response(encode(reply), status_code=status, media_type="application/json")


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Return the start and end of the requested range, or None if no byte of the content is in it.

    Several ranges, an invalid range or none give the whole content, as RFC 9110 allows.
    """
    match = _RANGE.match(header)
    if match is None or match.group() == "bytes=-":
        return 0, size
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    end = min(size, int(last) + 1) if last else size
    return (int(first), end) if int(first) < end else None
