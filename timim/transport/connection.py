"""The connection of one device: connect, log in, send heartbeats, and reconnect with full jitter after a loss.

Invariant: at most one websocket is open; `up()` returns it, or raises the error that ended the login.

An outage is logged as two INFO records: the loss with its reason, and the restoration with the length of the outage.
A login that the server ended or refused is a WARNING, and each attempt to connect a DEBUG record.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from ..errors import AuthError, ConnectionFailed, NotLoggedIn, SignatureExpired, TimimError
from ..protocol import session
from ..protocol.backoff import Backoff
from ..protocol.codec import Body, Command, Reply
from ..protocol.frames import Head
from ..util.msg_ids import MSG_IDS
from ..util.tasks import gather_cancelling
from .home_loop import HomeLoop
from .link_end import why_ended
from .network import DIRECT, NetworkOptions, checked_url
from .pushes import ConnectionListener, PushReceiver
from .server_info import ServerInfo
from .signature import SignatureSource, UserSig
from .websocket import MAX_FRAME_BYTES, Link

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
log = logging.getLogger(__name__)
PLATFORM = 10  # "other" among TIM's platforms
LOGOUT_TIMEOUT_S = 2.0
UNANSWERED_LIMIT = 3  # after as many connections in a row with no answer but to the login, the pauses grow
SHORT_LIFE_S, SHORT_LIVES_LIMIT = 1.0, 20  # after as many connections in a row that lived so short, the pauses grow
EXPIRY_NOTICE_S = 3600.0  # the end of the signature is reported this long before, or in the last tenth of its time
COMPARE_S = 600.0  # seconds between syncs, so that a push that was lost between server nodes is only delayed


@dataclass(frozen=True, slots=True)
class Device:
    """The account and the type of the device that logs in."""

    app_id: int
    user_id: str
    platform: str


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """The arguments of one call of `Connection.start`, and the future of the first login."""

    listener: ConnectionListener
    signatures: SignatureSource
    instance: str
    first_login: asyncio.Future[None]


class Connection:
    """Keeps one device logged in from `start()` to `stop()`."""

    def __init__(
        self,
        url: str,
        device: Device,
        *,
        timeout_s: float,
        backoff: Backoff,
        now: Callable[[], float] = time.time,
        network: NetworkOptions = DIRECT,
    ) -> None:
        self._url = checked_url(url)
        self._device = device
        self._run, self._attempts = f"{_random.getrandbits(63):x}", 0
        self._resumed = False  # the server has accepted this login before: later attempts are reconnects of the device
        self.timeout_s: float = timeout_s
        self._backoff = backoff
        self._now = now
        self._network = network
        self.home: HomeLoop = HomeLoop()
        self._link: Link | None = None
        self._waiters: list[asyncio.Future[Link]] = []
        self._task: asyncio.Task[None] | None = None
        self._over: TimimError | None = None
        self._stopping = False
        self.server_info: ServerInfo = ServerInfo()
        self._clock_offset_s = 0.0
        self._loop_time: Callable[[], float] = time.monotonic  # `start` replaces it with the loop's clock
        self._expires_at = math.inf  # server time at which the signature of the login ends
        self._up_at = 0.0  # loop time of the last login
        self._was_answered = False  # the server answered more than the last login
        self._lost_at: float | None = None  # loop time at which the outage began, None while there is none

    @property
    def user_id(self) -> str:
        """The user id of this device's account."""
        return self._device.user_id

    @property
    def online(self) -> bool:
        """True while the device is logged in."""
        return self._link is not None

    @property
    def running(self) -> bool:
        """True while the device is logged in or is trying to log in."""
        return self._task is not None and not self._task.done()

    @property
    def over(self) -> TimimError | None:
        """The error that ended the login for good; None while the client reconnects by itself, and after a logout."""
        return self._over

    def server_time(self) -> float:
        """Return the server's time in seconds, from the last login and the loop's clock: this machine's clock may be wrong."""
        return self._clock_offset_s + self._loop_time() if self._clock_offset_s else self._now()

    async def start(self, listener: ConnectionListener, *, user_sig: UserSig, instance: str) -> None:
        """Log in, and keep the connection up until `stop()`.

        Raises:
            AuthError: The server refused the credentials.
            ConnectionFailed, RequestTimeout: The server cannot be reached, or did not reply.
            InvalidArgument: The URL is not a websocket URL.
        """
        loop = asyncio.get_running_loop()
        self._loop_time = loop.time
        login = LoginAttempt(listener, SignatureSource(user_sig), instance, loop.create_future())
        self._over = self._lost_at = None
        self._expires_at = math.inf
        self._stopping = self._resumed = False
        self._task = asyncio.create_task(self._keep(login), name=f"timim connection {self.user_id}")
        self._task.add_done_callback(partial(self._on_task_done, login))
        try:
            await login.first_login
        except BaseException:
            await self._stop()
            raise

    async def stop(self) -> None:
        """Log out and close the connection; callers that wait in `up()` get NotLoggedIn."""
        self._stopping = True
        if self._link is not None:
            try:
                await self._link.call(session.LOGOUT, Body(), timeout_s=LOGOUT_TIMEOUT_S)
            except TimimError:
                pass  # the server detects the closed socket
        await self._stop()

    async def _stop(self) -> None:
        self._stopping = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._refuse(NotLoggedIn("the client is logged out"))

    def _on_task_done(self, login: LoginAttempt, _task: asyncio.Task[None]) -> None:
        """End a `start()` that still waits, because the task was cancelled."""
        if not login.first_login.done():
            login.first_login.set_exception(self._over or NotLoggedIn("the client logged out during the login"))
            login.first_login.exception()  # mark as retrieved: the login may have been cancelled

    def _on_fault(self, login: LoginAttempt, exc: Exception) -> None:
        """End the login and the calls that wait for the connection, because its task failed with an unexpected exception."""
        self._link = None
        log.error("the connection of %s failed; log in again", self.user_id, exc_info=exc)
        error = self._over = ConnectionFailed(f"the connection failed by a fault of timim ({type(exc).__name__}); log in again")
        error.__cause__ = exc
        self._refuse(error)
        if not login.first_login.done():
            login.first_login.set_exception(error)
        else:
            login.listener.on_disconnected(error, True)

    def give_up(self, error: TimimError) -> None:
        """Close the connection until the next `start()`, because the server ended the login or the local store failed."""
        self._over = error
        if self._task is not None:
            self._task.cancel()

    def cut(self) -> None:
        """Abort the websocket as a failing network does; the connection then reconnects."""
        if self._link is not None:
            self._link.cut()

    async def up(self) -> Link:
        """Return the websocket, waiting until the device is logged in.

        Raises:
            NotLoggedIn: The client is logged out.
            AuthError: The server ended or refused the login.
            TimimError: The login ended for another reason: a corrupt local store, or a fault of timim.
        """
        self.home.check()
        if self._link is not None:
            return self._link
        if not self.running:
            raise self._over or NotLoggedIn("the client is not logged in; call login() first")
        waiter: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def link(self) -> Link:
        """Return the websocket. Raises NotLoggedIn or ConnectionFailed if there is none, InvalidArgument in another loop."""
        self.home.check()
        if self._link is not None:
            return self._link
        if not self.running:
            raise self._over or NotLoggedIn("the client is not logged in; call login() first")
        raise ConnectionFailed("the connection is lost; it is restored automatically")

    async def call(self, command: Command[B, R], body: B) -> R:
        """Send a request and return its reply.

        Raises:
            ServerRefused: The server refused the request.
            NotLoggedIn: The client is logged out.
            NetworkError: The connection is lost, or the server did not reply in time.
        """
        return await self.link().call(command, body, timeout_s=self.timeout_s)

    async def _keep(self, login: LoginAttempt) -> None:
        failures = short_lives = unanswered = 0
        pause_s = 0.0
        try:
            while True:
                try:
                    await self._connect_once(login)
                except TimimError as exc:
                    if self._stopping or self._over is not None:
                        raise asyncio.CancelledError from exc
                    was_up, self._link = self._link is not None, None
                    if not login.first_login.done():
                        log.debug("the login of %s failed: %s", self.user_id, exc)
                        login.first_login.set_exception(exc)
                        return
                    error = self._expired(login, exc)
                    final = isinstance(error, AuthError) and not login.signatures.can_renew(error)
                    self._log_failure(error, was_up=was_up, final=final)
                    if was_up or final:
                        # the pauses grow while each connection ends because of its content, or several in a row without an
                        # answer, or many in a row at once
                        unanswered = 0 if self._was_answered else unanswered + 1
                        short_lives = short_lives + 1 if self._loop_time() - self._up_at < SHORT_LIFE_S else 0
                        at_once = unanswered >= UNANSWERED_LIMIT or short_lives >= SHORT_LIVES_LIMIT
                        if not at_once and not why_ended(error).is_lasting:
                            failures = 0
                        login.listener.on_disconnected(error, final)
                    if final:
                        self._over = error
                        self._refuse(error)
                        return
                    pause_s = error.retry_after or 0.0
                wait_s = max(pause_s, self._backoff.wait_s(failures, _random))
                if login.signatures.fixed:  # its end is reported at once, not after a long wait
                    wait_s = min(wait_s, max(0.0, self._expires_at - self.server_time()))
                await asyncio.sleep(wait_s)
                failures += 1
        except asyncio.CancelledError:
            self._link = None
            if self._over is not None:
                log.warning("the login of %s ended; the client does not reconnect: %s", self.user_id, self._over)
                self._refuse(self._over)
                login.listener.on_disconnected(self._over, True)
                return
            raise
        except Exception as exc:  # noqa: BLE001  reported; handled here, because callers can look before a done callback runs
            self._on_fault(login, exc)

    def _expired(self, login: LoginAttempt, error: TimimError) -> TimimError:
        """Return the error that ends the login if no further attempt can succeed with its signature, otherwise `error`."""
        if login.signatures.fixed and self.server_time() >= self._expires_at:
            return SignatureExpired(f"the UserSig of {self.user_id!r} has expired; log in with a new one")
        return error

    def _log_failure(self, error: TimimError, *, was_up: bool, final: bool) -> None:
        if was_up:
            self._lost_at = self._loop_time()
            log.info("lost the connection of %s: %s", self.user_id, error)
        if final:
            log.warning("the server refused the login of %s; the client does not reconnect: %s", self.user_id, error)
        elif not was_up:
            log.debug("reconnecting %s failed: %s", self.user_id, error)

    def _log_login(self) -> None:
        if self._lost_at is None:
            log.debug("logged in as %s", self.user_id)
        else:
            log.info("restored the connection of %s after %.1f s", self.user_id, self._loop_time() - self._lost_at)
            self._lost_at = None

    async def _connect_once(self, login: LoginAttempt) -> None:
        """Open a websocket, log in, and run until the websocket ends, which raises an exception."""
        query = urlencode({"sdkappid": self._device.app_id, "instanceid": login.instance, "platform": PLATFORM})
        pushes = PushReceiver(login.listener)
        link = await Link.open(f"{self._url}/binfo?{query}", pushes, timeout_s=self.timeout_s, network=self._network)
        try:
            await gather_cancelling(link.run(), self._keep_alive(link, login, pushes))
        finally:
            self._was_answered = link.frames_received > 1
            await link.close()

    async def _keep_alive(self, link: Link, login: LoginAttempt, pushes: PushReceiver) -> None:
        reply = await self._log_in(link, login)
        self._link, self._up_at = link, self._loop_time()
        self._log_login()
        login.listener.on_connected(reply)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(link)
        if not login.first_login.done():
            login.first_login.set_result(None)
        compared = self._loop_time()
        notice_at = self._expires_at - min(EXPIRY_NOTICE_S, (self._expires_at - self.server_time()) / 10)
        while True:
            pause_s = max(1.0, reply.hello_interval / 2)  # half the server's interval: one heartbeat may be lost
            await asyncio.sleep(min(pause_s, max(0.0, notice_at - self.server_time())))
            if self.server_time() >= notice_at:
                notice_at = math.inf
                login.listener.on_signature_expiring(self._expires_at)
            beat = await link.call(session.HEARTBEAT, Body(), timeout_s=self.timeout_s)
            lost = isinstance(beat.pushes, int) and pushes.compare(beat.pushes)
            if lost or self._loop_time() - compared > COMPARE_S:
                compared = self._loop_time()
                login.listener.on_push_gap()

    async def _log_in(self, link: Link, login: LoginAttempt) -> session.LoginReply:
        app_id = self._device.app_id
        user_sig = await login.signatures.next(timeout_s=self.timeout_s)
        link.head = Head("", identifier=self.user_id, usersig=user_sig, sdkappid=app_id, platform=PLATFORM)
        self._attempts += 1
        hello = session.TimelineClient(
            batch=True,
            instance=login.instance,
            platform=self._device.platform,
            resumed=self._resumed,
            run=self._run,
            attempt=self._attempts,
            max_frame_bytes=MAX_FRAME_BYTES,
        )
        reply = await link.call(session.LOGIN, session.LoginRequest(client=hello), timeout_s=self.timeout_s)
        self._resumed = True
        link.head = Head("", a2=reply.a2_key, tinyid=reply.tiny_id, status_instid=reply.inst_id, sdkappid=app_id)
        self.server_info.token = reply.a2_key
        server = reply.server
        now_s = float(reply.time_stamp)
        if not isinstance(server, msgspec.UnsetType):
            link.batch, link.limit_bytes, link.paces = server.batch, server.max_frame_bytes, True
            self.server_info.max_message_bytes = server.max_message_bytes
            self.server_info.media_url, self.server_info.media_limits = server.media_url, server.media_limits
            now_s = server.time_ms / 1000 or now_s
        self._clock_offset_s = now_s - self._loop_time()
        MSG_IDS.calibrate(now_s)
        self._expires_at = float(reply.expired_time or math.inf)
        return reply

    def _refuse(self, error: TimimError) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


_random = random.Random()
