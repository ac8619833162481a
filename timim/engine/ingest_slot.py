"""A limit on how many clients of one event loop store received messages at the same time.

Each client writes through a thread of its own, and all threads compete with the event loop for the interpreter. Without a
limit, a message to a hundred clients of one program costs a hundred transactions, and the sender's next row waits behind
them. A client that waits for a slot collects entries meanwhile, and stores them together. Outgoing messages need no slot.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

__all__ = ["SLOTS", "IngestSlot"]

SLOTS = 4  # for all clients of an event loop; more of them make smaller batches

_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class IngestSlot:
    """A client's slot: `async with slot` waits until fewer than SLOTS clients of the running event loop have one."""

    def __init__(self) -> None:
        self._held: asyncio.Semaphore | None = None

    async def __aenter__(self) -> None:
        semaphore = _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(SLOTS))
        await semaphore.acquire()
        self._held = semaphore

    async def __aexit__(self, *exc: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the slot up early, before waiting for the network. Does nothing without a slot."""
        held, self._held = self._held, None
        if held is not None:
            held.release()
