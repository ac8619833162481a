"""Websocket endpoint. Requests of one session start in order; a message that is no frame ends the session with a reason.

Each request is a task that the endpoint owns. A session has at most `requests_in_flight` of them; beyond that its socket is not
read. A request that has started is finished even after its session has ended, so every committed message is pushed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from starlette.websockets import WebSocket, WebSocketDisconnect

from ...errors import AuthError, ProtocolError, RateLimited, ServerRefused, TimimError
from ...ids import checked_user_id
from ...protocol import session as status
from ...protocol.codec import Reply, decode, encode
from ...protocol.frames import Frame, Head, decode_frames, encode_frame
from ...protocol.messages import REPLY_TOO_LONG, SENDS
from ...protocol.pacing import RATE_CODE
from ...protocol.statuses import encode_text
from ...util.failpoints import failpoint
from ..bus.base import LoginAnnouncement
from ..handlers.registry import HandlerRegistry, RequestContext, Services, error_reply
from ..integrations.service import Integrations
from ..messaging.request_limits import FairShares, RequestLimits
from ..sessions.auth import Auth
from ..sessions.device_slots import DeviceSlots, known_platform
from ..sessions.session import (
    ADMIN_ENDED,
    LOGGED_OUT,
    LOST_DEVICE_SLOT,
    NO_HEARTBEAT,
    READS_TOO_SLOWLY,
    SIGNATURE_ENDED,
    SIGNATURE_REVOKED,
    STOPPING,
    ClientInfo,
    Session,
)
from ..social.callers import Caller, state_platform
from .guests import IDLE_LIMIT_S, Guest, Guests
from .peer_transport import PeerTransport

log = logging.getLogger("timim.server")
NORMAL, PROTOCOL, POLICY, RESTART, TOO_SLOW = 1000, 1002, 1008, 1012, 1013
_CLOSE_CODES = {READS_TOO_SLOWLY: TOO_SLOW, STOPPING: RESTART}
_CLOSE_CODES |= dict.fromkeys((LOST_DEVICE_SLOT, SIGNATURE_ENDED, SIGNATURE_REVOKED, ADMIN_ENDED), POLICY)


REFUSED_PAUSE_S = 1.0  # a session with refused requests is not read for this time, so that a flood costs next to nothing
OUT_OF_ORDER_S = 0.1  # until a client may begin again, if its rate is not what refuses its messages
FRAMES_AT_ONCE = 32  # of one websocket message, before other sessions have their turn


class WebSocketEndpoint:
    """The endpoint that all clients connect to."""

    def __init__(
        self,
        services: Services,
        handlers: HandlerRegistry,
        auth: Auth,
        device_slots: DeviceSlots,
        integrations: Integrations,
        limits: RequestLimits,
        shares: FairShares,
    ) -> None:
        self._services = services
        self._handlers = handlers
        self._auth = auth
        self._device_slots = device_slots
        self._integrations = integrations
        self._limits = limits
        self._shares = shares
        self._guests = Guests(services)
        self._draining = False
        self._answers: dict[asyncio.Task[None], Session] = {}
        self._served: set[asyncio.Task[None]] = set()  # tasks that serve a session, until its socket is closed

    def drain(self) -> None:
        """Refuse new sessions, and close each session after the requests in progress are answered."""
        self._draining = True
        for session in self._services.fanout.all():
            session.close(STOPPING)

    async def finish(self, limit_s: float) -> None:
        """Wait until all requests are answered and all sockets closed; cancel the requests that remain after `limit_s`."""
        await self._guests.close()
        if in_progress := self._answers.keys() | self._served:
            await asyncio.wait(in_progress, timeout=max(0.0, limit_s))
        await _cancel(*self._answers)
        self._answers.clear()  # a task that was cancelled before its first step has not removed itself

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection from its login to its end."""
        await socket.accept()
        if self._draining:
            await socket.close(RESTART, STOPPING)
            return
        guest = Guest(self._guests, socket)
        try:
            session = await self._wait_for_login(socket, guest)
        except WebSocketDisconnect:
            return
        finally:
            await guest.close()
        if session is None:
            return
        serving = asyncio.current_task()
        assert serving is not None
        self._served.add(serving)
        caller = Caller.of_session(session.user, socket.client.host if socket.client else "", session.client.platform)
        kicked = [state_platform(platform) for platform in session.kicked_platforms]
        self._integrations.on_presence(caller, "Login", "Register", kicked=kicked)
        try:
            # before the first request is read, so that messages stored after the client's sync are pushed
            await self._services.bus.listen(session.user)
            client = session.client
            self._services.bus.announce_login(
                LoginAnnouncement(session.user, client.device, client.platform, session.started_at, client.resumed)
            )
            await self._services.statuses.begin(session.user)
            await self._device_slots.recheck(session.user, client.platform)  # another login may precede `listen`
            await self._serve(socket, session, caller)
        finally:
            self._served.discard(serving)
            self._services.fanout.remove(session)
            self._services.bus.unlisten(session.user)
            self._services.statuses.end(session.user)
            self._services.live_rooms.end(session.user, at_once=session.closed_because == LOGGED_OUT)
            if session.closed_because == LOGGED_OUT:
                self._integrations.on_presence(caller, "Logout", "Unregister")
                await self._device_slots.release(session)
            else:
                silent = session.closed_because.startswith(NO_HEARTBEAT)
                self._integrations.on_presence(caller, "Disconnect", "TimeOut" if silent else "LinkClose")

    async def _wait_for_login(self, socket: WebSocket, guest: Guest) -> Session | None:
        """Return the new session of this socket, which is online from now on, or None after closing the socket."""
        loop = asyncio.get_running_loop()
        silent_until = loop.time() + self._services.settings.login_timeout_s
        requests = 0
        try:
            while True:
                until = loop.time() + IDLE_LIMIT_S if guest.active else silent_until
                async with asyncio.timeout_at(until):  # excludes the time that this server needs to log the user in
                    message = await _receive(socket)
                for frame in decode_frames(message):
                    requests += not guest.active
                    if await self._is_over(socket, requests, guest):
                        return None
                    if guest.serves(frame.head.servcmd):
                        await guest.answer(frame)
                        continue
                    if frame.head.servcmd == status.LOGIN.name:
                        try:
                            with self._services.metrics.login_seconds.time():
                                session, reply = await self._login(socket, frame)
                        except TimimError as exc:
                            self._services.metrics.logins.labels("refused").inc()
                            await socket.send_bytes(self._frame(frame.head, encode(error_reply(exc))))
                            await socket.close(POLICY, "the login was refused; the reply has the reason")
                            return None
                        self._services.metrics.logins.labels("accepted").inc()
                        try:
                            await socket.send_bytes(self._frame(frame.head, encode(reply)))
                        except BaseException:
                            self._services.fanout.remove(session)
                            raise
                        return session
                    body = Reply() if frame.head.servcmd == status.HEARTBEAT.name else _NOT_LOGGED_IN
                    await socket.send_bytes(self._frame(frame.head, encode(body)))
        except TimeoutError:
            reason = f"a guest has sent nothing for {IDLE_LIMIT_S:g} s"
            if not guest.active:
                self._services.metrics.logins.labels("late").inc()
                reason = f"no login within {self._services.settings.login_timeout_s:g} s"
            await socket.close(POLICY, reason)
        except ProtocolError as exc:
            await socket.close(PROTOCOL, exc.info[:100])
        return None

    async def _is_over(self, socket: WebSocket, requests: int, guest: Guest) -> bool:
        """Close a socket with too many requests before its login, and return True if it has."""
        limit = self._services.settings.requests_before_login
        if requests <= limit and not (guest.active and guest.is_over_rate()):
            return False
        reason = (
            "more requests than the server accepts from a guest"
            if guest.active
            else f"more than {limit} requests before a login"
        )
        peer: PeerTransport = socket.scope["state"]["peer"]
        peer.note_violation(reason)
        await socket.close(POLICY, reason)
        return True

    async def _login(self, socket: WebSocket, frame: Frame) -> tuple[Session, status.LoginReply]:
        services, head = self._services, frame.head
        body = decode(status.LoginRequest, frame.body)
        if head.a2 and not head.usersig:  # a reconnect
            login = await self._auth.resume(head.a2)
        else:
            login = await self._auth.login(checked_user_id(head.identifier), head.usersig)
        account = await services.entities.ensure_account(login.user)
        ours = body.client if isinstance(body.client, status.TimelineClient) else None
        settings, now = services.settings, services.now()
        client = _client_info(head, ours)
        peer: PeerTransport = socket.scope["state"]["peer"]
        session = Session(
            login,
            str(account.tiny_id),
            client,
            queue_bytes=settings.session_queue_bytes,
            reply_bytes=settings.session_reply_bytes,
            now=services.now,
            waiting=peer.bytes,
        )
        peer.bytes.trust()
        async with self._device_slots.acquire(session, by_token=login.token == head.a2):
            services.fanout.add(session)
        services.revocations.check_new(session)
        if self._draining:  # the drain began during this login
            session.close(STOPPING)
        reply = status.LoginReply(
            inst_id=session.number,
            a2_key=login.token,
            tiny_id=session.tiny_id,
            hello_interval=settings.hello_interval_s,
            time_stamp=int(now),
            client_ip=socket.client.host if socket.client else "",
            custom_status=encode_text(account.status),
            expired_time=login.expires_at,
        )
        if ours is not None:
            reply.server = status.TimelineServer(
                batch=ours.batch,
                epoch=services.epoch,
                time_ms=int(now * 1000),
                max_message_bytes=settings.max_message_bytes,
                max_frame_bytes=settings.max_frame_bytes,
                media_url=services.downloads.media_url,
                media_limits=settings.media_limits,
            )
        return session, reply

    async def _serve(self, socket: WebSocket, session: Session, caller: Caller) -> None:
        """Serve a session until its socket ends or the session is closed, then answer its requests in progress."""
        writer = asyncio.create_task(self._write(socket, session), name=f"write {session.user}")
        reader = asyncio.create_task(self._read(socket, session, caller), name=f"read {session.user}")
        session.watch_signature()
        try:
            await asyncio.wait((writer, reader, session.closing), return_when=asyncio.FIRST_COMPLETED)
            if session.closed_because == READS_TOO_SLOWLY:
                self._services.metrics.too_slow.inc()
            if session.closing.done() and not writer.done():
                await _cancel(reader)
                limit_s = min(self._services.settings.drain_s, session.drain_limit_s)
                if answers := [answer for answer, of in self._answers.items() if of is session]:
                    await asyncio.wait(answers, timeout=limit_s)
                session.finish()
                await asyncio.wait((writer,), timeout=limit_s)
        finally:
            session.unwatch_signature()
            for error in await _cancel(reader, writer):
                if not isinstance(error, WebSocketDisconnect | RuntimeError):
                    log.error("the connection of %s failed: %r", session, error)

    async def _read(self, socket: WebSocket, session: Session, caller: Caller) -> None:
        """Read requests, and start a task for each of them."""
        settings = self._services.settings
        reporting = caller if settings.callbacks else None
        context = RequestContext(session.user, self._services, session, caller=reporting)
        slots = asyncio.Semaphore(settings.requests_in_flight)
        try:
            while True:
                async with asyncio.timeout(settings.idle_timeout_s):
                    await session.reserve(0)
                    message = await _receive(socket)
                if session.expire():
                    return
                try:
                    frames = decode_frames(message)
                except ProtocolError as exc:
                    session.close(exc.info, code=PROTOCOL)
                    return
                over = self._limits.charge(session.user, len(frames), len(message))
                for number, frame in enumerate(frames, 1):
                    if number % FRAMES_AT_ONCE == 0 and self._shares.contended:
                        await asyncio.sleep(0)
                    name = frame.head.servcmd
                    try:
                        if session.client.batch and not session.follows(frame.head.seq):
                            continue
                    except ProtocolError as exc:
                        session.close(exc.info)  # not PROTOCOL, by which a client takes its messages for the cause
                        return
                    if name == status.HEARTBEAT.name:
                        beat = status.HeartbeatReply(pushes=session.pushes) if session.client.batch else status.HeartbeatReply()
                        session.reply(self._frame(frame.head, encode(beat)))
                    elif name == status.PUSH_ACK.name:
                        session.reply(self._frame(frame.head, _OK))
                    elif name == status.LOGOUT.name:
                        session.reply(self._frame(frame.head, await self._log_out(session)))
                        session.close(LOGGED_OUT)
                    elif name == status.RESUME_SENDS.name:
                        session.sends_refused = False
                        session.reply(self._frame(frame.head, _OK))
                    elif over is not None or (session.sends_refused and name in SENDS):
                        session.sends_refused |= name in SENDS and session.client.batch
                        session.reply(self._frame(frame.head, encode(error_reply(over or _OUT_OF_ORDER))))
                    else:
                        await slots.acquire()
                        if not session.try_reserve(reserved := self._handlers.reply_bytes(name)):
                            await session.reserve(reserved)
                        if not self._shares.try_enter(session.user, reserved):
                            await self._shares.enter(session.user, reserved)
                        answer = asyncio.create_task(self._answer(context, session, frame, slots, reserved))
                        self._answers[answer] = session
                if over is not None:
                    await asyncio.sleep(min(REFUSED_PAUSE_S, over.retry_after or 0.0))
        except ProtocolError as exc:
            session.close(exc.info, code=PROTOCOL)
        except TimeoutError:
            session.close(f"{NO_HEARTBEAT} for {settings.idle_timeout_s:g} s")

    async def _log_out(self, session: Session) -> bytes:
        """End the token of a session, and return the reply to its logout."""
        try:
            await self._auth.end_token(session.login)
        except TimimError as exc:
            return encode(error_reply(exc))
        return _OK

    async def _answer(
        self, context: RequestContext, session: Session, frame: Frame, slots: asyncio.Semaphore, reserved: int
    ) -> None:
        try:
            if session.refusal is None:
                body = await self._handlers.answer(frame.head.servcmd, context, frame.body)
            else:
                body = encode(error_reply(session.refusal))
            reply = self._frame(frame.head, body)
            if 0 < session.client.max_frame_bytes < len(reply):
                reply = self._frame(frame.head, _too_long(len(reply), session.client.max_frame_bytes))
            failpoint("before-ack")
            session.reply(reply)
            failpoint("after-ack")
        except Exception:
            log.exception("the request %s of %s failed", frame.head.servcmd[:80], session)
        finally:
            session.release(reserved)
            slots.release()
            self._shares.leave(session.user, reserved)
            if (answer := asyncio.current_task()) is not None:
                del self._answers[answer]

    async def _write(self, socket: WebSocket, session: Session) -> None:
        while messages := await session.next_messages():
            for message in messages:
                if not session.client.batch:  # other clients have no token for the media endpoint
                    message = self._services.downloads.sign_urls(message, session.user)
                await socket.send_bytes(message)
        code = session.close_code or _CLOSE_CODES.get(session.closed_because, NORMAL)
        await socket.close(code, session.closed_because[:100])

    def _frame(self, head: Head, body: bytes) -> bytes:
        return encode_frame(Head(head.servcmd, seq=head.seq, time=int(self._services.now())), body)


def _client_info(head: Head, timim: status.TimelineClient | None) -> ClientInfo:
    if timim is None:
        return ClientInfo(head.seq)
    client = ClientInfo(
        head.seq,
        is_timim=True,
        batch=timim.batch,
        platform=known_platform(timim.platform),
        run=timim.run,
        attempt=timim.attempt,
        max_frame_bytes=max(0, timim.max_frame_bytes),
        resumed=timim.resumed,
    )
    return replace(client, device=timim.instance) if timim.instance else client


def _too_long(size: int, limit: int) -> bytes:
    """Return the refusal that replaces a reply which the client would not accept, since it would close the connection."""
    info = f"the reply is {size} bytes long; this client accepts {limit}: request fewer items at once"
    return encode(error_reply(ServerRefused(info, code=REPLY_TOO_LONG)))


async def _cancel(*tasks: asyncio.Task[None]) -> list[Exception]:
    """Cancel tasks, wait for them, and return the errors that they ended with."""
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [result for result in results if isinstance(result, Exception)]


async def _receive(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1006)
    text = message.get("text")
    return text.encode() if text is not None else message.get("bytes") or b""


_OK = encode(Reply())
_OUT_OF_ORDER = RateLimited(
    "an earlier message was refused by a rate limit; send timeline.resume_sends, and the refused messages again",
    code=RATE_CODE,
    retry_after=OUT_OF_ORDER_S,
)
_NOT_LOGGED_IN = error_reply(AuthError("the connection is not logged in; send a login first", code=6014))
