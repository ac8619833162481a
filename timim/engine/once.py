"""Blocks of a program that are executed once for a key, also across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..errors import InvalidArgument
from ..storage import LocalStore
from ..util.msg_ids import MSG_IDS

__all__ = ["OnceKeys"]


@dataclass(slots=True)
class _Turn:
    """The lock of one key, the task that has it, and the number of tasks that have it or wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    owner: asyncio.Task[object] | None = None
    users: int = 0


class OnceKeys:
    """The keys of finished blocks in the local store, and the blocks that run now."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._turns: dict[str, _Turn] = {}

    @asynccontextmanager
    async def block(self, key: str) -> AsyncIterator[bool]:
        """Run a block; see `Client.once`."""
        self._store.check_open()
        turn = self._turns.setdefault(key, _Turn())
        if turn.owner is not None and turn.owner is asyncio.current_task():
            raise InvalidArgument(f"key: this task runs a block of {key!r:.60} already, and would wait for itself")
        turn.users += 1
        try:
            async with turn.lock:
                turn.owner = asyncio.current_task()
                try:
                    first = not await self._store.handling.is_done(key)
                    yield first
                    if first:
                        await self._store.handling.set_done(key, MSG_IDS.time_s())
                finally:
                    turn.owner = None
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]
