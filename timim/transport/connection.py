"""Keeping one device logged in: connect, log in, heartbeat, and again with full jitter when the link is lost.

Invariant: at most one link is up; whoever waits for it (`up()`) gets it, or learns why there will be none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from ..errors import AuthError, ConnectionFailed, InvalidArgument, NotLoggedIn, TimimError
from ..protocol import session
from ..protocol.backoff import Backoff
from ..protocol.codec import Body, Command, Reply, decode
from ..protocol.frames import Frame, Head
from ..util.tasks import together
from .server_info import ServerInfo
from .websocket import Link

B = TypeVar("B", bound=Body)
R = TypeVar("R", bound=Reply)
PLATFORM = 10  # "other" among TIM's platforms
LOGOUT_TIMEOUT_S = 2.0
COMPARE_S = 600.0  # a hint that was lost between servers costs this much time at the most, and no message


class Connection:
    """`on_push` gets decoded pushes; `on_up` and `on_down` are called as the link comes and goes, and must not block.

    `on_stale` is called when pushes were lost on the way, and now and then anyway: compare with what the server has.
    """

    def __init__(
        self,
        url: str,
        *,
        app_id: int,
        user_id: str,
        user_sig: Callable[[], str],
        instance: Callable[[], str],
        platform: str,
        on_push: Callable[[session.DecodedPush], None],
        on_up: Callable[[session.LoginReply], None],
        on_down: Callable[[TimimError, bool], None],
        on_stale: Callable[[], None],
        timeout_s: float,
        backoff: Backoff,
        now: Callable[[], float] = time.time,
    ) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in ("ws", "wss"):
            raise InvalidArgument(f"the URL must begin with ws:// or wss://, not {url!r}")
        self._url = url.rstrip("/")
        self._app_id = app_id
        self._user_id = user_id
        self._user_sig = user_sig
        self._instance = instance
        self._platform = platform
        self._run, self._attempts = f"{_random.getrandbits(63):x}", 0
        self._resumed = False  # the server took this login once: what comes is the same one coming back
        self._on_push = on_push
        self._on_up = on_up
        self._on_down = on_down
        self._on_stale = on_stale
        self._pushes = 0
        self._timeout_s = timeout_s
        self._backoff = backoff
        self._now = now
        self._link: Link | None = None
        self._waiters: list[asyncio.Future[Link]] = []
        self._task: asyncio.Task[None] | None = None
        self._over: TimimError | None = None
        self._stopping = False
        self.server_info = ServerInfo()
        self._clock_offset_s = 0.0
        self._loop_time: Callable[[], float] = time.monotonic  # until there is a loop

    @property
    def user_id(self) -> str:
        return self._user_id

    @property
    def online(self) -> bool:
        return self._link is not None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def server_time(self) -> float:
        """Server seconds, by the clock of the last login and the loop's clock: this machine's own may be wrong."""
        return self._clock_offset_s + self._loop_time() if self._clock_offset_s else self._now()

    async def start(self) -> None:
        """Log in; afterwards the link is kept alive. Raises AuthError, ConnectionFailed, RequestTimeout, InvalidArgument."""
        loop = asyncio.get_running_loop()
        self._loop_time = loop.time
        first: asyncio.Future[None] = loop.create_future()
        self._over = None
        self._stopping = self._resumed = False
        self._task = asyncio.create_task(self._keep(first), name=f"timim connection {self._user_id}")
        try:
            await first
        except BaseException:
            await self._stop()
            raise

    async def stop(self) -> None:
        """Log out and close; waiters end with NotLoggedIn."""
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
        """Do not come back, until the next `start()`: the server ended this device's login, or nothing can be kept."""
        self._over = error
        if self._task is not None:
            self._task.cancel()

    def cut(self) -> None:
        """Lose the link, as when the network goes; it is found again as ever."""
        if self._link is not None:
            self._link.cut()

    async def up(self) -> Link:
        """The link, once there is one. Raises NotLoggedIn or AuthError when there will be none."""
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
        """The link now. Raises NotLoggedIn or ConnectionFailed."""
        if self._link is not None:
            return self._link
        if not self.running:
            raise self._over or NotLoggedIn("log in first")
        raise ConnectionFailed("not connected at the moment")

    async def call(self, command: Command[B, R], body: B) -> R:
        """Ask and wait for the reply. Raises what the reply refuses, NotLoggedIn, NetworkError."""
        return await self.link().call(command, body, timeout_s=self._timeout_s)

    async def _keep(self, first: asyncio.Future[None]) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._once(first)
                    failures = 0
                except TimimError as exc:
                    if self._stopping or self._over is not None:
                        raise asyncio.CancelledError from exc
                    was_up, self._link = self._link is not None, None
                    if not first.done():
                        first.set_exception(exc)
                        return
                    final = isinstance(exc, AuthError)
                    if was_up or final:
                        failures = 0
                        self._on_down(exc, final)
                    if final:
                        self._refuse(exc)
                        return
                await asyncio.sleep(self._backoff.wait_s(failures, _random))
                failures += 1
        except asyncio.CancelledError:
            self._link = None
            if self._over is not None:
                self._refuse(self._over)
                self._on_down(self._over, True)
                return
            raise

    async def _once(self, first: asyncio.Future[None]) -> None:
        """One link, from its opening to its end, which is always an exception."""
        query = urlencode({"sdkappid": self._app_id, "instanceid": self._instance(), "platform": PLATFORM})
        self._pushes = 0
        link = await Link.open(f"{self._url}/binfo?{query}", self._receive, timeout_s=self._timeout_s)
        try:
            await together(link.run(), self._live(link, first))
        finally:
            await link.close()

    async def _live(self, link: Link, first: asyncio.Future[None]) -> None:
        link.head = Head("", identifier=self._user_id, usersig=self._user_sig(), sdkappid=self._app_id, platform=PLATFORM)
        self._attempts += 1
        hello = session.TimelineClient(
            batch=True,
            instance=self._instance(),
            platform=self._platform,
            resumed=self._resumed,
            run=self._run,
            attempt=self._attempts,
        )
        reply = await link.call(session.LOGIN, session.LoginRequest(client=hello), timeout_s=self._timeout_s)
        self._resumed = True
        link.head = Head("", a2=reply.a2_key, tinyid=reply.tiny_id, status_instid=reply.inst_id, sdkappid=self._app_id)
        self.server_info.token = reply.a2_key
        server = reply.server
        now_s = float(reply.time_stamp)
        if not isinstance(server, msgspec.UnsetType):
            link.batch = server.batch
            self.server_info.media_url, self.server_info.media_limits = server.media_url, server.media_limits
            now_s = server.time_ms / 1000 or now_s
        self._clock_offset_s = now_s - self._loop_time()
        self._link = link
        self._on_up(reply)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(link)
        if not first.done():
            first.set_result(None)
        compared = self._loop_time()
        while True:
            await asyncio.sleep(max(1.0, reply.hello_interval / 2))  # two a server's interval: one lost is noise
            beat = await link.call(session.HEARTBEAT, Body(), timeout_s=self._timeout_s)
            lost = isinstance(beat.pushes, int) and beat.pushes > self._pushes
            if lost or self._loop_time() - compared > COMPARE_S:
                self._pushes = max(self._pushes, beat.pushes if isinstance(beat.pushes, int) else 0)
                compared = self._loop_time()
                self._on_stale()

    def _receive(self, frame: Frame) -> None:
        """A push: those of a session are numbered from 1."""
        seq = frame.head.seq
        if seq <= self._pushes:
            return  # it came twice, or what it said was fetched as lost
        if seq > self._pushes + 1:
            self._on_stale()
        self._pushes = seq
        self._on_push(decode(session.DecodedPush, frame.body))

    def _refuse(self, error: TimimError) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)


_random = random.Random()
