"""This node's connection to NATS: what is subscribed stays so through every loss, what waits to be written has a bound.

Invariant: whatever was lost here, or may have been, is reported to the listener.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ..metrics import BusMetrics

log = logging.getLogger("timim.server")

WAITING_LIMIT = 20_000  # messages that wait to be written; past it they are dropped and reported
ANSWER_S = 2  # a NATS server that does not answer within it is not waited for
RECONNECT_S = 0.2  # between two tries of the same server
PING_S = 2.0  # a connection that is silently dead is noticed after two of these

MessageHandler = Callable[[Msg], Awaitable[None]]


class TaskSet:
    """Tasks with one owner, who ends them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: %r", task.get_name(), error)


class NatsListener(Protocol):
    """Whom a connection tells of its losses. No method may block."""

    def on_disconnected(self) -> None:
        """Note that nothing can be sent or heard."""
        ...

    def on_reconnected(self) -> None:
        """Note that the connection is there, for the first time or again."""
        ...

    def on_loss(self, *, sent: bool) -> None:
        """Note that messages were lost: some that this node sent, or some that it should have heard."""
        ...


class NatsConnection:
    """The connection of this node. `away`: nothing can be sent or heard now."""

    def __init__(self, servers: Sequence[str], listener: NatsListener, metrics: BusMetrics) -> None:
        self._servers = list(servers)
        self._listener = listener
        self._client: Client | None = None
        self._wanted: dict[str, MessageHandler] = {}  # subject → who hears it
        self._subscriptions: dict[str, Subscription] = {}
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()
        self._tasks = TaskSet()
        self.away = True
        self.lost = False  # a message was dropped here
        self._metrics = metrics
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; when NATS does not answer within ANSWER_S, go on without it until it does."""
        self._tasks.spawn(self._write_all(), "timim nats writer")
        connecting = self._tasks.spawn(self._connect(), "timim nats connect")
        await asyncio.wait((connecting,), timeout=ANSWER_S)

    async def stop(self) -> None:
        """Write what waits, and leave."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            try:
                while self._waiting:
                    await client.publish(*self._waiting.popleft())
                await client.flush(timeout=1)
            except (nats.errors.Error, OSError, TimeoutError):
                pass  # hints
        await self._tasks.cancel_all()
        if client is not None:
            try:
                async with asyncio.timeout(ANSWER_S):  # it would wait for a server that is away
                    await client.close()
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.info("leaving NATS: %r", exc)

    def send(self, subject: str, message: bytes) -> None:
        """Queue a message, or drop it: others compare while NATS is away, and when it is back."""
        if self.away:
            self._drop()
        elif len(self._waiting) >= WAITING_LIMIT:
            self._drop()
            self._listener.on_loss(sent=True)
        else:
            self._metrics.published.inc()
            self._waiting.append((subject, message))
            self._wake.set()

    def _drop(self) -> None:
        self.lost = True
        self._metrics.dropped.inc()

    async def subscribe(self, subject: str, hear: MessageHandler) -> None:
        """Subscribe, for as long as the node runs or until `leave`."""
        self._wanted[subject] = hear
        if self._client is None or subject in self._subscriptions:
            return
        try:
            subscription = await self._client.subscribe(subject, cb=hear)
        except nats.errors.Error as exc:
            log.warning("NATS: cannot subscribe: %r", exc)
            return
        if subject in self._subscriptions or subject not in self._wanted:  # somebody was faster, or it ended meanwhile
            await self._unsubscribe(subscription)
        else:
            self._subscriptions[subject] = subscription

    def unsubscribe(self, subject: str) -> None:
        self._wanted.pop(subject, None)
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None:
            self._tasks.spawn(self._unsubscribe(subscription), "timim nats leave")

    async def flush(self) -> None:
        """Wait until the NATS server knows what was subscribed, if it answers.

        One round trip serves all who came before it began.
        """
        if self._next_flush is None:
            self._next_flush = self._tasks.spawn(self._flush_after(self._flushing), "timim nats flush")
        await asyncio.wait((self._next_flush,))

    async def _flush_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))
        self._flushing, self._next_flush = self._next_flush, None  # who comes from now on waits for another
        if self._client is not None and self._client.is_connected:
            try:
                await self._client.flush(timeout=ANSWER_S)
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.info("NATS does not answer: %r", exc)

    async def _unsubscribe(self, subscription: Subscription) -> None:
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as exc:
            log.info("NATS: %r", exc)

    async def _connect(self) -> None:
        while True:
            try:
                self._client = await nats.connect(
                    self._servers,
                    name="timim",
                    no_echo=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_S,
                    connect_timeout=ANSWER_S,
                    ping_interval=PING_S,
                    max_outstanding_pings=2,
                    disconnected_cb=self._went,
                    reconnected_cb=self._came_back,
                    error_cb=self._failed,
                    allow_reconnect=True,
                )
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.warning("NATS is not there: %r", exc)
                await asyncio.sleep(RECONNECT_S)
                continue
            break
        for subject, hear in list(self._wanted.items()):
            await self.subscribe(subject, hear)
        await self._came_back()

    async def _went(self) -> None:
        if self._client is not None and not self.away:
            self.away = True
            log.warning("NATS is away")
            self._listener.on_disconnected()

    async def _came_back(self) -> None:
        self.away = False
        self._waiting.clear()
        self._listener.on_reconnected()

    async def _failed(self, error: Exception) -> None:
        log.log(logging.DEBUG if self.away else logging.WARNING, "NATS: %r", error)  # each try while it is away is one
        if isinstance(error, nats.errors.SlowConsumerError):
            self._listener.on_loss(sent=False)

    async def _write_all(self) -> None:
        while True:
            while self._waiting and self._client is not None:
                try:
                    await self._client.publish(*self._waiting.popleft())
                except (nats.errors.Error, OSError) as exc:
                    self._drop()
                    self._listener.on_loss(sent=True)
                    log.info("NATS: %r", exc)
            self._wake.clear()
            await self._wake.wait()
