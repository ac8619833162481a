"""This node's connection to NATS. Subscriptions survive reconnects, and the send queue is bounded.

Invariant: every certain or possible loss of messages on this connection is reported to the listener.
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

from ...util.outage import OutageLog
from ..metrics import BusMetrics

log = logging.getLogger("timim.server")

WAITING_LIMIT = 20_000  # messages in the send queue; further ones are dropped and reported as a loss
ANSWER_S = 2  # nothing waits longer for a response of NATS
RECONNECT_S = 0.2  # between two attempts on the same server
PING_S = 2.0
MISSED_PINGS = 2  # unanswered pings after which the connection counts as lost
_CONNECTION_ERRORS = (nats.errors.UnexpectedEOF, nats.errors.StaleConnectionError, OSError, TimeoutError)

MessageHandler = Callable[[Msg], Awaitable[None]]


class TaskSet:
    """A set of tasks that their owner can cancel together. An error of a task is logged."""

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
            log.error("task %s failed: %r", task.get_name(), error)


class NatsListener(Protocol):
    """The object that a NatsConnection notifies of losses and reconnects. No method may block."""

    def on_disconnected(self) -> None:
        """React to the loss of the connection: nothing can be sent or received."""
        ...

    def on_reconnected(self) -> None:
        """React to a new connection to NATS. Also called for the first connection."""
        ...

    def on_loss(self, *, sent: bool) -> None:
        """React to a loss of messages. If `sent`, this node's own messages were lost, otherwise messages to this node."""
        ...


class NatsConnection:
    """The connection of this node. While `away` is set, nothing can be sent or received."""

    def __init__(self, servers: Sequence[str], listener: NatsListener, metrics: BusMetrics) -> None:
        self._servers = list(servers)
        self._listener = listener
        self._client: Client | None = None
        self._wanted: dict[str, MessageHandler] = {}  # subject → handler
        self._subscriptions: dict[str, Subscription] = {}
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()
        self._tasks = TaskSet()
        self.away = True
        self.lost = False  # a message of this node was dropped
        self._outage = OutageLog(log, "NATS")
        self._last_error: Exception | None = None  # since the connection was made
        self._metrics = metrics
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. If NATS does not respond within ANSWER_S, return and keep connecting in the background."""
        self._tasks.spawn(self._write_all(), "timim nats writer")
        connecting = self._tasks.spawn(self._connect(), "timim nats connect")
        await asyncio.wait((connecting,), timeout=ANSWER_S)
        if not connecting.done():
            log.warning("NATS does not respond; until it does, messages from other nodes arrive late (see TIMIM_BUS)")

    async def stop(self) -> None:
        """Send the queued messages and disconnect."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            try:
                while self._waiting:
                    await client.publish(*self._waiting.popleft())
                await client.flush(timeout=1)
            except (nats.errors.Error, OSError, TimeoutError):
                pass  # hints may be lost
        await self._tasks.cancel_all()
        if client is not None:
            try:
                async with asyncio.timeout(ANSWER_S):  # close() would wait for a server that does not respond
                    await client.close()
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.debug("cannot close the connection to NATS: %r", exc)

    def send(self, subject: str, message: bytes) -> None:
        """Queue a message. Drop it if NATS is unavailable or the queue is full; the other nodes then read the store."""
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
        """Subscribe to a subject until `unsubscribe`, also after reconnects."""
        self._wanted[subject] = hear
        if self._client is None or subject in self._subscriptions:
            return
        try:
            subscription = await self._client.subscribe(subject, cb=hear)
        except nats.errors.Error as exc:
            log.warning("cannot subscribe to NATS subject %s: %r", subject, exc)
            return
        if subject in self._subscriptions or subject not in self._wanted:  # another task has changed this in the meantime
            await self._unsubscribe(subscription)
        else:
            self._subscriptions[subject] = subscription

    def unsubscribe(self, subject: str) -> None:
        self._wanted.pop(subject, None)
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None:
            self._tasks.spawn(self._unsubscribe(subscription), "timim nats leave")

    async def flush(self) -> None:
        """Wait until the NATS server has processed the subscriptions, at most about ANSWER_S.

        One round trip serves all callers that came before it began.
        """
        if self._next_flush is None:
            self._next_flush = self._tasks.spawn(self._flush_after(self._flushing), "timim nats flush")
        await asyncio.wait((self._next_flush,))

    async def _flush_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))
        self._flushing, self._next_flush = self._next_flush, None  # later callers need another round trip
        if self._client is not None and self._client.is_connected:
            try:
                await self._client.flush(timeout=ANSWER_S)
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.debug("NATS did not confirm the subscriptions: %r", exc)

    async def _unsubscribe(self, subscription: Subscription) -> None:
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as exc:
            log.debug("cannot unsubscribe from NATS: %r", exc)

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
                    max_outstanding_pings=MISSED_PINGS,
                    disconnected_cb=self._went,
                    reconnected_cb=self._came_back,
                    error_cb=self._failed,
                    allow_reconnect=True,
                )
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.debug("cannot connect to NATS: %r", exc)
                await asyncio.sleep(RECONNECT_S)
                continue
            break
        for subject, hear in list(self._wanted.items()):
            await self.subscribe(subject, hear)
        log.info("connected to NATS")
        await self._came_back()

    async def _went(self) -> None:
        if self._client is not None and not self.away:
            self.away = True
            silent = f"no response to {MISSED_PINGS} pings"  # the client library reports every other reason as an error
            self._outage.on_failure(repr(self._last_error) if self._last_error is not None else silent)
            self._listener.on_disconnected()

    async def _came_back(self) -> None:
        self.away = False
        self._last_error = None
        self._outage.on_success()
        self._waiting.clear()
        self._listener.on_reconnected()

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, _CONNECTION_ERRORS):
            self._last_error = error
        # a lost connection is logged once, by `_went`; the client library reports each failed attempt to reconnect
        level = logging.DEBUG if self.away or isinstance(error, _CONNECTION_ERRORS) else logging.WARNING
        log.log(level, "NATS reports an error: %r", error)
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
                    log.debug("dropped a message to NATS: %r", exc)
            self._wake.clear()
            await self._wake.wait()
