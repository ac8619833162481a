"""Requests on a plain websocket, whose bytes a test writes itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

import timim
from timim.protocol import session
from timim.protocol.frames import Head, decode_frames, encode_frame


class RawRequests:
    """A logged-in session without the SDK."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._numbers = itertools.count(2)

    async def ask(self, name: str, body: bytes | dict[str, Any], **head: Any) -> dict[str, Any]:
        """Send a request, and return the body of its reply; pushes are dropped."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        number = next(self._numbers)
        await self.socket.send(encode_frame(Head(name, seq=number, **head), encoded))
        while True:
            message = await self.socket.recv()
            for frame in decode_frames(message.encode() if isinstance(message, str) else message):
                if frame.head.servcmd == name and frame.head.seq == number:
                    reply: dict[str, Any] = json.loads(bytes(frame.body))
                    return reply


@asynccontextmanager
async def raw_requests_of(url: str, *, app_id: int, secret_key: str, user: str) -> AsyncIterator[RawRequests]:
    """Log a user in on a plain websocket, as a client of no timim version."""
    async with connect(url) as socket:
        raw = RawRequests(socket)
        signature = timim.sign_user(app_id, secret_key, user)
        reply = await raw.ask(session.LOGIN.name, b"{}", identifier=user, usersig=signature)
        assert reply["ErrorCode"] == 0, reply
        yield raw
