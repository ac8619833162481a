"""REST endpoint: Tencent Chat's server API, version 4, for the administrators of the app. See docs/reference/rest.md.

Every reply has HTTP status 200; its ErrorCode tells success from refusal. Neither the log nor an error has the query string,
which contains a signature.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ...errors import AuthError, InvalidArgument, MessageTooLong, ServerRefused, TimimError
from ...protocol.codec import GROUPS, Command, encode
from ...util.failpoints import failpoint
from ..handlers.registry import HandlerRegistry, RequestContext, Services, error_reply
from ..handlers.rest_bodies import decode_request, encode_reply
from ..messaging.request_limits import RestLimits
from ..sessions.auth import Auth
from ..social.callers import Caller
from .openapi import openapi
from .peer_transport import PeerTransport

log = logging.getLogger("timim.server")
PATH = "/v4/"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")  # the others are refused with status 200 as well
BODY_S = 30.0  # for the whole body of a request
VALID_S = 1.0  # a revocation takes effect on all nodes within a second anyway
VALID_LIMIT = 100
GROUP_REPLY_LIMIT_BYTES = 1 << 20
UNKNOWN_NAMES_LIMIT = 1000  # unknown commands that are logged once each
_WRONG_REQUEST, _WRONG_APP, _TOO_LATE, _UNKNOWN, _NO_ADMIN, _NO_APP = 60002, 60006, 60008, 60009, 60010, 60012
_REPLY_TOO_LONG = 10018


class RestEndpoint:
    """The routes of the REST API: `/v4/{service}/{command}`, and its description at `/v4/openapi.json`."""

    def __init__(self, services: Services, handlers: HandlerRegistry, auth: Auth) -> None:
        self._services = services
        self._handlers = handlers
        self._auth = auth
        self._limits = RestLimits(services.settings, services.metrics, now=time.monotonic)
        self._admins = frozenset(services.settings.administrators)
        self._unknown: set[str] = set()
        self._valid: dict[tuple[str, str], float] = {}  # administrators' signatures, and the times at which they were checked
        self._description = b""

    def routes(self) -> list[Route]:
        """Return the routes of the endpoint."""
        return [
            Route(PATH + "openapi.json", self._describe),
            Route(PATH + "{name:path}", self, methods=METHODS),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as an ASGI application: starlette puts a second layer of error handling around functions."""
        response = await self._serve(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _describe(self, request: Request) -> Response:
        """Return the OpenAPI description, which everybody may read: it has nothing of this server."""
        if not self._description:
            self._description = msgspec.json.encode(openapi(self._handlers))
        return Response(self._description, media_type="application/json")

    async def _serve(self, request: Request) -> Response:
        name = request.path_params["name"].replace("/", ".")
        command = self._handlers.rest_command(name)
        closing = False
        try:
            user = await self._authenticate(request)
            self._limits.charge(user)
            if command is None:
                raise self._not_served(name)
            self._check_form(request)
            body = await self._body(request, command)
        except (TimimError, ClientDisconnect, TimeoutError) as exc:
            reply = error_reply(_refusal(exc))
            content, closing = encode(reply), True  # a body that was not read makes the connection useless
        else:
            address = request.client.host if request.client else ""
            context = RequestContext(user, self._services, admin=True, caller=Caller.over_rest(user, address))
            reply = await self._handlers.reply(command.name, context, body, decode_with=decode_request)
            content = encode_reply(command, reply)
            if command.service == GROUPS and len(content) > GROUP_REPLY_LIMIT_BYTES:
                info = f"the reply is {len(content)} bytes long; the limit is {GROUP_REPLY_LIMIT_BYTES}; ask for fewer items"
                reply = error_reply(ServerRefused(info, code=_REPLY_TOO_LONG))
                content = encode(reply)
        label = command.name if command is not None else "unknown"
        self._services.metrics.rest.labels(label, str(reply.error_code)).inc()
        failpoint("before-ack")
        headers = {"Cache-Control": "no-store"} | ({"Connection": "close"} if closing else {})
        return Response(content, media_type="application/json", headers=headers)

    async def _authenticate(self, request: Request) -> str:
        """Return the administrator who makes a request.

        Raises:
            InvalidArgument: The app is missing or another one (60012, 60006).
            AuthError: The signature is invalid (700xx), or the user is no administrator (60010).
            SignatureExpired: The signature has expired (70001) or was revoked (70052).
            StorageError: The store did not respond.
        """
        query = request.query_params
        if not query.get("sdkappid"):
            raise InvalidArgument("the URL has no sdkappid; add the app id of this server", code=_NO_APP)
        if query["sdkappid"] != str(self._auth.app_id):
            raise InvalidArgument("sdkappid is not the app id of this server", code=_WRONG_APP)
        user = query.get("identifier", "")
        await self._check_signature(user, query.get("usersig", ""))
        if user not in self._admins:
            raise AuthError(f"{user!r} is not an administrator of this app; see the settings admin and admins", code=_NO_ADMIN)
        peer: PeerTransport = request.scope["state"]["peer"]
        peer.bytes.trust()
        return user

    async def _check_signature(self, user: str, signature: str) -> None:
        """Check a signature, unless it was valid less than VALID_S ago. Raises as `_authenticate`."""
        now = time.monotonic()
        checked = self._valid.get((user, signature), -VALID_S)
        if now - checked < VALID_S and not self._services.revocations.has_recent(user):
            return
        await self._auth.login(user, signature)
        if len(self._valid) >= VALID_LIMIT:
            self._valid.clear()
        self._valid[user, signature] = now

    def _check_form(self, request: Request) -> None:
        """Check the method and the number `random`, which clients send and which has no meaning.

        Raises:
            InvalidArgument: One of them is invalid (60002).
        """
        if request.method not in ("GET", "POST"):
            raise InvalidArgument(f"{request.method} is not supported; use POST", code=_WRONG_REQUEST)
        number = request.query_params.get("random", "0")
        if not (number.isascii() and number.isdecimal()):
            raise InvalidArgument("random must be a number of 32 bits", code=_WRONG_REQUEST)

    def _not_served(self, name: str) -> ServerRefused:
        name = name[:80]
        if name not in self._unknown and len(self._unknown) < UNKNOWN_NAMES_LIMIT:
            self._unknown.add(name)
            log.warning(
                "a REST client called %r, which this server does not have; docs/reference/rest.md lists its commands", name
            )
        return ServerRefused(f"the command {name!r} is not served; docs/reference/rest.md lists those that are", code=_UNKNOWN)

    async def _body(self, request: Request, command: Command[Any, Any]) -> bytes:
        limit = self._services.settings.max_frame_bytes
        body = bytearray()
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    info = f"the body of the request is over {limit} bytes, which is the limit (max_frame_bytes)"
                    is_message = any(field.encode_name == "MsgBody" for field in msgspec.structs.fields(command.body))
                    raise MessageTooLong(info, code=93000) if is_message else InvalidArgument(info, code=_WRONG_REQUEST)
        return bytes(body)


def _refusal(exc: TimimError | ClientDisconnect | TimeoutError) -> TimimError:
    if isinstance(exc, TimimError):
        return exc
    return InvalidArgument(f"the body of the request did not arrive within {BODY_S:g} s; send it again", code=_TOO_LATE)
