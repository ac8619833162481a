"""The connection of one device: connect, log in, send heartbeats, and reconnect with full jitter after a loss.

Invariant: at most one websocket is open; a caller of `up()` gets it, or learns why there will be none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from ..errors import AuthError, ConnectionFailed, InvalidArgument, NotLoggedIn, TimimError
from ..protocol import session
from ..protocol.backoff import Backoff
from ..protocol.codec import Body, Command, Reply
from ..protocol.frames import Head
from ..util.tasks import gather_cancelling
from .pushes import ConnectionListener, PushReceiver
from .server_info import ServerInfo
from .websocket import Link

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
PLATFORM = 10  # "other" among TIM's platforms
LOGOUT_TIMEOUT_S = 2.0
COMPARE_S = 600.0  # a push that was lost between servers costs this much time at most, and no message


@dataclass(frozen=True, slots=True)
class Device:
    """The account and the kind of device that log in."""

    app_id: int
    user_id: str
    platform: str


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """One call of `Connection.start`: who is told of the connection, and the credentials."""

    listener: ConnectionListener
    user_sig: str
    instance: str
    first_login: asyncio.Future[None]


class Connection:
    """Keeps one device logged in from `start()` to `stop()`."""

    def __init__(
        self, url: str, device: Device, *, timeout_s: float, backoff: Backoff, now: Callable[[], float] = time.time
    ) -> None:
        if urlsplit(url).scheme not in ("ws", "wss"):
            raise InvalidArgument(f"the URL must begin with ws:// or wss://, not {url!r}")
        self._url = url.rstrip("/")
        self._device = device
        self._run, self._attempts = f"{_random.getrandbits(63):x}", 0
        self._resumed = False  # the server accepted this login before: later ones are the same device coming back
        self._timeout_s = timeout_s
        self._backoff = backoff
        self._now = now
        self._link: Link | None = None
        self._waiters: list[asyncio.Future[Link]] = []
        self._task: asyncio.Task[None] | None = None
        self._over: TimimError | None = None
        self._stopping = False
        self.server_info: ServerInfo = ServerInfo()
        self._clock_offset_s = 0.0
        self._loop_time: Callable[[], float] = time.monotonic  # until there is a loop

    @property
    def user_id(self) -> str:
        """The account of this device."""
        return self._device.user_id

    @property
    def online(self) -> bool:
        """Whether the device is logged in at this moment."""
        return self._link is not None

    @property
    def running(self) -> bool:
        """Whether the device is logged in, or tries to be."""
        return self._task is not None and not self._task.done()

    def server_time(self) -> float:
        """Return server seconds, by the clock of the last login and the loop's clock: this machine's own may be wrong."""
        return self._clock_offset_s + self._loop_time() if self._clock_offset_s else self._now()

    async def start(self, listener: ConnectionListener, *, user_sig: str, instance: str) -> None:
        """Log in; afterwards the connection is kept up until `stop()`.

        Raises:
            AuthError: the server refused the credentials.
            ConnectionFailed, RequestTimeout: the server cannot be reached, or did not answer.
            InvalidArgument: the URL is not one of a websocket.
        """
        loop = asyncio.get_running_loop()
        self._loop_time = loop.time
        login = LoginAttempt(listener, user_sig, instance, loop.create_future())
        self._over = None
        self._stopping = self._resumed = False
        self._task = asyncio.create_task(self._keep(login), name=f"timim connection {self.user_id}")
        try:
            await login.first_login
        except BaseException:
            await self._stop()
            raise

    async def stop(self) -> None:
        """Log out and close; callers that wait in `up()` get NotLoggedIn."""
        self._stopping = True
        if self._link is not None:
            try:
                await self._link.call(session.LOGOUT, Body(), timeout_s=LOGOUT_TIMEOUT_S)
            except TimimError:
                pass  # the server will see the socket close
        await self._stop()

    async def _stop(self) -> None:
        self._stopping = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._refuse(NotLoggedIn("the client is logged out"))

    def give_up(self, error: TimimError) -> None:
        """Stop reconnecting until the next `start()`: the server ended this login, or the local store is unusable."""
        self._over = error
        if self._task is not None:
            self._task.cancel()

    def cut(self) -> None:
        """Drop the websocket as a failing network does; the connection then reconnects."""
        if self._link is not None:
            self._link.cut()

    async def up(self) -> Link:
        """Return the websocket, waiting for one. Raises NotLoggedIn or AuthError when there will be none."""
        if self._link is not None:
            return self._link
        if not self.running:
            raise self._over or NotLoggedIn("log in first")
        waiter: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def link(self) -> Link:
        """Return the websocket. Raises NotLoggedIn or ConnectionFailed when there is none at this moment."""
        if self._link is not None:
            return self._link
        if not self.running:
            raise self._over or NotLoggedIn("log in first")
        raise ConnectionFailed("not connected at the moment")

    async def call(self, command: Command[B, R], body: B) -> R:
        """Send a request and return its reply. Raises ServerRefused, NotLoggedIn, NetworkError."""
        return await self.link().call(command, body, timeout_s=self._timeout_s)

    async def _keep(self, login: LoginAttempt) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._connect_once(login)
                    failures = 0
                except TimimError as exc:
                    if self._stopping or self._over is not None:
                        raise asyncio.CancelledError from exc
                    was_up, self._link = self._link is not None, None
                    if not login.first_login.done():
                        login.first_login.set_exception(exc)
                        return
                    final = isinstance(exc, AuthError)
                    if was_up or final:
                        failures = 0
                        login.listener.on_disconnected(exc, final)
                    if final:
                        self._refuse(exc)
                        return
                await asyncio.sleep(self._backoff.wait_s(failures, _random))
                failures += 1
        except asyncio.CancelledError:
            self._link = None
            if self._over is not None:
                self._refuse(self._over)
                login.listener.on_disconnected(self._over, True)
                return
            raise

    async def _connect_once(self, login: LoginAttempt) -> None:
        """Open a websocket and keep it until it ends; the end is always an exception."""
        query = urlencode({"sdkappid": self._device.app_id, "instanceid": login.instance, "platform": PLATFORM})
        pushes = PushReceiver(login.listener)
        link = await Link.open(f"{self._url}/binfo?{query}", pushes, timeout_s=self._timeout_s)
        try:
            await gather_cancelling(link.run(), self._keep_alive(link, login, pushes))
        finally:
            await link.close()

    async def _keep_alive(self, link: Link, login: LoginAttempt, pushes: PushReceiver) -> None:
        reply = await self._log_in(link, login)
        self._link = link
        login.listener.on_connected(reply)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(link)
        if not login.first_login.done():
            login.first_login.set_result(None)
        compared = self._loop_time()
        while True:
            await asyncio.sleep(max(1.0, reply.hello_interval / 2))  # two a server's interval: one lost is noise
            beat = await link.call(session.HEARTBEAT, Body(), timeout_s=self._timeout_s)
            lost = isinstance(beat.pushes, int) and pushes.compare(beat.pushes)
            if lost or self._loop_time() - compared > COMPARE_S:
                compared = self._loop_time()
                login.listener.on_push_gap()

    async def _log_in(self, link: Link, login: LoginAttempt) -> session.LoginReply:
        app_id = self._device.app_id
        link.head = Head("", identifier=self.user_id, usersig=login.user_sig, sdkappid=app_id, platform=PLATFORM)
        self._attempts += 1
        hello = session.TimelineClient(
            batch=True,
            instance=login.instance,
            platform=self._device.platform,
            resumed=self._resumed,
            run=self._run,
            attempt=self._attempts,
        )
        reply = await link.call(session.LOGIN, session.LoginRequest(client=hello), timeout_s=self._timeout_s)
        self._resumed = True
        link.head = Head("", a2=reply.a2_key, tinyid=reply.tiny_id, status_instid=reply.inst_id, sdkappid=app_id)
        self.server_info.token = reply.a2_key
        server = reply.server
        now_s = float(reply.time_stamp)
        if not isinstance(server, msgspec.UnsetType):
            link.batch = server.batch
            self.server_info.media_url, self.server_info.media_limits = server.media_url, server.media_limits
            now_s = server.time_ms / 1000 or now_s
        self._clock_offset_s = now_s - self._loop_time()
        return reply

    def _refuse(self, error: TimimError) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


_random = random.Random()
