"""A session without timim's extensions, in which a test sends each request itself and sees how the socket ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from websockets.exceptions import ConnectionClosed

from timim import ConnectionFailed, sign_user
from timim.protocol import messages, session
from timim.protocol.codec import Body, Command, Reply
from timim.protocol.frames import Frame, Head
from timim.testing import RunningServer
from timim.transport.pushes import PushReceiver
from timim.transport.websocket import Link

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
WAIT_S = 20.0


class _NoPushes(PushReceiver):
    def __init__(self) -> None:
        """Create a receiver that ignores all pushes."""

    def receive(self, frame: Frame) -> None:
        """Ignore a push."""


class RawSession:
    """A websocket to a server, logged in by `login`."""

    def __init__(self, server: RunningServer, link: Link) -> None:
        self._server = server
        self._link = link
        self._running = asyncio.create_task(link.run())
        self._random = 0
        self.user = ""
        self.token = ""

    async def login(self, user: str, *, signature: str = "", token: str = "", expire_s: int = 3600) -> session.LoginReply:
        """Log in with a signature, by default a new one, or with a token. Raises the server's refusal."""
        app_id = self._server.app_id
        if not signature and not token:
            signature = sign_user(app_id, self._server.secret_key, user, expire_s=expire_s)
        self._link.head = Head("", identifier=user, usersig=signature, a2=token, sdkappid=app_id)
        reply = await self.call(session.LOGIN, session.LoginRequest())
        self.user, self.token = user, reply.a2_key
        return reply

    async def call(self, command: Command[B, R], body: B) -> R:
        """Send a request and return its reply. Raises the server's refusal."""
        return await self._link.call(command, body, timeout_s=WAIT_S)

    async def send(self, to: str, text: str = "hello", **fields: object) -> messages.SendC2CReply:
        """Send a text."""
        self._random += 1
        elem = {"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}
        return await self.call(messages.SEND_C2C, _c2c(to, elem, int(time.time()), self._random, **fields))

    async def closed(self) -> str:
        """Wait until the server closes the socket, and return its reason."""
        async with asyncio.timeout(WAIT_S):
            try:
                await asyncio.shield(self._running)
            except ConnectionFailed as exc:
                closed = exc.__cause__
                assert isinstance(closed, ConnectionClosed)
                return closed.rcvd.reason if closed.rcvd is not None else ""
        raise AssertionError("the socket has not ended")

    async def close(self) -> None:
        """Close the socket."""
        await self._link.close()
        await asyncio.gather(self._running, return_exceptions=True)


@asynccontextmanager
async def raw_session(server: RunningServer, url: str = "") -> AsyncIterator[RawSession]:
    """Open a websocket that is not logged in."""
    opened = RawSession(server, await Link.open(url or server.url, _NoPushes(), timeout_s=WAIT_S))
    try:
        yield opened
    finally:
        await opened.close()


def _c2c(to: str, elem: Mapping[str, object], at: int, random: int, **fields: object) -> messages.SendC2CRequest:
    body = msgspec.Raw(msgspec.json.encode([elem]))
    request = messages.SendC2CRequest(to_account=to, msg_body=body, msg_seq=random, msg_random=random, client_time=at)
    for name, value in fields.items():
        setattr(request, name, value)
    return request
