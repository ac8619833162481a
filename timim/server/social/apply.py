"""Applying changesets: changes and entries in one transaction, then the pushes.

A changeset whose application has begun is applied to its end, even when the request that asked for it is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ...errors import ServerRefused
from ...protocol import session
from ...protocol.entries import render_entry
from ...protocol.notices import as_push_item
from ..bus.base import Bus, Event
from ..store.base import Appended, NewEntry, StaleRead
from .changesets import Changeset, Notice
from .entity_cache import EntityCache

log = logging.getLogger("timim.server")


class ChangesetApplier:
    """Those under way. `now` is the server's clock in seconds since 1970."""

    def __init__(self, bus: Bus, entities: EntityCache, *, now: Callable[[], float]) -> None:
        self._bus = bus
        self._entities = entities
        self._now = now
        self._under_way: set[asyncio.Task[None]] = set()

    async def apply(self, changeset: Changeset) -> None:
        """Store changes and entries in one transaction, then push; also when the caller is gone meanwhile.

        Nothing may be awaited between a changeset's making and this call: what it was decided by must still hold.
        """
        entries = [
            NewEntry(n.timeline, "", None, b"", n.tail, int(self._now()), contacts=(n.user,) if n.user else ())
            for n in changeset.notices
        ]
        applied = self._entities.apply(changeset.changes, entries)  # in the cache from here on
        task = asyncio.create_task(self._publish(changeset.notices, applied), name="timim changeset")
        self._under_way.add(task)
        task.add_done_callback(self._done)
        await asyncio.shield(task)

    async def drain(self, limit_s: float | None = None) -> None:
        """Wait for the changesets under way, so long at the most."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=limit_s and max(0.0, limit_s))

    async def _publish(self, notices: list[Notice], applied: Awaitable[list[Appended]]) -> None:
        for notice, done in zip(notices, await applied, strict=True):
            group = notice.kind == session.EVENT_GROUP_TIP
            entry = render_entry(notice.tail, seq=done.seq, time=done.time, group=group)
            payload = as_push_item(notice.kind, bytes(entry), notice.content, notice.body)
            group_id = notice.group_id if group else ""
            self._bus.publish(Event(notice.recipients(done.seq), notice.kind, payload, group=group_id, seq=done.seq))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if (
            not task.cancelled()
            and (error := task.exception()) is not None
            and not isinstance(error, ServerRefused | StaleRead)
        ):
            log.error("a changeset failed: %r", error)  # whoever asked hears it too, if they still wait
