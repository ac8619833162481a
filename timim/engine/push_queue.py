"""A bounded queue of pushed entries to store. Above the limit only seqs are queued, and their entries are fetched."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

from ..ids import ConversationKey
from ..protocol.entries import Entry

QUEUE_LIMIT = 10_000  # entries; above the limit only the highest seq of each conversation is kept


class PushedEntry(msgspec.Struct, gc=False):
    """A queued entry; `entry` is None if this device sent the entry, because its row is already stored."""

    key: ConversationKey
    seq: int
    entry: Entry | None = None


class PushBatch:
    """Entries by conversation and seq, and the seq up to which the entries of each conversation have to be stored."""

    def __init__(self) -> None:
        self.entries: dict[ConversationKey, dict[int, Entry | None]] = {}
        self.up_to: dict[ConversationKey, int] = {}


class PushQueue:
    """Entries in the order of their arrival, and seqs whose entries have to be fetched."""

    def __init__(self) -> None:
        self._entries: deque[PushedEntry] = deque()
        self._behind: dict[ConversationKey, int] = {}
        self._wake = asyncio.Event()

    def push(self, pushed: Iterable[tuple[ConversationKey, Entry]]) -> None:
        """Add pushed entries with their conversations, up to an error of the iterable. Never blocks."""
        entries = self._entries
        try:
            for key, entry in pushed:
                if len(entries) >= QUEUE_LIMIT and entry.timeline_seq:
                    self.add_behind(key, entry.timeline_seq)
                else:
                    entries.append(PushedEntry(key, entry.timeline_seq, entry))
        finally:
            if entries:
                self._wake.set()

    def push_own(self, key: ConversationKey, seq: int) -> None:
        """Add the seq of an entry that this device sent. Never blocks."""
        if len(self._entries) >= QUEUE_LIMIT:
            self.add_behind(key, seq)
        else:
            self._entries.append(PushedEntry(key, seq))
        self._wake.set()

    def add_behind(self, key: ConversationKey, seq: int) -> None:
        """Note that entries up to `seq` have to be fetched."""
        self._behind[key] = max(self._behind.get(key, 0), seq)

    def wake(self) -> None:
        """End a wait for the queue."""
        self._wake.set()

    async def wait(self) -> None:
        """Wait until the queue is not empty."""
        if not self._entries and not self._behind:
            self._wake.clear()
            await self._wake.wait()

    def take_online(self) -> PushedEntry | None:
        """Remove and return the first entry if it is an online message, which has no seq; return None otherwise."""
        if self._entries and not self._entries[0].seq:
            return self._entries.popleft()
        return None

    def take(self, limit: int) -> PushBatch:
        """Remove and return at most `limit` entries, up to the next online message.

        The batch that empties the queue also has the seqs whose entries have to be fetched.
        """
        batch, waiting = PushBatch(), self._entries
        key, of_key = None, dict[int, Entry | None]()
        for _ in range(min(len(waiting), limit)):
            if not waiting[0].seq:
                break
            first = waiting.popleft()
            if first.key is not key:
                key, of_key = first.key, batch.entries.setdefault(first.key, {})
            of_key[first.seq] = first.entry
        batch.up_to = {key: max(entries) for key, entries in batch.entries.items()}
        if not self._entries:
            behind, self._behind = self._behind, {}
            for key, seq in behind.items():
                batch.entries.setdefault(key, {})
                batch.up_to[key] = max(batch.up_to.get(key, 0), seq)
        return batch

    def clear(self) -> None:
        """Remove all entries and seqs."""
        self._entries.clear()
        self._behind.clear()
