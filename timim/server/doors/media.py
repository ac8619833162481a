"""The media door: bytes up for who is logged in, bytes down for who was told the signed URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ...errors import AuthError, EmptyFile, InvalidArgument, MediaGone, TimimError, TooLarge
from ..blobs import Blobs

STALL_S = 30.0  # a body of which nothing comes for so long is dropped
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Bytes at most, by kind of content."""

    image: int = 28 * MIB
    sound: int = 28 * MIB
    file: int = 100 * MIB
    video: int = 100 * MIB

    def of(self, kind: str) -> int:
        """Raises InvalidArgument for what is no kind."""
        match kind:
            case "image":
                return self.image
            case "sound":
                return self.sound
            case "file":
                return self.file
            case "video":
                return self.video
            case _:
                raise InvalidArgument("kind must be image, sound, file or video")


def media_routes(blobs: Blobs, *, user_of: Callable[[str], str | None], limits: MediaLimits) -> list[Route]:
    """`POST /media?kind=…` with the session's token, `GET /media/{uuid}?sign=…`."""

    async def upload(request: Request) -> Response:
        try:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if user_of(token) is None:
                raise AuthError("log in first", code=70003)
            limit = limits.of(request.query_params.get("kind", ""))
            length = request.headers.get("content-length", "")
            if length.isdigit() and int(length) > limit:
                raise TooLarge(f"{length} bytes, the limit is {limit}")
            blob = await blobs.put(_body(request), limit_bytes=limit)
        except TimimError as exc:
            return _refusal(exc)
        except (ClientDisconnect, TimeoutError):
            return Response(status_code=408)
        reply = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
        return JSONResponse(reply | {"UUID": blob.uuid, "Url": blob.url, "Size": blob.size_bytes})

    async def download(request: Request) -> Response:
        uuid = request.path_params["uuid"]
        if not blobs.check(uuid, request.query_params.get("sign", "")):
            return _refusal(MediaGone("the signature is not good"), status=403)
        try:
            size, chunks = await blobs.open(uuid)
        except TimimError as exc:
            return _refusal(exc)
        headers = {
            "Content-Length": str(size),
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, immutable",
        }
        return StreamingResponse(chunks, headers=headers, media_type="application/octet-stream")

    return [
        Route("/media", upload, methods=["POST"]),
        Route("/media/{uuid}", download, methods=["GET"]),
    ]


async def _body(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        yield chunk


def _refusal(exc: TimimError, *, status: int | None = None) -> JSONResponse:
    if status is None:
        match exc:
            case TooLarge():
                status = 413
            case AuthError():
                status = 401
            case MediaGone():
                status = 404
            case EmptyFile() | InvalidArgument():
                status = 400
            case _:
                status = 500
    body = {"ActionStatus": "FAIL", "ErrorCode": exc.code, "ErrorInfo": exc.info}
    return JSONResponse(body, status_code=status)
