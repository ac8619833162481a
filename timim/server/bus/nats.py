"""The bus between nodes on NATS: one subject for each user and each group with sessions on the node.

A published event is a hint. Whenever hints may have been lost (NATS was unavailable, a queue overflowed, another node
reports a loss, or its heartbeats have a gap), every session of this node compares with the store; during an outage of NATS
periodically.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry

from ...protocol.session import PLATFORMS
from ..metrics import BusMetrics
from .base import Event, Invalidation, Listener, LoginAnnouncement, Memberships, PresenceReports
from .heartbeats import HEARTBEAT_S, HeartbeatMonitor
from .loss_reports import LossReports
from .nats_connection import NatsConnection, TaskSet
from .nats_messages import Hint, Subjects, pack, unpack_facts
from .nats_subscriptions import NatsSubscriptions
from .presence_query import PresenceQuery

AWAY_COMPARE_S = 5.0  # during an outage of NATS, messages posted on other nodes are found after at most this time
USERS_A_QUESTION = 1000
DEVICE_MARK = "\n"  # no user id contains it; a node of an older version knows no such user, and answers "not online"


class NatsBus:
    """The bus of one node. The constructor does no I/O."""

    def __init__(
        self, servers: Sequence[str], *, prefix: str, memberships: Memberships, metrics: BusMetrics | None = None
    ) -> None:
        self._metrics = metrics or BusMetrics(CollectorRegistry())
        self._metrics.connected.set_function(lambda: not self.away)
        self._subjects = Subjects(prefix)
        self._listeners: list[Listener] = []
        self._connection = NatsConnection(servers, self, self._metrics)
        self._heartbeats = HeartbeatMonitor(self, now=lambda: asyncio.get_running_loop().time())
        self._queries = PresenceQuery(self._heartbeats.node_id, _QueryTransport(self._connection, self._subjects))
        self._losses = LossReports(self._connection, self._subjects, self._listeners, self._metrics)
        self._subscriptions = NatsSubscriptions(self._connection, self._subjects, memberships, self._listeners, self._metrics)
        self.presence: PresenceReports = _NatsPresence(self._connection, self._subjects, self._listeners)
        self._tasks = TaskSet()
        self._connected_before = False

    @property
    def away(self) -> bool:
        return self._connection.away

    def join(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def start(self) -> None:
        """Connect. If NATS does not respond within ANSWER_S, return and keep connecting in the background."""
        for subject, hear in (
            (self._subjects.invalidations, self._hear_invalidation),
            (self._subjects.losses, self._hear_loss),
            (self._subjects.heartbeats, self._hear_heartbeat),
            (self._subjects.questions, self._hear_question),
            (self._subjects.answers(self._heartbeats.node_id), self._hear_answer),
        ):
            await self._connection.subscribe(subject, hear)
        self._tasks.spawn(self._compare_while_away(), "timim nats watch")
        await self._connection.start()
        self._tasks.spawn(self._send_heartbeats(), "timim nats beat")

    async def stop(self) -> None:
        """Send the queued messages and the last heartbeat, and disconnect."""
        self._losses.stop()
        await self._tasks.cancel_all()
        await self._subscriptions.stop()
        self._connection.send(self._subjects.heartbeats, self._heartbeats.last_heartbeat())
        await self._connection.stop()

    def publish(self, event: Event, *, again: bool = False) -> None:
        event = replace(event, users=tuple(event.users))
        for listener in self._listeners:
            listener.receive(event)
        hint, alone = Hint.of(event), event.users
        if event.group:
            alone = hint.newcomers = self._subscriptions.newcomers.among(event.group, event.users)
            self._connection.send(self._subjects.group(event.group), pack(hint))
        if alone:
            packed = pack(hint)
            for user in alone:
                self._connection.send(self._subjects.user(user), packed)

    def announce(self, facts: Invalidation) -> None:
        facts = replace(facts, reaches_newcomers=True)
        self._subscriptions.apply(facts)
        self._connection.send(self._subjects.invalidations, pack(facts))

    def announce_login(self, login: LoginAnnouncement) -> None:
        self._connection.send(self._subjects.user(login.user), pack(Hint.of_login(login)))

    async def online(self, users: Collection[str]) -> set[str]:
        found = {user for user in users if self._online_here(user)}
        asked = [user for user in users if user not in found]
        for at in range(0, len(asked), USERS_A_QUESTION):
            if not self.away:
                found |= await self._queries.ask(asked[at : at + USERS_A_QUESTION], self._heartbeats.node_ids)
        return found

    async def platforms(self, users: Collection[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {user: set() for user in users}
        for name in await self.online([f"{user}{DEVICE_MARK}{platform}" for user in users for platform in PLATFORMS]):
            user, _, platform = name.partition(DEVICE_MARK)
            found[user].add(platform)
        return found

    async def listen(self, user: str) -> None:
        await self._subscriptions.listen(user)

    def unlisten(self, user: str) -> None:
        self._subscriptions.unlisten(user)

    def _online_here(self, name: str) -> bool:
        """Return True if a user is online on this node, on the platform behind DEVICE_MARK if the name has one."""
        user, mark, platform = name.partition(DEVICE_MARK)
        if mark:
            return any(platform in listener.platforms(user) for listener in self._listeners)
        return any(listener.online(user) for listener in self._listeners)

    # reports of the connection and of the heartbeat monitor

    def on_disconnected(self) -> None:
        self._losses.report(away=True)

    def on_reconnected(self) -> None:
        self._heartbeats.restart_timeouts()
        if self._connected_before:
            self._metrics.reconnects.inc()
        if self._connected_before or self._connection.lost:  # the last messages that this node sent may be lost as well
            self._losses.tell_others()
        self._connected_before = True
        self._losses.report(away=False)
        self._subscriptions.refresh()

    def on_loss(self, *, sent: bool) -> None:
        if not sent:
            self._metrics.overflows.inc()
        self._losses.report_soon(tell_others=sent)

    def on_gap(self) -> None:
        self._losses.report_soon()

    def on_lost(self, *, timed_out: bool) -> None:
        for listener in self._listeners:
            listener.on_node_lost()
        if timed_out:
            self._losses.report_soon()  # the node may have died after it stored entries and before it published them

    # messages of other nodes

    async def _hear_invalidation(self, message: Msg) -> None:
        facts = unpack_facts(message.data)
        self._subscriptions.apply(facts)
        for listener in self._listeners:
            listener.invalidate(facts)

    async def _hear_loss(self, _: Msg) -> None:
        self._losses.report_soon()

    async def _hear_heartbeat(self, message: Msg) -> None:
        if self._heartbeats.on_heartbeat(message.data):
            self._connection.send(self._subjects.heartbeats, self._heartbeats.next_heartbeat())

    async def _hear_question(self, message: Msg) -> None:
        self._queries.answer(message.data, self._online_here)

    async def _hear_answer(self, message: Msg) -> None:
        self._queries.on_answer(message.data)

    # background tasks

    async def _send_heartbeats(self) -> None:
        while True:
            self._connection.send(self._subjects.heartbeats, self._heartbeats.next_heartbeat())
            await asyncio.sleep(HEARTBEAT_S)
            if not self.away:
                self._heartbeats.check_silence()

    async def _compare_while_away(self) -> None:
        while True:
            await asyncio.sleep(AWAY_COMPARE_S)
            if self.away:
                self._losses.report(away=True)


class _QueryTransport:
    """The subjects of presence queries and their answers."""

    def __init__(self, connection: NatsConnection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    def broadcast(self, message: bytes) -> None:
        self._connection.send(self._subjects.questions, message)

    def reply(self, node: str, message: bytes) -> None:
        self._connection.send(self._subjects.answers(node), message)


class _NatsPresence:
    """The reports of changed statuses, with a subject for each watched user."""

    def __init__(self, connection: NatsConnection, subjects: Subjects, listeners: list[Listener]) -> None:
        self._connection = connection
        self._subjects = subjects
        self._listeners = listeners

    def send(self, user: str) -> None:
        for listener in self._listeners:
            listener.on_presence(user)
        self._connection.send(self._subjects.presence(user), user.encode())

    async def watch(self, users: Iterable[str]) -> None:
        for user in users:
            await self._connection.subscribe(self._subjects.presence(user), self._hear)
        await self._connection.flush()

    def unwatch(self, user: str) -> None:
        self._connection.unsubscribe(self._subjects.presence(user))

    async def _hear(self, message: Msg) -> None:
        for listener in self._listeners:
            listener.on_presence(message.data.decode())
