"""Delivery feeds notify the operator's back end of stored messages, in the order of each timeline, at least once.

Each timeline has a cursor, the seq of the last delivered entry (`store/delivery_cursors.py`), which advances after a delivery.
A timeline is delivered by one node at a time, which holds its lock (`store/locks.py`). This can be any node, not only the one
that stored the entries. A crash loses nothing, and repeats at most the delivery in progress, with the same id. A failed
delivery is retried after a growing delay, before the later messages of its timeline. Entries older than `give_up_s` are
skipped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Protocol

from ...errors import StorageError, TimimError
from ...protocol.backoff import Backoff
from ..store.base import Store, StoredEntry

log = logging.getLogger("timim.server")
PAGE = 50
WORKERS = 8  # timelines delivered at once
QUEUE_LIMIT = 10_000  # timelines in memory; a scan of the store finds the others
LOCKED_WAIT_S = 1.0  # delay after which a timeline that another node delivers is checked again
RETRY = Backoff(first_s=0.5, limit_s=60.0)  # a restored back end gets its messages within a minute


class EntryReceiver(Protocol):
    """Receiver of the entries of a feed."""

    async def deliver(self, timeline: str, entry: StoredEntry) -> None:
        """Deliver one entry to the back end.

        Raises:
            TimimError: The delivery failed; the feed retries it.
        """
        ...


class DeliveryFeed:
    """One delivery feed of this node.

    Args:
        name: Name of the feed in the store.
        store: The store of the messages, cursors and locks.
        receiver: Receiver of the entries.
        now: The server's clock, in seconds since 1970.
        give_up_s: Age at which an entry is skipped.
        random: Source of the random delays.
        retry: Delays of retries.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        receiver: EntryReceiver,
        *,
        now: Callable[[], float],
        give_up_s: float,
        random: Random,
        retry: Backoff = RETRY,
    ) -> None:
        self._name = name
        self._store = store
        self._receiver = receiver
        self._now = now
        self._give_up_s = give_up_s
        self._random = random
        self._retry = retry
        self._queued: dict[str, None] = {}
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._overflowed = False
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start delivering, beginning with the backlog of the last stop.

        Raises:
            StorageError: The store cannot be read.
        """
        await self._store.delivery_cursors.enable(self._name)
        self.scan_backlog()
        self._tasks = [asyncio.create_task(self._work(), name=f"timim delivery feed {self._name}") for _ in range(WORKERS)]

    async def close(self) -> None:
        """Stop delivering; the next start continues at the cursors."""
        for handle in self._waiting.values():
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def scan_backlog(self) -> None:
        """Find undelivered entries in the store, such as those of a lost node."""
        self._overflowed = True
        self._wake.set()

    def on_stored(self, timeline: str) -> None:
        """Queue a timeline that has a new entry."""
        if timeline in self._waiting:
            return  # its next retry delivers the new entry too
        if len(self._queued) >= QUEUE_LIMIT:
            self._overflowed = True
        else:
            self._queued[timeline] = None
        self._wake.set()

    async def _work(self) -> None:
        while True:
            try:
                timeline = await self._next()
            except TimimError as exc:
                log.warning("the delivery feed %s cannot read the store and tries again: %s", self._name, exc)
                await asyncio.sleep(self._retry.limit_s)
                self._overflowed = True
                continue
            self._busy.add(timeline)
            try:
                await self._deliver_timeline(timeline)
                self._failures.pop(timeline, None)
            except TimimError as exc:
                self._retry_later(timeline, exc)
            except Exception:
                log.exception("the delivery feed %s failed to deliver timeline %r and tries again", self._name, timeline)
                self._retry_later(timeline, None)
            finally:
                self._busy.discard(timeline)
                self._wake.set()

    async def _next(self) -> str:
        while True:
            for timeline in self._queued:
                if timeline not in self._busy:
                    del self._queued[timeline]
                    return timeline
            if self._overflowed:
                self._overflowed = False
                found = await self._store.delivery_cursors.backlog(self._name, QUEUE_LIMIT)
                self._queued |= dict.fromkeys(name for name in found if name not in self._waiting)
                self._overflowed = self._overflowed or len(found) == QUEUE_LIMIT > len(self._waiting)
                if self._queued:
                    continue
            self._wake.clear()
            await self._wake.wait()

    async def _deliver_timeline(self, timeline: str) -> None:
        claim = f"outlet {self._name} {timeline}"
        if not await self._store.locks.try_acquire(claim):
            self._wait(timeline, self._random.uniform(LOCKED_WAIT_S / 2, LOCKED_WAIT_S))
            return
        try:
            await self._deliver_backlog(timeline, claim)
        finally:
            await self._store.locks.release(claim)

    async def _deliver_backlog(self, timeline: str, claim: str) -> None:
        cursor = await self._store.delivery_cursors.get(self._name, timeline)
        while True:
            page = await self._store.timelines.page(timeline, cursor + 1, cursor + PAGE, PAGE)
            if cursor >= page.last_seq:
                return
            begun, skipped = cursor, 0
            try:
                for entry in reversed(page.entries):
                    if not self._store.locks.holds(claim):
                        raise StorageError(f"the lock {claim!r} was lost with the connection to the database")
                    if entry.time > self._now() - self._give_up_s:
                        await self._receiver.deliver(timeline, entry)
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
                        timeline,
                        self._give_up_s,
                    )
                if cursor > begun:
                    await self._store.delivery_cursors.advance(self._name, timeline, cursor)

    def _retry_later(self, timeline: str, why: TimimError | None) -> None:
        failures = self._failures.get(timeline, 0)
        self._failures[timeline] = failures + 1
        wait_s = self._retry.wait_s(failures, self._random)
        if why is not None:
            log.debug("the delivery feed %s retries timeline %r in %.1f s: %s", self._name, timeline, wait_s, why.info)
        self._wait(timeline, wait_s)

    def _wait(self, timeline: str, wait_s: float) -> None:
        self._waiting[timeline] = asyncio.get_running_loop().call_later(wait_s, self._on_due, timeline)

    def _on_due(self, timeline: str) -> None:
        del self._waiting[timeline]
        self.on_stored(timeline)
