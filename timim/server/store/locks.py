"""Names that one node at a time holds, so that what is done once for all nodes is done by one.

A claim ends with its node, however that ends. It says who may begin; what was begun must bear being begun again.
"""

from __future__ import annotations

from typing import Protocol


class ClusterLocks(Protocol):
    async def try_acquire(self, name: str) -> bool:
        """Whether `name` is this node's now; False: it is held already, here or elsewhere. Raises StorageError."""
        ...

    def holds(self, name: str) -> bool:
        """Whether it is still this node's, as far as the node can know."""
        ...

    async def release(self, name: str) -> None:
        """Leave it to others; nothing to do for what is not held. Never raises StorageError: a lost claim is free."""
        ...

    async def close(self) -> None:
        """Release all."""
        ...


class LocalLocks:
    """Of a store that one process has for itself."""

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
