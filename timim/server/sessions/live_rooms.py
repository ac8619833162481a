"""Members of live rooms (AVChatRooms) who have lost their connections: each leaves after a time of grace.

The node of the last connection asks all nodes whether the user is online, and removes the user's memberships if not. A node
that died leaves its users to the others, and to its own next start, which look for absent members of all live rooms. They ask
twice, because a node that does not answer once counts as one without users.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ...errors import TimimError, UnknownGroup, UnknownUser
from ..bus.base import Bus
from ..social import live_room_rules
from ..social.apply import ChangesetApplier
from ..social.cached_reads import CachedReads
from ..social.entity_cache import EntityCache
from ..social.group_rules import Actor
from ..social.outbox import CallbackOutbox
from ..store.base import StaleRead, Store
from .fanout import Fanout

log = logging.getLogger("timim.server")
RETRY_S = 5.0  # after a failure of the store, and while the bus is disconnected
AT_ONCE = 500  # users in one query, and in one changeset
ATTEMPTS_LIMIT = 20  # each further attempt means that another node has changed the room since the one before


class LiveRooms:
    """The users of this node who may have to leave live rooms.

    Args:
        fanout: The sessions of this node.
        store: The store of the memberships.
        entities: The cache.
        bus: Knows who is online on other nodes.
        outbox: The outbox of callbacks.
        grace_s: Time from the end of a user's last connection, in seconds.
        now: The server's clock, in seconds since 1970.
    """

    def __init__(
        self,
        fanout: Fanout,
        store: Store,
        entities: EntityCache,
        bus: Bus,
        outbox: CallbackOutbox,
        *,
        grace_s: float,
        now: Callable[[], float],
    ) -> None:
        self._fanout = fanout
        self._store = store
        self._entities = entities
        self._bus = bus
        self._changesets = ChangesetApplier(bus, entities, outbox, now=now)
        self._grace_s = grace_s
        self._now = now
        self._timers: dict[str, asyncio.TimerHandle] = {}  # user without a connection here → end of the grace
        self._comparing: asyncio.TimerHandle | None = None
        self._due: set[str] = set()
        self._all_due = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self.scan_backlog()  # for those whom an earlier run of the server left behind

    def end(self, user: str, *, at_once: bool) -> None:
        """Let a user leave after the end of a connection, if it was the last one; `at_once` means without grace."""
        if not self._fanout.of(user):
            self._expire(user, 0.0 if at_once else self._grace_s)

    def scan_backlog(self) -> None:
        """Look for absent members of all live rooms after the grace, in which they can connect to another node."""
        if self._comparing is None and not self._closed:
            self._comparing = asyncio.get_running_loop().call_later(self._grace_s, self._on_compare)

    def _expire(self, user: str, after_s: float) -> None:
        if self._closed:
            return
        if (timer := self._timers.pop(user, None)) is not None:
            timer.cancel()
        self._timers[user] = asyncio.get_running_loop().call_later(after_s, self._on_due, user)

    def _on_due(self, user: str) -> None:
        del self._timers[user]
        if not self._fanout.of(user):
            self._due.add(user)
            self._work()

    def _on_compare(self) -> None:
        self._comparing = None
        self._all_due = True
        self._work()

    def _work(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._remove_absent(), name="timim live rooms")

    async def _remove_absent(self) -> None:
        """Remove the absent users until nobody is due."""
        while self._due or self._all_due:
            every, due = self._all_due, sorted(self._due)[:AT_ONCE]
            try:
                if every:
                    self._all_due = False
                    for _, user in await self._absent(None):
                        self._expire(user, self._grace_s)
                    continue
                self._due.difference_update(due)
                rooms: dict[str, list[str]] = {}
                for group_id, user in await self._absent(due):
                    rooms.setdefault(group_id, []).append(user)
                for group_id, users in rooms.items():
                    await self._remove(group_id, users)
            except TimimError as exc:
                log.warning("cannot remove absent members of live rooms; trying again in %g s: %s", RETRY_S, exc)
                self._all_due |= every
                self._due.update(due)
                await asyncio.sleep(RETRY_S)

    async def _absent(self, users: Sequence[str] | None) -> list[tuple[str, str]]:
        """Return the memberships in live rooms of those of `users`, or of all users, who are online nowhere."""
        rows = await self._store.groups.in_live_rooms(users)
        while rows and self._bus.away:  # noqa: ASYNC110  the bus has no event for it; without it, nobody knows who is online elsewhere
            await asyncio.sleep(RETRY_S)
        online = await self._bus.online({user for _, user in rows}) if rows else set[str]()
        return [row for row in rows if row[1] not in online]

    async def _remove(self, group_id: str, users: Sequence[str]) -> None:
        """Remove members of a room. Raises StorageError, StaleRead."""
        for _ in range(ATTEMPTS_LIMIT):
            with CachedReads() as reads:
                try:
                    account = await self._entities.account(users[0])
                    group = await self._entities.group(group_id)
                    gone = [user for user in users if not self._fanout.of(user)]
                    actor = Actor(account, int(self._now()))
                    await self._changesets.apply(live_room_rules.disconnected(actor, group, gone))
                except StaleRead:
                    self._entities.forget(reads)
                    continue
                except (UnknownGroup, UnknownUser):  # dissolved or deleted meanwhile, and the memberships with it
                    return
                return
        raise StaleRead(f"other nodes keep changing the live room {group_id!r}")

    async def close(self) -> None:
        """Stop. Members who are absent then leave after the next start."""
        self._closed = True
        for timer in (*self._timers.values(), *([self._comparing] if self._comparing is not None else [])):
            timer.cancel()
        self._timers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._changesets.drain()
