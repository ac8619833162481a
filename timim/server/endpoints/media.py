"""The media door: content up in pieces for who is logged in, down for who may read it. See docs/media.md.

What can be refused by what a request says is refused before its body is read.
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
from ..content.downloads import Media
from ..content.uploads import STALL_S, Elsewhere, Standing, Uploads
from ..handlers.registry import refusal

BODY_LIMIT_BYTES = 4096  # of a request to begin an upload
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})\Z")
_STATUS: tuple[tuple[type[TimimError], int], ...] = (
    (Elsewhere, 409),
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


def media_routes(media: Media, uploads: Uploads, *, user_of: Callable[[str], str | None]) -> list[Route]:
    """The door's routes. `user_of`: whose session token this is."""

    def caller(request: Request) -> str:
        user = user_of(request.headers.get("authorization", "").removeprefix("Bearer "))
        if user is None:
            raise AuthError("log in first", code=70003)
        return user

    def standing(told: Standing) -> Response:
        reply = UploadReply(offset=told.offset)
        if told.blob is not None:
            reply.uuid, reply.url, reply.size = told.blob.uuid, media.url(told.blob.uuid), told.blob.size
        return _json(reply)

    async def begin(request: Request) -> Response:
        user = caller(request)
        body = bytearray()
        async with asyncio.timeout(STALL_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise TooLarge(f"the body is over {BODY_LIMIT_BYTES} bytes: content goes to the upload itself")
        return standing(await uploads.begin(user, decode(BeginUpload, bytes(body))))

    async def receive(request: Request) -> Response:
        user = caller(request)
        offset = request.query_params.get("offset", "")
        if not (offset.isascii() and offset.isdecimal() and len(offset) < 16):
            raise InvalidArgument("offset must be a number of bytes")
        return standing(await uploads.receive(user, request.path_params["upload"], int(offset), request.stream()))

    async def drop(request: Request) -> Response:
        await uploads.drop(caller(request), request.path_params["upload"])
        return _json(Reply())

    async def download(request: Request) -> Response:
        uuid, query = request.path_params["uuid"], request.query_params
        if "sign" in query:
            user = media.user_of(uuid, query.get("user", ""), query.get("expires", ""), query["sign"])
        else:
            user = caller(request)
        blob = await media.find(uuid, user)
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
        return _Sending(media.read(blob, first, end), status_code=status, headers=headers)

    async def sign(request: Request) -> Response:
        user, uuid = caller(request), request.path_params["uuid"]
        await media.find(uuid, user)
        return _json(SignedUrlReply(url=media.signed_url(uuid, user), expires_in=media.url_s))

    async def take(request: Request) -> Response:
        uuid, query = request.path_params["uuid"], request.query_params
        kind = query.get("kind", "")
        user = media.user_of(uuid, query.get("user", ""), query.get("expires", ""), query.get("sign", ""), kind or "none")
        length = request.headers.get("content-length", "")
        blob = await uploads.take(user, uuid, kind, int(length) if length.isdecimal() else 0, request.stream())
        return _json(UploadReply(offset=blob.size, uuid=blob.uuid, url=media.url(blob.uuid), size=blob.size))

    async def allow(request: Request) -> Response:
        """What a browser asks before it puts or gets something from a page of another origin. No cookie opens anything here."""
        return Response(status_code=204, headers={"Access-Control-Allow-Methods": "GET, PUT", "Access-Control-Max-Age": "600"})

    return [
        Route("/media", _guarded(begin), methods=["POST"]),
        Route("/media/uploads/{upload}", _guarded(receive), methods=["PUT"]),
        Route("/media/uploads/{upload}", _guarded(drop), methods=["DELETE"]),
        Route("/media/web/{uuid}", _guarded(take), methods=["PUT"]),
        Route("/media/web/{uuid}", _guarded(allow), methods=["OPTIONS"]),
        Route("/media/{uuid}", _guarded(download), methods=["GET"]),
        Route("/media/{uuid}", _guarded(allow), methods=["OPTIONS"]),
        Route("/media/{uuid}/url", _guarded(sign), methods=["GET"]),
    ]


class _Sending(StreamingResponse):
    """A body that is given up when its reader takes nothing for STALL_S."""

    media_type = "application/octet-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: object) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)  # type: ignore[arg-type]

        try:
            await super().__call__(scope, receive, in_time)
        except (TimeoutError, TimimError, ClientDisconnect):
            return  # the connection ends short of its Content-Length: the reader asks for the rest


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            reply = await endpoint(request)
        except TimimError as exc:
            reply = _refused(exc)
        except (ClientDisconnect, TimeoutError):
            reply = Response(status_code=408, headers={"Connection": "close"})
        reply.headers["Access-Control-Allow-Origin"] = "*"
        if request.method == "OPTIONS":
            reply.headers["Access-Control-Allow-Headers"] = "*"
        return reply

    return answer


def _refused(exc: TimimError) -> Response:
    status = next((number for kind, number in _STATUS if isinstance(exc, kind)), 500)
    reply = refusal(exc)
    if isinstance(exc, Elsewhere):
        fields = msgspec.structs.asdict(reply)
        return _json(UploadReply(offset=exc.offset, **fields), status)
    return _json(reply, status)


def _json(reply: Reply, status: int = 200) -> Response:
    return Response(encode(reply), status_code=status, media_type="application/json")


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes asked for, as first and end; all of them for what is no single range; None: past the end."""
    match = _RANGE.match(header)
    if match is None or match.group() == "bytes=-":
        return 0, size
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    end = min(size, int(last) + 1) if last else size
    return (int(first), end) if int(first) < end else None
