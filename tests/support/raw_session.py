"""A session without timim's extensions, in which a test sends each request itself and sees how the socket ends."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import msgspec
from websockets.exceptions import ConnectionClosed

from tests.support.gateways import next_gateway
from timim import ConnectionFailed, TimimError, sign_user
from timim.protocol import messages, session
from timim.protocol.codec import Body, Command, Reply, Request, decode
from timim.protocol.frames import Frame, Head
from timim.testing import RunningServer
from timim.testing.in_process import LocalServer
from timim.transport.pushes import PushReceiver
from timim.transport.websocket import Link

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
WAIT_S = 20.0
_randoms = itertools.count(1)  # sessions of one user must not use a number twice in a second


class _NoPushes(PushReceiver):
    def __init__(self) -> None:
        """Create a receiver that ignores all pushes."""

    def receive(self, frame: Frame) -> None:
        """Ignore a push."""


class RawSession:
    """A websocket to a server, logged in by `login`."""

    def __init__(self, server: RunningServer | LocalServer, link: Link) -> None:
        self._server = server
        self._link = link
        self._running = asyncio.create_task(link.run())
        self.user = ""
        self.token = ""

    async def login(self, user: str, *, signature: str = "", token: str = "", expire_s: int = 3600) -> session.LoginReply:
        """Log in with a signature, by default a new one, or with a token. Raises the server's refusal."""
        app_id = self._server.app_id
        if not signature and not token:
            signature = self._sign(user, expire_s)
        self._link.head = Head("", identifier=user, usersig=signature, a2=token, sdkappid=app_id)
        reply = await self.call(session.LOGIN, session.LoginRequest())
        self.user, self.token = user, reply.a2_key
        return reply

    async def login_as_timim(self, user: str) -> None:
        """Log in as a timim client, which may send several requests in one websocket message."""
        self._link.head = Head("", identifier=user, usersig=self._sign(user), sdkappid=self._server.app_id)
        hello = session.LoginRequest(client=session.TimelineClient(batch=True))
        await self.call(session.LOGIN, hello)
        self.user, self._link.batch, self._link.limit_bytes = user, True, 1 << 20

    def send_at_once(self, to: str, count: int, *, size: int = 5) -> list[asyncio.Future[Reply]]:
        """Send texts without waiting; return their replies, which can be refusals."""
        loop = asyncio.get_running_loop()
        replies = [loop.create_future() for _ in range(count)]
        for reply in replies:
            self._link.start(self._text(to, "x" * size), partial(_settle, reply), timeout_s=WAIT_S)
        return replies

    async def call(self, command: Command[B, R], body: B) -> R:
        """Send a request and return its reply. Raises the server's refusal."""
        return await self._link.call(command, body, timeout_s=WAIT_S)

    async def send(self, to: str, text: str = "hello", **fields: object) -> messages.SendC2CReply:
        """Send a text."""
        request = self._text(to, text)
        for name, value in fields.items():
            setattr(request.body, name, value)
        return await self._link.send(request, timeout_s=WAIT_S)

    def _sign(self, user: str, expire_s: int = 3600) -> str:
        return sign_user(self._server.app_id, self._server.secret_key, user, expire_s=expire_s)

    def _text(self, to: str, text: str) -> Request[messages.SendC2CReply]:
        body = msgspec.Raw(msgspec.json.encode([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]))
        request = messages.SendC2CRequest(to_account=to, msg_body=body, msg_random=next(_randoms), client_time=int(time.time()))
        return messages.SEND_C2C.request(request)

    async def closed(self) -> str:
        """Wait until the server closes the socket, and return its reason."""
        return (await self.closed_with())[1]

    async def closed_with(self) -> tuple[int, str]:
        """Wait until the server closes the socket, and return its code and reason; 1006 if there are none."""
        async with asyncio.timeout(WAIT_S):
            try:
                await asyncio.shield(self._running)
            except ConnectionFailed as exc:
                closed = exc.__cause__
                assert isinstance(closed, ConnectionClosed)
                return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")
        raise AssertionError("the socket has not ended")

    async def close(self) -> None:
        """Close the socket."""
        await self._link.close()
        await asyncio.gather(self._running, return_exceptions=True)


@asynccontextmanager
async def raw_session(server: RunningServer | LocalServer, url: str = "") -> AsyncIterator[RawSession]:
    """Open a websocket to a gateway of the server, or to `url`, that is not logged in."""
    opened = RawSession(server, await Link.open(url or next_gateway(server), _NoPushes(), timeout_s=WAIT_S))
    try:
        yield opened
    finally:
        await opened.close()


def _settle(reply: asyncio.Future[Reply], outcome: Frame | TimimError) -> None:
    if isinstance(outcome, Frame):
        reply.set_result(decode(Reply, outcome.body))
    elif not reply.done():
        reply.set_exception(outcome)
