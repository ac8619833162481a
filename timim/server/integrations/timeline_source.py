"""Delivery of the entries of timelines from a cursor for each timeline.

A cursor is the seq of the last delivered entry (`store/delivery_cursors.py`), which advances after a delivery. Entries older
than `give_up_s` are skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from ..store.base import Store, StoredEntry
from .delivery import Claim

log = logging.getLogger("timim.server")
PAGE = 50


class EntryReceiver(Protocol):
    """Receiver of the entries of a feed."""

    async def deliver(self, timeline: str, entry: StoredEntry) -> None:
        """Deliver one entry to the back end.

        Raises:
            TimimError: The delivery failed; the feed retries it.
        """
        ...


class TimelineSource:
    """The entries of all message timelines above the cursors of one feed.

    Args:
        name: Name of the feed in the store.
        store: The store of the messages and cursors.
        receiver: Receiver of the entries.
        now: The server's clock, in seconds since 1970.
        give_up_s: Age at which an entry is skipped.
    """

    def __init__(self, name: str, store: Store, receiver: EntryReceiver, *, now: Callable[[], float], give_up_s: float) -> None:
        self._name = name
        self._store = store
        self._receiver = receiver
        self._now = now
        self._give_up_s = give_up_s

    async def open(self) -> None:
        """Enable the feed for the entries that are stored from now on. Raises StorageError."""
        await self._store.delivery_cursors.enable(self._name)

    async def backlog(self, limit: int) -> list[str]:
        """Return timelines with entries above their cursors. Raises StorageError."""
        return await self._store.delivery_cursors.backlog(self._name, limit)

    async def deliver(self, key: str, claim: Claim) -> None:
        """Deliver the entries of a timeline above its cursor.

        Raises:
            TimimError: A delivery failed.
        """
        cursor = await self._store.delivery_cursors.get(self._name, key)
        while True:
            page = await self._store.timelines.page(key, cursor + 1, cursor + PAGE, PAGE)
            if cursor >= page.last_seq:
                return
            begun, skipped = cursor, 0
            try:
                for entry in reversed(page.entries):
                    claim.require_held()
                    if entry.time > self._now() - self._give_up_s:
                        await self._receiver.deliver(key, entry)
                    else:
                        skipped += 1
                    cursor = entry.seq
                cursor = max(cursor, page.last)
            finally:
                if skipped:
                    log.warning(
                        "the delivery feed %s skipped %s entries of timeline %r that are older than %s s",
                        self._name,
                        skipped,
                        key,
                        self._give_up_s,
                    )
                if cursor > begun:
                    await self._store.delivery_cursors.advance(self._name, key, cursor)
