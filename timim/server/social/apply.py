"""Applying changesets: store changes and entries in one transaction, then push the notices.

Once begun, a changeset is applied completely, even if its request is cancelled.
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
from ..store.base import Appended, NewCallback, NewEntry, StaleRead
from .callers import current_caller, current_command
from .changesets import Changeset, Notice
from .entity_cache import EntityCache
from .outbox import CallbackOutbox
from .reports import reports_of

log = logging.getLogger("timim.server")


class ChangesetApplier:
    """The changesets that are being applied.

    Args:
        bus: The bus that notices are published on.
        entities: The cache.
        outbox: The outbox of callbacks; None for no callbacks.
        now: The server's clock, in seconds since 1970.
        members_limit: Maximum number of members of a group without a limit of its own.
    """

    def __init__(
        self,
        bus: Bus,
        entities: EntityCache,
        outbox: CallbackOutbox | None = None,
        *,
        now: Callable[[], float],
        members_limit: int = 1 << 62,
    ) -> None:
        self._bus = bus
        self._entities = entities
        self._outbox = outbox
        self._members_limit = members_limit
        self._now = now
        self._under_way: set[asyncio.Task[None]] = set()

    async def apply(self, changeset: Changeset) -> None:
        """Store changes and entries in one transaction, then push the notices. Cancelling does not stop the work.

        Nothing may be awaited between deciding a changeset and this call: the entities from which it was decided must
        not have changed since.

        Raises:
            GroupExists: The id of a new group is taken.
            StaleRead: Another node changed an entity; read the entities again and decide again.
            StorageError: The store failed.
        """
        entries = [
            NewEntry(n.timeline, "", None, b"", n.tail, int(self._now()), contacts=(n.user,) if n.user else ())
            for n in changeset.notices
        ]
        callbacks = self._callbacks(changeset)
        applied = self._entities.apply(changeset.changes, entries, callbacks)  # from now on, the cache has the changes
        task = asyncio.create_task(self._publish(changeset.notices, applied, callbacks), name="timim changeset")
        self._under_way.add(task)
        task.add_done_callback(self._done)
        await asyncio.shield(task)

    async def drain(self, limit_s: float | None = None) -> None:
        """Wait at most `limit_s` seconds for the changesets that are being applied."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=limit_s and max(0.0, limit_s))

    def _callbacks(self, changeset: Changeset) -> tuple[NewCallback, ...]:
        outbox = self._outbox
        if outbox is None or not outbox.commands or not changeset.changes or changeset.unreported:
            return ()
        caller, command = current_caller(), current_command()
        return outbox.rows(reports_of(changeset, self._entities.cached(), caller, command, members_limit=self._members_limit))

    async def _publish(
        self, notices: list[Notice], applied: Awaitable[list[Appended]], callbacks: tuple[NewCallback, ...]
    ) -> None:
        appended = await applied
        if callbacks and self._outbox is not None:
            self._outbox.on_stored(callbacks)
        for notice, done in zip(notices, appended, strict=True):
            group = notice.kind == session.EVENT_GROUP_TIP
            entry = render_entry(notice.tail, seq=done.seq, time=done.time, group=group)
            payload = as_push_item(notice.kind, bytes(entry), notice.content, notice.body)
            group_id, seq = notice.group.addressed(done.seq) if notice.group is not None else ("", done.seq)
            self._bus.publish(Event(notice.recipients(done.seq), notice.kind, payload, group=group_id, seq=seq))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if (
            not task.cancelled()
            and (error := task.exception()) is not None
            and not isinstance(error, ServerRefused | StaleRead)
        ):
            log.error("applying a changeset failed: %r", error)  # the caller may not wait for the error any more
