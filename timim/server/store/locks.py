"""Cluster-wide locks: a name that one node at a time owns, for work that one node does for all.

A lock is released when its node ends, for any reason. Another node may then start the same work again, so the work must
tolerate being started twice.
"""

from __future__ import annotations

from typing import Protocol


class ClusterLocks(Protocol):
    """Named locks, of which each has at most one owner in the cluster."""

    async def try_acquire(self, name: str) -> bool:
        """Acquire a lock without waiting. Return False if this node or another one owns it. Raises StorageError."""
        ...

    def holds(self, name: str) -> bool:
        """Return True if this node still owns the lock, as far as the node can know."""
        ...

    async def release(self, name: str) -> None:
        """Release a lock. Do nothing if this node does not own it.

        Never raises StorageError: a node that lost its connection has lost the lock as well.
        """
        ...

    async def close(self) -> None:
        """Release all locks of this node."""
        ...


class LocalLocks:
    """The locks of a store that only one process uses."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    async def try_acquire(self, name: str) -> bool:
        free = name not in self._held
        self._held.add(name)
        return free

    def holds(self, name: str) -> bool:
        return name in self._held

    async def release(self, name: str) -> None:
        self._held.discard(name)

    async def close(self) -> None:
        self._held.clear()
