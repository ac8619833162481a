"""The websocket door. Requests of one session start in order; a message that is no frame ends the session with a reason.

Each request is a task of the session's own group, at most `requests_in_flight` at a time: past it the socket is not read.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from ...errors import AuthError, ProtocolError, TimimError
from ...ids import checked_user_id
from ...wire import status
from ...wire.codec import Reply, decode, encode
from ...wire.frames import Frame, Head, decode_frames, encode_frame
from ..auth import Auth
from ..commands.table import TABLE, Call, Services, refusal
from ..session import Session

log = logging.getLogger("timim.server")
NORMAL, PROTOCOL, POLICY, TOO_SLOW = 1000, 1002, 1008, 1013


class Door:
    """One websocket endpoint for all clients."""

    def __init__(self, services: Services, auth: Auth, *, media_url: str) -> None:
        self._services = services
        self._auth = auth
        self._media_url = media_url
        self.draining = False

    async def handle(self, socket: WebSocket) -> None:
        await socket.accept()
        if self.draining:
            await socket.close(1012, "the server is stopping")
            return
        try:
            session = await self._enter(socket)
        except WebSocketDisconnect:
            return
        if session is None:
            return
        self._services.fanout.add(session)
        try:
            await self._serve(socket, session)
        finally:
            self._services.fanout.remove(session)
            self._auth.forget(session.token)

    async def _enter(self, socket: WebSocket) -> Session | None:
        """The session that this socket logs in to; None when it was refused."""
        settings = self._services.settings
        try:
            async with asyncio.timeout(settings.login_timeout_s):
                while True:
                    for frame in decode_frames(await _receive(socket)):
                        if frame.head.servcmd == status.LOGIN.name:
                            try:
                                session, reply = await self._login(socket, frame)
                            except TimimError as exc:
                                await socket.send_bytes(self._frame(frame.head, encode(refusal(exc))))
                                await socket.close(POLICY, "login refused")
                                return None
                            await socket.send_bytes(self._frame(frame.head, encode(reply)))
                            return session
                        body = Reply() if frame.head.servcmd == status.HEARTBEAT.name else _NOT_LOGGED_IN
                        await socket.send_bytes(self._frame(frame.head, encode(body)))
        except TimeoutError:
            await socket.close(POLICY, "no login in time")
        except ProtocolError as exc:
            await socket.close(PROTOCOL, exc.info[:100])
        return None

    async def _login(self, socket: WebSocket, frame: Frame) -> tuple[Session, status.LoginReply]:
        services, head = self._services, frame.head
        body = decode(status.Login, frame.body)
        user = checked_user_id(head.identifier)
        token, expires = self._auth.login(user, head.usersig)
        account = await services.directory.ensure_account(user)
        ours = body.client if isinstance(body.client, status.TimelineClient) else None
        settings, now = services.settings, services.now()
        session = Session(
            user,
            str(account.tiny_id),
            token,
            batch=bool(ours and ours.batch),
            queue_bytes=settings.session_queue_bytes,
            now=services.now,
        )
        reply = status.LoginReply(
            inst_id=session.number,
            a2_key=token,
            tiny_id=session.tiny_id,
            hello_interval=settings.hello_interval_s,
            time_stamp=int(now),
            client_ip=socket.client.host if socket.client else "",
            expired_time=int(expires),
        )
        if ours is not None:
            reply.server = status.TimelineServer(
                batch=ours.batch,
                epoch=services.epoch,
                time_ms=int(now * 1000),
                max_message_bytes=settings.max_message_bytes,
                media_url=self._media_url,
            )
        return session, reply

    async def _serve(self, socket: WebSocket, session: Session) -> None:
        writer = asyncio.create_task(self._write(socket, session), name=f"write {session.user}")
        reader = asyncio.create_task(self._read(socket, session), name=f"read {session.user}")
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                task.cancel()
            for result in await asyncio.gather(reader, writer, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError):
                    log.error("session %s: %r", session, result)

    async def _read(self, socket: WebSocket, session: Session) -> None:
        call = Call(session.user, self._services, session)
        slots = asyncio.Semaphore(self._services.settings.requests_in_flight)
        idle = self._services.settings.idle_timeout_s
        try:
            async with asyncio.TaskGroup() as requests:
                while not session.closed_because:
                    async with asyncio.timeout(idle):
                        message = await _receive(socket)
                    for frame in decode_frames(message):
                        name = frame.head.servcmd
                        if name == status.HEARTBEAT.name or name == status.PUSH_ACK.name:
                            session.reply(self._frame(frame.head, _OK))
                        elif name == status.LOGOUT.name:
                            session.reply(self._frame(frame.head, _OK))
                            session.close("logged out")
                            await asyncio.Event().wait()  # the writer ends the session once the reply is out
                        else:
                            await slots.acquire()
                            requests.create_task(self._answer(call, session, frame, slots))
        except ProtocolError as exc:
            session.close(exc.info)
        except TimeoutError:
            session.close("no heartbeat")

    async def _answer(self, call: Call, session: Session, frame: Frame, slots: asyncio.Semaphore) -> None:
        try:
            session.reply(self._frame(frame.head, await TABLE.answer(frame.head.servcmd, call, frame.body)))
        finally:
            slots.release()

    async def _write(self, socket: WebSocket, session: Session) -> None:
        while messages := await session.next_messages():
            for message in messages:
                await socket.send_bytes(message)
        slow = session.closed_because == "reads too slowly"
        await socket.close(TOO_SLOW if slow else NORMAL, session.closed_because[:100])

    def _frame(self, head: Head, body: bytes) -> bytes:
        return encode_frame(Head(head.servcmd, seq=head.seq, time=int(self._services.now())), body)


async def _receive(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1006)
    text = message.get("text")
    return text.encode() if text is not None else message.get("bytes") or b""


_OK = encode(Reply())
_NOT_LOGGED_IN = refusal(AuthError("log in first", code=6014))
