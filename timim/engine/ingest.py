"""The one door into the local store for what others said: stored first, then thrown; and the heads, which say up to where.

Stored before thrown: a handler sees a message only after the local store has it, and sees exactly the rows that the store
reports as new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from ..ids import ConversationKey
from ..message import Message
from ..storage import IngestBatch, IngestResult, LocalStore

log = logging.getLogger("timim")


class Keeper:
    """`stored` hears of all that came and was stored; `bind` makes messages the client's."""

    def __init__(
        self, store: LocalStore, *, stored: Callable[[IngestResult], None], bind: Callable[[Message], Message]
    ) -> None:
        self._store = store
        self._stored = stored
        self._bind = bind
        self._acked: dict[ConversationKey, set[int]] = {}  # above the heads
        self.heads: dict[ConversationKey, int] = {}

    def forget(self) -> None:
        """Nothing is known of any head."""
        self.heads.clear()
        self._acked.clear()

    def raise_head(self, key: ConversationKey, head: int) -> None:
        """The store has all up to here."""
        if head > self.heads.get(key, 0):
            self.heads[key] = head
        if (acked := self._acked.get(key)) is not None:
            acked -= {seq for seq in acked if seq <= self.heads.get(key, 0)}
            if not acked:
                del self._acked[key]

    def acked(self, key: ConversationKey, seq: int) -> None:
        """One of our own messages got this seq; its row will say so."""
        self._acked.setdefault(key, set()).add(seq)

    def acked_below(self, key: ConversationKey, seq: int) -> list[int]:
        """Seqs of our own messages, above the head and below this one."""
        return [one for one in self._acked.get(key, ()) if one < seq]

    async def keep(self, batches: Sequence[IngestBatch]) -> None:
        """Store and throw; both, also when who waits here is cancelled: what is stored comes no second time."""
        if not batches:
            return
        storing = self._store.add(batches)
        storing.add_done_callback(partial(self._kept, batches))
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError:
            await asyncio.wait((storing,))
            if error := storing.exception():
                log.warning("what came last was not stored: %s", error)
            raise

    def _kept(self, batches: Sequence[IngestBatch], storing: asyncio.Future[list[IngestResult]]) -> None:
        if storing.cancelled() or storing.exception() is not None:
            return  # who waits for it hears why
        for batch in batches:
            if batch.head:
                self.raise_head(batch.key, batch.head)
        for result in storing.result():
            for message in result.new:
                self._bind(message)
            for _, message in result.acted:
                self._bind(message)
            self._stored(result)
