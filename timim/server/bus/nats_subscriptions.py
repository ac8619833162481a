"""This node's subscriptions on NATS: the users who have sessions on this node, and the groups of these users.

Invariant: a group is subscribed as long as a known member of the group has a session on this node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from nats.aio.msg import Msg

from ...errors import TimimError
from ..metrics import BusMetrics
from .base import Event, Invalidation, Listener, Memberships
from .nats_connection import ANSWER_S, MessageHandler, NatsConnection, TaskSet
from .nats_messages import NEWCOMER_S, Newcomers, Subjects, unpack

log = logging.getLogger("timim.server")

READS_AT_ONCE = 8


class NatsSubscriptions:
    """The subscriptions for users with sessions on this node, and for their groups."""

    def __init__(
        self,
        connection: NatsConnection,
        subjects: Subjects,
        memberships: Memberships,
        listeners: list[Listener],
        metrics: BusMetrics,
    ) -> None:
        self.newcomers = Newcomers()
        self._connection = connection
        self._subjects = subjects
        self._memberships = memberships
        self._listeners = listeners
        self._metrics = metrics
        self._tasks = TaskSet()
        self._sessions: dict[str, int] = {}  # user → number of sessions on this node
        self._begun: dict[str, asyncio.Task[None]] = {}
        self._groups_of: dict[str, set[str]] = {}  # user with sessions on this node → groups
        self._groups: dict[str, dict[str, int]] = {}  # group → user with sessions on this node → first visible seq
        self._moved: set[str] = set()  # users whose groups changed while their memberships were read
        self._older_nodes = False  # a node that does not send to newcomers was heard

    async def stop(self) -> None:
        """Cancel all running tasks."""
        await self._tasks.cancel_all()

    async def listen(self, user: str) -> None:
        """Subscribe for a session that begins. Wait at most ANSWER_S until NATS has the subscription."""
        count = self._sessions.get(user, 0)
        self._sessions[user] = count + 1
        if not count:
            self._begun[user] = self._tasks.spawn(self._begin(user), f"timim nats listen {user}")
        await asyncio.wait((self._begun[user],), timeout=ANSWER_S)

    def unlisten(self, user: str) -> None:
        """Unsubscribe when the last session of a user has ended."""
        left = self._sessions.get(user, 0) - 1
        if left > 0:
            self._sessions[user] = left
            return
        self._sessions.pop(user, None)
        self._begun.pop(user, None)
        self._connection.unsubscribe(self._subjects.user(user))
        self._set_groups(user, {})

    def apply(self, changes: Invalidation) -> None:
        """Update the subscriptions for users with sessions on this node who joined or left a group."""
        self._older_nodes = self._older_nodes or not changes.reaches_newcomers
        for group_id, users in changes.left.items():
            for user in users:
                if user in self._sessions:
                    self._moved.add(user)
                    self._groups_of.get(user, set()).discard(group_id)
                    self._drop(group_id, user)
        for group_id, floors in changes.joined.items():
            self.newcomers.add(group_id, floors)
            here = {user: floor for user, floor in floors.items() if user in self._sessions}
            if not here:
                continue
            new = group_id not in self._groups
            for user, floor in here.items():
                self._moved.add(user)
                self._groups_of.setdefault(user, set()).add(group_id)
                self._groups.setdefault(group_id, {})[user] = floor
            if new:
                self._tasks.spawn(self._join_group(group_id, here), "timim nats group")

    def refresh(self) -> None:
        """Read the memberships of all users with sessions on this node again."""
        self._tasks.spawn(self._read_all(), "timim nats memberships")

    async def _read_all(self) -> None:
        slots = asyncio.Semaphore(READS_AT_ONCE)

        async def read(user: str) -> None:
            async with slots:
                await self._read_groups(user)

        await asyncio.gather(*(read(user) for user in list(self._sessions)))

    async def _begin(self, user: str) -> None:
        await self._connection.subscribe(self._subjects.user(user), self._user_handler(user))
        await self._read_groups(user)
        await self._connection.flush()

    async def _read_groups(self, user: str) -> None:
        while user in self._sessions:
            self._moved.discard(user)
            try:
                floors = await self._memberships.first_visible_seqs(user)
            except TimimError as exc:
                log.warning("cannot read the groups of user %s, whose devices get group messages late: %s", user, exc)
                return  # the devices fetch missed messages when they next compare their seqs
            if user not in self._moved:
                for group_id in self._set_groups(user, floors):
                    await self._connection.subscribe(self._subjects.group(group_id), self._group_handler(group_id))
                return

    def _set_groups(self, user: str, floors: dict[str, int]) -> list[str]:
        """Replace the groups of a user. Return the groups to which the node has not subscribed yet."""
        for group_id in self._groups_of.get(user, set()) - floors.keys():
            self._drop(group_id, user)
        new = [group_id for group_id in floors if group_id not in self._groups]
        for group_id, floor in floors.items():
            self._groups.setdefault(group_id, {})[user] = floor
        if floors:
            self._groups_of[user] = set(floors)
        else:
            self._groups_of.pop(user, None)
        return new

    def _drop(self, group_id: str, user: str) -> None:
        users = self._groups.get(group_id, {})
        users.pop(user, None)
        if not users and group_id in self._groups:
            del self._groups[group_id]
            self._connection.unsubscribe(self._subjects.group(group_id))

    async def _join_group(self, group_id: str, users: Iterable[str]) -> None:
        """Subscribe to a group for `users`. Until then they receive its hints on their own subjects.

        If subscribing takes too long, or a node of an older version sends no such hints, the devices of these users compare
        with the store.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._connection.subscribe(self._subjects.group(group_id), self._group_handler(group_id))
        await self._connection.flush()
        if loop.time() - begun < NEWCOMER_S / 2 and not self._older_nodes:
            return
        for listener in self._listeners:
            listener.compare(users)

    def _user_handler(self, user: str) -> MessageHandler:
        async def hear(message: Msg) -> None:
            hint = unpack(message.data)
            if (login := hint.login) is None:
                self._hear(hint.event((user,)))
            else:
                for listener in self._listeners:
                    listener.on_remote_login(login)

        return hear

    def _group_handler(self, group_id: str) -> MessageHandler:
        async def hear(message: Msg) -> None:
            floors, hint = self._groups.get(group_id, {}), unpack(message.data)
            alone = set(hint.newcomers)
            self._hear(hint.event([user for user, floor in floors.items() if floor <= hint.seq and user not in alone]))

        return hear

    def _hear(self, event: Event) -> None:
        self._metrics.received.inc()
        for listener in self._listeners:
            listener.receive(event)
