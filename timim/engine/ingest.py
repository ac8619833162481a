"""Storing of received messages, followed by their delivery to handlers.

Invariant: a handler receives a message only after the local store has committed it, and exactly the messages that the
store reports as new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..events import ProfileChanged
from ..ids import ConversationKey
from ..profiles import ProfileCache
from ..storage import IngestBatch, IngestResult, LocalStore
from .conversations import ConversationIndex
from .dispatcher import Dispatcher
from .sync_failures import concerns_one_conversation

log = logging.getLogger(__name__)


class Ingest:
    """Stores the batches of one account, applies them to the conversations, and delivers new messages and events.

    `delivered_seqs` has, for each conversation of this login, the seq up to which all entries were stored and delivered.
    """

    def __init__(
        self, store: LocalStore, conversations: ConversationIndex, profiles: ProfileCache, dispatcher: Dispatcher
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._profiles = profiles
        self._dispatcher = dispatcher
        self._acked: dict[ConversationKey, set[int]] = {}  # above the delivered seqs
        self.delivered_seqs: dict[ConversationKey, int] = {}
        self.uncounted: set[ConversationKey] = set()  # conversations whose unread counts only the server knows

    def reset(self) -> None:
        """Forget all delivered seqs."""
        self.delivered_seqs.clear()
        self._acked.clear()

    def raise_delivered_seq(self, key: ConversationKey, seq: int) -> None:
        """Note that the store has all entries up to `seq`."""
        if seq > self.delivered_seqs.get(key, 0):
            self.delivered_seqs[key] = seq
        if (acked := self._acked.get(key)) is not None:
            acked -= {seq for seq in acked if seq <= self.delivered_seqs.get(key, 0)}
            if not acked:
                del self._acked[key]

    def add_ack(self, key: ConversationKey, seq: int) -> None:
        """Note the seq of a message that this device sent and has stored."""
        self._acked.setdefault(key, set()).add(seq)

    def acks_below(self, key: ConversationKey, seq: int) -> list[int]:
        """Return the seqs of messages that this device sent, between the delivered seq and `seq`."""
        return [one for one in self._acked.get(key, ()) if one < seq]

    async def ingest(self, batches: Sequence[IngestBatch]) -> None:
        """Store the batches and deliver the new messages. Raises StorageError.

        Cancellation takes effect only after the delivery, because a stored message would not be delivered again.
        """
        if not batches:
            return
        finished = asyncio.Event()
        failures: list[Exception] = []

        def on_stored(results: list[IngestResult] | Exception) -> None:
            if isinstance(results, Exception):
                failures.append(results)
            else:
                try:
                    self._deliver(batches, results)
                except Exception as exc:  # noqa: BLE001  raised below
                    failures.append(exc)
            finished.set()

        self._store.messages.add_batches(batches, on_stored, unhandled=self._dispatcher.records_messages())
        try:
            await finished.wait()
        except asyncio.CancelledError:
            await finished.wait()
            if failures:
                log.warning("storing received messages failed during logout; the next login fetches them: %s", failures[0])
            raise
        if failures:
            raise failures[0]

    async def ingest_each(self, batches: Sequence[IngestBatch]) -> dict[ConversationKey, Exception]:
        """Store the batches; if one of them cannot be stored, store the others without it.

        Returns:
            The errors of the conversations that cannot be stored.

        Raises:
            StorageError: The local store cannot be read or written.
        """
        try:
            await self.ingest(batches)
        except Exception as exc:
            if not concerns_one_conversation(exc):
                raise
            log.warning("storing %d conversations at once failed; storing them one by one: %r", len(batches), exc)
        else:
            return {}
        failed: dict[ConversationKey, Exception] = {}
        for batch in batches:
            try:
                await self.ingest([batch])
            except Exception as exc:
                if not concerns_one_conversation(exc):
                    raise
                failed[batch.key] = exc
        return failed

    def _deliver(self, batches: Sequence[IngestBatch], results: Sequence[IngestResult]) -> None:
        for batch in batches:
            if batch.delivered_seq:
                self.raise_delivered_seq(batch.key, batch.delivered_seq)
        for batch, result in zip(batches, results, strict=True):
            if result.new:
                log.debug("stored %d new messages of %s, up to seq %d", len(result.new), batch.key, batch.last_seq)
            events = self._conversations.apply(result)
            if not result.exact:
                self.uncounted.add(result.key)
            self._dispatcher.deliver_messages(result.new)
            for event in events:
                if isinstance(event, ProfileChanged):
                    self._profiles.apply(event)
                self._dispatcher.deliver_event(event)
