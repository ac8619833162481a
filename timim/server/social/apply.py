"""Carrying out plans (notices.py): changes and entries in one transaction, then the pushes.

A plan that was begun is carried out to its end, whatever becomes of who asked for it.
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
from ..store.base import Appended, NewEntry, Stale
from .changesets import Notice, Plan
from .entity_cache import Directory

log = logging.getLogger("timim.server")


class Plans:
    """Those under way. `now` is the server's clock in seconds since 1970."""

    def __init__(self, bus: Bus, directory: Directory, *, now: Callable[[], float]) -> None:
        self._bus = bus
        self._directory = directory
        self._now = now
        self._under_way: set[asyncio.Task[None]] = set()

    async def carry_out(self, plan: Plan) -> None:
        """Changes and entries in one transaction, then the pushes; also when the asker is gone meanwhile.

        Nothing may be awaited between a plan's making and this call: what it was decided by must still hold.
        """
        entries = [
            NewEntry(n.timeline, "", None, b"", n.tail, int(self._now()), contacts=(n.user,) if n.user else ())
            for n in plan.notices
        ]
        applied = self._directory.apply(plan.changes, entries)  # in the cache from here on
        task = asyncio.create_task(self._tell(plan.notices, applied), name="timim plan")
        self._under_way.add(task)
        task.add_done_callback(self._told)
        await asyncio.shield(task)

    async def drain(self, limit_s: float | None = None) -> None:
        """Wait for the plans under way, so long at the most."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=limit_s and max(0.0, limit_s))

    async def _tell(self, notices: list[Notice], applied: Awaitable[list[Appended]]) -> None:
        for notice, done in zip(notices, await applied, strict=True):
            group = notice.kind == session.EVENT_GROUP_TIP
            entry = render_entry(notice.tail, seq=done.seq, time=done.time, group=group)
            payload = as_push_item(notice.kind, bytes(entry), notice.content, notice.body)
            group_id = notice.group_id if group else ""
            self._bus.publish(Event(notice.hearers(done.seq), notice.kind, payload, group=group_id, seq=done.seq))

    def _told(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ServerRefused | Stale):
            log.error("a plan failed: %r", error)  # whoever asked hears it too, if they still wait
