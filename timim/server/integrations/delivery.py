"""Delivery feeds notify the operator's back end of stored events, in the order of each key, at least once.

The key of a feed is a timeline, or a lane of the outbox; its `DeliverySource` knows what is left to deliver. A key is delivered
by one node at a time, which holds its lock (`store/locks.py`). This can be any node, not only the one that stored the events. A
crash loses nothing, and repeats at most the delivery in progress, with the same id. A failed delivery is retried after a
growing delay, before the later events of its key.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Protocol

from ...errors import StorageError, TimimError
from ...protocol.backoff import Backoff
from ..store.locks import ClusterLocks

log = logging.getLogger("timim.server")
WORKERS = 8  # keys delivered at once
QUEUE_LIMIT = 10_000  # keys in memory; a scan of the store finds the others
LOCKED_WAIT_S = 1.0  # delay after which a key that another node delivers is checked again
RETRY = Backoff(first_s=0.5, limit_s=60.0)  # a restored back end gets its messages within a minute


class Claim:
    """The lock under which a node delivers the events of one key."""

    def __init__(self, name: str, locks: ClusterLocks) -> None:
        self.name = name
        self._locks = locks

    def require_held(self) -> None:
        """Check that this node has the lock.

        Raises:
            StorageError: The lock was lost with the connection to the database.
        """
        if not self._locks.holds(self.name):
            raise StorageError(f"the lock {self.name!r} was lost with the connection to the database")


class DeliverySource(Protocol):
    """The events that a feed delivers."""

    async def open(self) -> None:
        """Begin: events that are stored from now on are delivered."""
        ...

    async def backlog(self, limit: int) -> list[str]:
        """Return at most `limit` keys that have events to deliver."""
        ...

    async def deliver(self, key: str, claim: Claim) -> None:
        """Deliver the events of a key until there are none.

        Raises:
            TimimError: A delivery failed; the feed calls this method again.
        """
        ...


class DeliveryFeed:
    """One delivery feed of this node.

    Args:
        name: Name of the feed in the locks of the cluster.
        locks: The locks of the cluster.
        source: The events to deliver.
        random: Source of the random delays.
        retry: Delays of retries.
    """

    def __init__(
        self, name: str, locks: ClusterLocks, source: DeliverySource, *, random: Random, retry: Backoff = RETRY
    ) -> None:
        self._name = name
        self._locks = locks
        self._source = source
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
        await self._source.open()
        self.scan_backlog()
        self._tasks = [asyncio.create_task(self._work(), name=f"timim delivery feed {self._name}") for _ in range(WORKERS)]

    async def close(self) -> None:
        """Stop delivering; the next start continues with the backlog."""
        for handle in self._waiting.values():
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def scan_backlog(self) -> None:
        """Find undelivered events in the store, such as those of a lost node."""
        self._overflowed = True
        self._wake.set()

    def on_stored(self, key: str) -> None:
        """Queue a key that has a new event."""
        if key in self._waiting:
            return  # its next retry delivers the new event too
        if len(self._queued) >= QUEUE_LIMIT:
            self._overflowed = True
        else:
            self._queued[key] = None
        self._wake.set()

    async def _work(self) -> None:
        while True:
            try:
                key = await self._next()
            except TimimError as exc:
                log.warning("the delivery feed %s cannot read the store and tries again: %s", self._name, exc)
                await asyncio.sleep(self._retry.limit_s)
                self._overflowed = True
                continue
            self._busy.add(key)
            try:
                await self._deliver(key)
                self._failures.pop(key, None)
            except TimimError as exc:
                self._retry_later(key, exc)
            except Exception:
                log.exception("the delivery feed %s failed to deliver %r and tries again", self._name, key)
                self._retry_later(key, None)
            finally:
                self._busy.discard(key)
                self._wake.set()

    async def _next(self) -> str:
        while True:
            for key in self._queued:
                if key not in self._busy:
                    del self._queued[key]
                    return key
            if self._overflowed:
                self._overflowed = False
                found = await self._source.backlog(QUEUE_LIMIT)
                self._queued |= dict.fromkeys(name for name in found if name not in self._waiting)
                self._overflowed = self._overflowed or len(found) == QUEUE_LIMIT > len(self._waiting)
                if self._queued:
                    continue
            self._wake.clear()
            await self._wake.wait()

    async def _deliver(self, key: str) -> None:
        claim = Claim(f"outlet {self._name} {key}", self._locks)
        if not await self._locks.try_acquire(claim.name):
            self._wait(key, self._random.uniform(LOCKED_WAIT_S / 2, LOCKED_WAIT_S))
            return
        try:
            await self._source.deliver(key, claim)
        finally:
            await self._locks.release(claim.name)

    def _retry_later(self, key: str, why: TimimError | None) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait_s = self._retry.wait_s(failures, self._random)
        if why is not None:
            log.debug("the delivery feed %s retries %r in %.1f s: %s", self._name, key, wait_s, why.info)
        self._wait(key, wait_s)

    def _wait(self, key: str, wait_s: float) -> None:
        self._waiting[key] = asyncio.get_running_loop().call_later(wait_s, self._on_due, key)

    def _on_due(self, key: str) -> None:
        del self._waiting[key]
        self.on_stored(key)
