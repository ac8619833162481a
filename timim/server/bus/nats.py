"""The bus between nodes on NATS: a subject for each user, and each group, that has sessions on the node.

What is published is a hint. Whenever one may have been lost (NATS was away, a queue overflowed, another node says that it
lost its own), every session of this node is told to compare with the store; while NATS is away, again and again.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client import CollectorRegistry

from ...errors import TimimError
from ..metrics import BusMetrics
from .base import Event, Facts, Listener
from .hints import NEWCOMER_S, Hint, Newcomers, pack, unpack, unpack_facts

log = logging.getLogger("timim.server")

WAITING_LIMIT = 20_000  # hints that wait to be written; past it they are dropped and repaired
FLUSH_S = 2  # a login waits so long to be heard of everywhere; later the comparison repairs it
RECONNECT_S = 0.2
PING_S = 5.0  # a connection that is silently dead is noticed after two of these
AWAY_COMPARE_S = 5.0  # while NATS is away, what other nodes posted is found this late
PLACES_AT_ONCE = 8


class NatsBus:
    """`places_of` tells a user's groups and the first seq that the user sees in each. The constructor does no I/O."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        prefix: str,
        places_of: Callable[[str], Awaitable[dict[str, int]]],
        metrics: BusMetrics | None = None,
    ) -> None:
        self._servers = list(servers)
        self._prefix = prefix
        self._places_of = places_of
        self._listeners: list[Listener] = []
        self._connection: Connection | None = None
        self._wanted: dict[str, Callable[[Msg], Awaitable[None]]] = {}  # subject → who hears it
        self._subscriptions: dict[str, Subscription] = {}
        self._sessions: dict[str, int] = {}  # user → sessions here
        self._begun: dict[str, asyncio.Task[None]] = {}
        self._places: dict[str, set[str]] = {}  # user with sessions here → groups
        self._groups: dict[str, dict[str, int]] = {}  # group → users with sessions here → first seq seen
        self._moved: set[str] = set()  # users whose groups changed while they were read
        self._newcomers = Newcomers()
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._dropped = False
        self.away = True
        self._metrics = metrics or BusMetrics(CollectorRegistry())
        self._metrics.connected.set_function(lambda: not self.away)

    def join(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def start(self) -> None:
        """Connect; when NATS does not answer within FLUSH_S, the node serves without it until it does."""
        self._wanted = {f"{self._prefix}.facts": self._hear_facts, f"{self._prefix}.doubt": self._hear_doubt}
        self._own(self._write_all(), "timim nats writer")
        self._own(self._compare_while_away(), "timim nats watch")
        connecting = self._own(self._connect(), "timim nats connect")
        await asyncio.wait((connecting,), timeout=FLUSH_S)

    async def stop(self) -> None:
        """Write what waits, and leave."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_connected:
            try:
                while self._waiting:
                    await connection.publish(*self._waiting.popleft())
                await connection.flush(timeout=1)
            except (nats.errors.Error, OSError, TimeoutError):
                pass  # hints
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if connection is not None:
            try:
                async with asyncio.timeout(FLUSH_S):  # it would wait for a server that is away
                    await connection.close()
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.info("leaving NATS: %r", exc)

    def publish(self, event: Event) -> None:
        event = replace(event, users=tuple(event.users))
        self._receive(event)
        hint, alone = Hint.of(event), event.users
        if event.group:
            alone = hint.newcomers = self._newcomers.among(event.group, event.users)
            self._send(self._subject("g", event.group), pack(hint))
        if alone:
            packed = pack(hint)
            for user in alone:
                self._send(self._subject("u", user), packed)

    def announce(self, facts: Facts) -> None:
        self._move(facts)
        self._send(f"{self._prefix}.facts", pack(facts))

    async def listen(self, user: str) -> None:
        count = self._sessions.get(user, 0)
        self._sessions[user] = count + 1
        if not count:
            self._begun[user] = self._own(self._begin(user), f"timim nats listen {user}")
        await asyncio.wait((self._begun[user],), timeout=FLUSH_S)

    def unlisten(self, user: str) -> None:
        left = self._sessions.get(user, 0) - 1
        if left > 0:
            self._sessions[user] = left
            return
        self._sessions.pop(user, None)
        self._begun.pop(user, None)
        self._leave(self._subject("u", user))
        self._settle(user, {})

    # what this node hears

    async def _begin(self, user: str) -> None:
        await self._enter(self._subject("u", user), self._hear_user(user))
        await self._read_places(user)
        await self._flush()

    async def _flush(self) -> None:
        """What was subscribed is known to NATS when this returns. One round trip serves all who came before it began."""
        if self._next_flush is None:
            self._next_flush = self._own(self._flush_after(self._flushing), "timim nats flush")
        await asyncio.wait((self._next_flush,))

    async def _flush_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))
        self._flushing, self._next_flush = self._next_flush, None  # who comes from now on waits for another
        if self._connection is not None and self._connection.is_connected:
            try:
                await self._connection.flush(timeout=FLUSH_S)
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.info("NATS does not answer: %r", exc)

    async def _read_places(self, user: str) -> None:
        while user in self._sessions:
            self._moved.discard(user)
            try:
                places = await self._places_of(user)
            except TimimError as exc:
                log.warning("the groups of %s could not be read: %s", user, exc)
                return  # its devices find by comparing what they do not hear
            if user not in self._moved:
                for group_id in self._settle(user, places):
                    await self._enter(self._subject("g", group_id), self._hear_group(group_id))
                return

    def _settle(self, user: str, places: dict[str, int]) -> list[str]:
        """This user hears these groups and no others; the groups that the node did not hear yet."""
        for group_id in self._places.get(user, set()) - places.keys():
            self._drop(group_id, user)
        new = [group_id for group_id in places if group_id not in self._groups]
        for group_id, floor in places.items():
            self._groups.setdefault(group_id, {})[user] = floor
        if places:
            self._places[user] = set(places)
        else:
            self._places.pop(user, None)
        return new

    def _drop(self, group_id: str, user: str) -> None:
        users = self._groups.get(group_id, {})
        users.pop(user, None)
        if not users and group_id in self._groups:
            del self._groups[group_id]
            self._leave(self._subject("g", group_id))

    def _move(self, facts: Facts) -> None:
        """Members came and went: those with sessions here."""
        for group_id, users in facts.gone.items():
            for user in users:
                if user in self._sessions:
                    self._moved.add(user)
                    self._places.get(user, set()).discard(group_id)
                    self._drop(group_id, user)
        for group_id, floors in facts.came.items():
            self._newcomers.came(group_id, floors)
            here = {user: floor for user, floor in floors.items() if user in self._sessions}
            if not here:
                continue
            new = group_id not in self._groups
            for user, floor in here.items():
                self._moved.add(user)
                self._places.setdefault(user, set()).add(group_id)
                self._groups.setdefault(group_id, {})[user] = floor
            if new:
                self._own(self._join_group(group_id, here), "timim nats group")

    async def _join_group(self, group_id: str, users: Iterable[str]) -> None:
        """What is posted there meanwhile comes to newcomers alone; when this takes too long for that, they compare."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._enter(self._subject("g", group_id), self._hear_group(group_id))
        await self._flush()
        if loop.time() - begun < NEWCOMER_S / 2:
            return
        for listener in self._listeners:
            listener.compare(users)

    def _hear_user(self, user: str) -> Callable[[Msg], Awaitable[None]]:
        async def hear(message: Msg) -> None:
            self._hear(unpack(message.data).event((user,)))

        return hear

    def _hear_group(self, group_id: str) -> Callable[[Msg], Awaitable[None]]:
        async def hear(message: Msg) -> None:
            places, hint = self._groups.get(group_id, {}), unpack(message.data)
            alone = set(hint.newcomers)
            self._hear(hint.event([user for user, floor in places.items() if floor <= hint.seq and user not in alone]))

        return hear

    def _hear(self, event: Event) -> None:
        self._metrics.received.inc()
        self._receive(event)

    def _receive(self, event: Event) -> None:
        for listener in self._listeners:
            listener.receive(event)

    async def _hear_facts(self, message: Msg) -> None:
        facts = unpack_facts(message.data)
        self._move(facts)
        for listener in self._listeners:
            listener.learn(facts)

    async def _hear_doubt(self, _: Msg) -> None:
        self._doubt(away=False)

    def _doubt(self, *, away: bool) -> None:
        self._metrics.compares.inc()
        for listener in self._listeners:
            listener.doubt(away=away)

    # the connection

    async def _connect(self) -> None:
        while True:
            try:
                self._connection = await nats.connect(
                    self._servers,
                    name="timim",
                    no_echo=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_S,
                    connect_timeout=FLUSH_S,
                    ping_interval=PING_S,
                    max_outstanding_pings=2,
                    disconnected_cb=self._went,
                    reconnected_cb=self._reconnected,
                    error_cb=self._failed,
                    allow_reconnect=True,
                )
            except (nats.errors.Error, OSError, TimeoutError) as exc:
                log.warning("NATS is not there: %r", exc)
                await asyncio.sleep(RECONNECT_S)
                continue
            break
        for subject, hear in list(self._wanted.items()):
            await self._enter(subject, hear)
        await self._came_back()

    async def _went(self) -> None:
        if self._connection is not None and not self.away:
            self.away = True
            log.warning("NATS is away: devices find by comparing what other nodes post")
            self._doubt(away=True)

    async def _reconnected(self) -> None:
        self._metrics.reconnects.inc()
        await self._came_back()

    async def _came_back(self) -> None:
        self.away = False
        self._waiting.clear()
        self._send(f"{self._prefix}.doubt", b"")  # what this node published last may be lost as well
        self._doubt(away=False)
        self._own(self._read_all_places(), "timim nats places")

    async def _failed(self, error: Exception) -> None:
        log.log(logging.DEBUG if self.away else logging.WARNING, "NATS: %r", error)  # each try while it is away is one
        if isinstance(error, nats.errors.SlowConsumerError):
            self._metrics.overflows.inc()
            self._doubt(away=False)

    async def _read_all_places(self) -> None:
        slots = asyncio.Semaphore(PLACES_AT_ONCE)

        async def read(user: str) -> None:
            async with slots:
                await self._read_places(user)

        await asyncio.gather(*(read(user) for user in list(self._sessions)))

    async def _compare_while_away(self) -> None:
        while True:
            await asyncio.sleep(AWAY_COMPARE_S)
            if self.away:
                self._doubt(away=True)

    async def _enter(self, subject: str, hear: Callable[[Msg], Awaitable[None]]) -> None:
        self._wanted[subject] = hear
        if self._connection is None or subject in self._subscriptions:
            return
        try:
            subscription = await self._connection.subscribe(subject, cb=hear)
        except nats.errors.Error as exc:
            log.warning("NATS: cannot subscribe: %r", exc)
            return
        if subject in self._subscriptions or subject not in self._wanted:  # somebody was faster, or it ended meanwhile
            await self._unsubscribe(subscription)
        else:
            self._subscriptions[subject] = subscription

    def _leave(self, subject: str) -> None:
        self._wanted.pop(subject, None)
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None:
            self._own(self._unsubscribe(subscription), "timim nats leave")

    async def _unsubscribe(self, subscription: Subscription) -> None:
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as exc:
            log.info("NATS: %r", exc)

    # what this node says

    def _send(self, subject: str, message: bytes) -> None:
        if self.away:
            self._metrics.dropped.inc()
            return  # others compare while NATS is away, and when it is back
        if len(self._waiting) >= WAITING_LIMIT:
            self._metrics.dropped.inc()
            self._dropped = True
            return
        self._metrics.published.inc()
        self._waiting.append((subject, message))
        self._wake.set()

    async def _write_all(self) -> None:
        while True:
            while self._waiting and self._connection is not None:
                try:
                    await self._connection.publish(*self._waiting.popleft())
                except (nats.errors.Error, OSError) as exc:
                    self._metrics.dropped.inc()
                    self._dropped = True
                    log.info("NATS: %r", exc)
            if self._dropped and not self.away:
                self._dropped = False
                self._send(f"{self._prefix}.doubt", b"")
                continue
            self._wake.clear()
            await self._wake.wait()

    def _subject(self, kind: str, name: str) -> str:
        """Any id as one token of a subject."""
        return f"{self._prefix}.{kind}.{base64.urlsafe_b64encode(name.encode()).decode().rstrip('=')}"

    def _own(self, work: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the bus: %r", error)
