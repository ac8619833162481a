"""Delivery feeds: they notify the operator's back end of stored messages, in the order of each timeline, at least once.

A cursor for each timeline says how far it was delivered (`store/delivery_cursors.py`); it moves after the delivery. Of several
nodes one delivers a timeline at a time (`store/locks.py`), whichever stored its entries. So a crash loses nothing, and repeats
at most the delivery under way, under the same id. What fails is retried after a growing wait, the timeline's later messages
behind it; what is older than `give_up_s` is skipped.
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
WORKERS = 8  # timelines told of at once
QUEUE_LIMIT = 10_000  # timelines remembered; past it they are found in the store
LOCKED_WAIT_S = 1.0  # another node tells of it: look after so long whether something is left
RETRY = Backoff(first_s=0.5, limit_s=60.0)  # a back end that was away for an hour is found within a minute


class EntryReceiver(Protocol):
    """The back end's side of a feed."""

    async def deliver(self, timeline: str, entry: StoredEntry) -> None:
        """Hand one entry to the back end. Raises TimimError when that has to be tried again."""
        ...


class DeliveryFeed:
    """One feed of this node. `now` is the server's clock, `random` draws the waits."""

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
        """Open; what was not told before the last stop is told now."""
        await self._store.delivery_cursors.enable(self._name)
        self.scan_backlog()
        self._tasks = [asyncio.create_task(self._work(), name=f"timim delivery feed {self._name}") for _ in range(WORKERS)]

    async def close(self) -> None:
        """Stop telling; the cursors say where to go on."""
        for handle in self._waiting.values():
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def scan_backlog(self) -> None:
        """Somebody else may have left something untold: find it in the store."""
        self._overflowed = True
        self._wake.set()

    def on_stored(self, timeline: str) -> None:
        """There is something new in this timeline."""
        if timeline in self._waiting:
            return  # it is behind what failed
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
                log.warning("the delivery feed %s cannot read the store: %s", self._name, exc)
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
                log.exception("the delivery feed %s failed", self._name)
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
        told = await self._store.delivery_cursors.get(self._name, timeline)
        while True:
            page = await self._store.timelines.page(timeline, told + 1, told + PAGE, PAGE)
            if told >= page.last_seq:
                return
            begun = told
            try:
                for entry in reversed(page.entries):
                    if not self._store.locks.holds(claim):
                        raise StorageError("the claim was lost with the database's connection")
                    if entry.time > self._now() - self._give_up_s:
                        await self._receiver.deliver(timeline, entry)
                    told = entry.seq
                told = max(told, page.last)
            finally:
                if told > begun:
                    await self._store.delivery_cursors.advance(self._name, timeline, told)

    def _retry_later(self, timeline: str, why: TimimError | None) -> None:
        failures = self._failures.get(timeline, 0)
        self._failures[timeline] = failures + 1
        if why is not None and failures == 0:
            log.warning("the delivery feed %s: %s; it is tried again", self._name, why.info)
        self._wait(timeline, self._retry.wait_s(failures, self._random))

    def _wait(self, timeline: str, wait_s: float) -> None:
        self._waiting[timeline] = asyncio.get_running_loop().call_later(wait_s, self._on_due, timeline)

    def _on_due(self, timeline: str) -> None:
        del self._waiting[timeline]
        self.on_stored(timeline)
