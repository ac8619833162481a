"""The rows of a conversation: its messages in order, each once, and the gaps where messages may be missing.

Invariant: between two neighbouring messages there is no gap only if a page, or the coverage of the local store, has proven it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from timim import Interval, Message, MessageStatus

SERVER_MSG_ID = "0-0"  # of all messages that the server writes
MessageId = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class Gap:
    """A place where messages may be missing: after `older` and before `newer`. None is the beginning or the end."""

    older: Message | None
    newer: Message | None


Row = Message | Gap


@dataclass(slots=True)
class _Entry:
    """A message in the list. `joined`: no message is missing between this one and the one before."""

    message: Message
    number: int
    behind_seq: float
    joined: bool

    @property
    def rank(self) -> tuple[float, bool, int]:
        """The position: by seq. A message without one is behind the message that was the last one before it."""
        seq = self.message.seq
        return (seq or self.behind_seq, not seq, self.number)


def message_id(message: Message) -> MessageId:
    """Return the identity of a message within its conversation, which stays the same when the server numbers it."""
    if message.msg_id == SERVER_MSG_ID:
        return "", message.seq
    return "" if message.is_self else message.sender, message.msg_id


def is_missing_between(older: int, newer: int, gaps: Sequence[Interval]) -> bool:
    """Return True if one of the gaps has seqs between these two."""
    return any(gap.first < newer and gap.last > older for gap in gaps)


class MessageRows:
    """The loaded messages of one conversation.

    Attributes:
        begins: True if the first message is proven to be the first one of the conversation.
        live: True if new messages follow the last one.
    """

    def __init__(self) -> None:
        self.begins = False
        self.live = False
        self._entries: list[_Entry] = []
        self._by_id: dict[MessageId, _Entry] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Row]:
        if not self.begins:
            yield Gap(None, self.first)
        before: Message | None = None
        for entry in self._entries:
            message = entry.message
            if message.seq:
                if before is not None and not entry.joined:
                    yield Gap(before, message)
                before = message
            if message.status is not MessageStatus.DELETED:
                yield message
        if before is not None and not self.live:
            yield Gap(before, None)

    def __contains__(self, message: Message) -> bool:
        return message_id(message) in self._by_id

    @property
    def first(self) -> Message | None:
        """The first message that the server has numbered, or None."""
        return next((entry.message for entry in self._entries if entry.message.seq), None)

    @property
    def last(self) -> Message | None:
        """The last message that the server has numbered, or None."""
        return next((entry.message for entry in reversed(self._entries) if entry.message.seq), None)

    def get(self, message: Message) -> Message | None:
        """Return the listed object of this message, or None."""
        entry = self._by_id.get(message_id(message))
        return entry.message if entry is not None else None

    def add_page(
        self,
        page: Sequence[Message],
        *,
        after: Message | None = None,
        before: Message | None = None,
        gaps: Sequence[Interval] = (),
    ) -> None:
        """Add messages that follow each other, oldest first.

        Args:
            page: The messages.
            after: The listed message that the page follows.
            before: The listed message that follows the page.
            gaps: Seqs that this device does not have; messages on both sides of a gap do not follow each other.
        """
        older = after.seq if after is not None else 0
        for message in [*page, before] if before is not None else page:
            entry = self._entry(message, behind_seq=older or math.inf)
            if message.seq:
                entry.joined = entry.joined or (older > 0 and not is_missing_between(older, message.seq, gaps))
                older = message.seq
        self._sort()

    def add_new(self, message: Message, gaps: Sequence[Interval] = ()) -> None:
        """Add a message that has just arrived, is being sent or was numbered, with the gaps of the local store."""
        last = self.last
        entry = self._entry(message, behind_seq=math.inf if message.is_self or last is None else last.seq)
        self._sort()
        if message.seq:
            older = max((one.message.seq for one in self._entries if one.message.seq < message.seq), default=0)
            entry.joined = entry.joined or (older > 0 and not is_missing_between(older, message.seq, gaps))

    def remove(self, message: Message) -> None:
        """Remove a message that was not stored."""
        entry = self._by_id.pop(message_id(message))
        self._entries.remove(entry)

    def drop_oldest(self, keep: int) -> None:
        """Forget the oldest messages, so that `keep` remain; they can be loaded again."""
        dropped = self._entries[: max(0, len(self._entries) - keep)]
        if not dropped:
            return
        for entry in dropped:
            del self._by_id[message_id(entry.message)]
        self._entries = self._entries[len(dropped) :]
        self._entries[0].joined = False
        self.begins = False

    def _entry(self, message: Message, *, behind_seq: float) -> _Entry:
        identity = message_id(message)
        entry = self._by_id.get(identity)
        if entry is None:
            self._count += 1
            entry = self._by_id[identity] = _Entry(message, self._count, behind_seq, joined=False)
            self._entries.append(entry)
        return entry

    def _sort(self) -> None:
        self._entries.sort(key=lambda entry: entry.rank)
