"""The newest messages of a conversation in memory, for synchronous access to the last message (Tencent IM SDK guide, 消息存储).

They are the objects that programs hold, so that their changes need not be copied here; see live_messages.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..message import Message, MessageStatus

LIMIT = 20


class RecentMessages:
    """At most LIMIT messages, newest first, in the order of the local store.

    A message without a seq is behind the message that was the last one when it was stored. When another message of this device
    gets its seq, those that are still being sent move behind it.
    """

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._positions: dict[int, int] = {}  # by local_id, of messages without a seq
        self._last_seq = 0
        self._last_id = 0  # the highest local_id: a row above it is not present
        self._acked_seq = 0  # messages that are being sent are behind this seq
        self._sorted = True

    @property
    def newest(self) -> Message | None:
        """The newest message that may be the last one of the conversation list, or None if there is none."""
        return next((one for one in self._in_order() if not one.excluded_from_last_message), None)

    @property
    def shown(self) -> Message | None:
        """The newest message that is not deleted and may be the last one of the list, or None if there is none."""
        of_list = (one for one in self._in_order() if not one.excluded_from_last_message)
        return next((one for one in of_list if one.status is not MessageStatus.DELETED), None)

    def all(self) -> list[Message]:
        """Return the messages, newest first, in a new list."""
        return list(self._in_order())

    def add(self, message: Message) -> None:
        """Add a message that has a row, unless the row is already present."""
        messages, seq, local_id = self._messages, message.seq, message.local_id
        if message.is_self and message in messages:
            self._sorted = False  # it has a seq now, or is sent again
            return
        if seq <= self._last_seq and 0 < local_id <= self._last_id and any(one.local_id == local_id for one in messages):
            return
        self._last_id = max(self._last_id, local_id)
        if not seq:
            self._positions.setdefault(local_id, self._last_seq)
        elif seq > self._last_seq:
            self._last_seq = seq
        self._sorted = self._sorted and (not messages or self._rank(message) > self._rank(messages[0]))
        messages.insert(0, message)
        if len(messages) >= 2 * LIMIT:  # sorting at each message would take longer
            self._in_order()

    def extend(self, messages: Sequence[Message]) -> None:
        """Add messages in the order of their seqs."""
        for message in messages[-LIMIT:]:
            self.add(message)

    def on_acked(self, message: Message) -> None:
        """Note that a message of this device got its seq."""
        self._last_seq = self._acked_seq = max(self._last_seq, message.seq)
        self._sorted = False

    def remove(self, message: Message) -> None:
        """Remove a message whose row was deleted."""
        self._messages = [one for one in self._messages if one.local_id != message.local_id]
        self._positions.pop(message.local_id, None)

    def clear(self) -> None:
        """Remove all messages but those that are on their way to the server."""
        self._messages = [one for one in self._messages if one.status is MessageStatus.SENDING]

    def _in_order(self) -> list[Message]:
        if not self._sorted:
            for one in self._messages:
                if one.seq:
                    self._positions.pop(one.local_id, None)
                elif one.status is MessageStatus.SENDING:
                    self._positions[one.local_id] = max(self._positions.get(one.local_id, 0), self._acked_seq)
            self._messages.sort(key=self._rank, reverse=True)
            self._sorted = True
        for one in self._messages[LIMIT:]:
            self._positions.pop(one.local_id, None)
        del self._messages[LIMIT:]
        return self._messages

    def _rank(self, message: Message) -> tuple[int, int]:
        return message.seq or self._positions.get(message.local_id, 0), message.local_id
