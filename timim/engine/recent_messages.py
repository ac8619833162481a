"""The newest messages of a conversation in memory, for synchronous access to the last message (Tencent IM SDK guide, 消息存储).

Programs may keep references to these objects. If another object represents the same row, changes are copied to both.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..message import Message

LIMIT = 20


class RecentMessages:
    """At most LIMIT messages, by descending seq. Messages that have no seq yet, because they are being sent, come first."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    @property
    def newest(self) -> Message | None:
        """The newest message that may be the last one of the conversation list, or None if there is none."""
        return next((one for one in self._messages if not one.excluded_from_last_message), None)

    def all(self) -> list[Message]:
        """Return the messages, newest first, in a new list."""
        return list(self._messages)

    def add(self, message: Message) -> None:
        """Add a message that has a row, unless the row is already present."""
        messages = self._messages
        if not messages or (message.seq > messages[0].seq > 0 and message.local_id):
            messages.insert(0, message)
        elif all(one.local_id != message.local_id or not message.local_id for one in messages):
            messages.append(message)
            messages.sort(key=lambda m: (m.seq or 1 << 62, m.local_id), reverse=True)
        del messages[LIMIT:]

    def extend(self, messages: Sequence[Message]) -> None:
        """Add messages in the order of their seqs."""
        for message in messages[-LIMIT:]:
            self.add(message)

    def remove(self, message: Message) -> None:
        """Remove a message whose row was deleted."""
        self._messages = [one for one in self._messages if one.local_id != message.local_id]

    def clear(self) -> None:
        """Remove all messages."""
        self._messages.clear()

    def update(self, message: Message) -> None:
        """Copy the new content and state of a row to the object in this list."""
        for one in self._messages:
            if one.local_id == message.local_id and one is not message:
                one.update_from(message)

    def update_local_fields(self, message: Message) -> None:
        """Copy the fields that only this device stores: status, custom_int, custom_data."""
        for one in self._messages:
            if one.local_id == message.local_id:
                one.status, one.custom_int, one.custom_data = message.status, message.custom_int, message.custom_data

    def mark_read(self, seq: int) -> None:
        """Mark the messages up to `seq` as read by this account."""
        for one in self._messages:
            one.is_read = one.is_read or 0 < one.seq <= seq

    def mark_read_by_peer(self, seq: int) -> None:
        """Mark this account's own messages up to `seq` as read by the peer."""
        for one in self._messages:
            one.read_by_peer = one.read_by_peer or (one.is_self and 0 < one.seq <= seq)

    def set_receipt(self, seq: int, readers: int, others: int) -> None:
        """Set the number of members who have read the group message `seq`, and of those who have not."""
        for one in self._messages:
            if one.seq == seq:
                one.read_receipt_count, one.unread_receipt_count = readers, others
