"""Users whose status is watched by accounts with sessions on this node.

The bus reports that a presence may have changed, and this node asks for the status. A report is lost at most until the next
possible loss of events, or the loss of a node, after which this node asks for the status of all watched users.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable

import msgspec

from ...errors import TimimError, UnknownUser
from ...protocol import session, tencent_events
from ...protocol.codec import encode
from ...protocol.statuses import StatusItem, status_item
from ..bus.base import Bus, Event
from ..social.cached_reads import CachedReads
from ..social.entity_cache import EntityCache
from .fanout import Fanout

log = logging.getLogger("timim.server")


class StatusWatch:
    """The watched users of this node, the accounts that watch them, and the status that these accounts know."""

    def __init__(self, fanout: Fanout, entities: EntityCache, bus: Bus) -> None:
        self._fanout = fanout
        self._entities = entities
        self._bus = bus
        self._watchers: dict[str, set[str]] = {}  # watched user → accounts with sessions here
        self._watched: dict[str, tuple[str, ...]] = {}  # account with sessions here → watched users
        self._known: dict[str, StatusItem] = {}
        self._unknown: set[str] = set()  # watched users whose status was not read yet
        self._reported: set[str] = set()  # watched users whose status may have changed
        self._changed: set[str] = set()  # accounts whose watched users may have changed on another node
        self._task: asyncio.Task[None] | None = None

    async def begin(self, user: str) -> None:
        """Watch the users of an account that has logged in, and report that its own status may have changed."""
        await self.refresh(user)
        self._bus.presence.send(user)  # for each device, because two may log in at the same time

    def end(self, user: str) -> None:
        """Stop watching the users of an account after the end of its last session, and report the change of its own status."""
        if not self._fanout.of(user):
            self._set(user, ())
            self._bus.presence.send(user)

    async def refresh(self, user: str) -> None:
        """Read whom an account watches. Errors of the store are logged only."""
        try:
            account = await self._entities.account(user)
        except UnknownUser:
            watched: tuple[str, ...] = ()  # the account was deleted meanwhile
        except TimimError as exc:
            log.warning("cannot read whose status %s watches; no change of it is pushed until the next login: %s", user, exc)
            return
        else:
            watched = account.watched
        if self._fanout.of(user):
            new = self._set(user, watched)
            if new:
                await self._bus.presence.watch(new)
                for name in new:
                    if name not in self._watchers:  # the last account that watches the user has logged out meanwhile
                        self._bus.presence.unwatch(name)
                self._work()

    def _set(self, user: str, watched: tuple[str, ...]) -> list[str]:
        """Replace the watched users of an account. Return those that nobody watched before."""
        before = self._watched.pop(user, ())
        if watched:
            self._watched[user] = watched
        for name in set(before) - set(watched):
            accounts = self._watchers[name]
            accounts.discard(user)
            if not accounts:
                del self._watchers[name]
                self._known.pop(name, None)
                self._unknown.discard(name)
                self._reported.discard(name)
                self._bus.presence.unwatch(name)
        new = [name for name in watched if name not in self._watchers]
        for name in watched:
            self._watchers.setdefault(name, set()).add(user)
        self._unknown.update(new)
        return new

    def on_presence(self, user: str) -> None:
        """Read the status of a watched user again, because it may have changed."""
        if user in self._watchers:
            self._reported.add(user)
            self._work()

    def on_changed_accounts(self, users: Iterable[str]) -> None:
        """Read again whom accounts with sessions here watch, because another node has changed them."""
        if changed := [user for user in users if self._fanout.of(user)]:
            self._changed.update(changed)
            self._work()

    def compare_all(self) -> None:
        """Read the status of all watched users again, because reports may have been lost."""
        if self._watchers:
            self._reported.update(self._watchers)
            self._work()

    async def of(self, users: Collection[str]) -> dict[str, StatusItem]:
        """Return the status of those of `users` who exist. Raises StorageError."""
        online = await self._bus.online(users)
        with CachedReads() as reads:
            found = await self._items(users, online)
            if await self._entities.is_outdated(reads):
                found = await self._items(users, online)
        return found

    async def _items(self, users: Collection[str], online: set[str]) -> dict[str, StatusItem]:
        found: dict[str, StatusItem] = {}
        for user in users:
            try:
                account = await self._entities.account(user)
            except UnknownUser:
                continue
            found[user] = status_item(user, account.status, online=user in online)
        return found

    def _work(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read_all(), name="timim statuses")

    async def _read_all(self) -> None:
        """Read what may have changed until nothing is left."""
        while self._changed:
            await self.refresh(self._changed.pop())
        while (self._reported or self._unknown) and not self._bus.away:  # a node without its bus knows no other node's users
            reported, unknown = self._reported, self._unknown
            self._reported, self._unknown = set(), set()
            try:
                found = await self.of(reported | unknown)
            except TimimError as exc:
                log.warning("cannot read the status of watched users; their changes are pushed late: %s", exc)
                self._reported |= reported
                self._unknown |= unknown
                return
            for user in reported | unknown:
                self._note(user, found.get(user) or StatusItem(user=user), reported=user in reported)
        if self._changed:
            await self._read_all()

    def _note(self, user: str, item: StatusItem, *, reported: bool) -> None:
        accounts = self._watchers.get(user)
        if accounts is None:
            return
        before, self._known[user] = self._known.get(user), item
        if reported and item != before:
            payload, plain = msgspec.Raw(encode(item)), tencent_events.status_event(item)
            self._fanout.receive(Event(tuple(accounts), session.EVENT_STATUS, payload, plain=plain))

    async def close(self) -> None:
        """Cancel the reads in progress."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
