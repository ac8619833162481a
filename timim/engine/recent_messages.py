"""The last messages of a conversation in memory, so that showing them asks no disk. Source: 同步获取会话最后的消息.

They are objects that users may hold; where another object stands for the same row, what is news of the row is said to both.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..message import Message

LIMIT = 20


class LastMessages:
    """LIMIT at most, the newest first: by seq, those on their way before all."""

    def __init__(self) -> None:
        self._held: list[Message] = []

    @property
    def newest(self) -> Message | None:
        """None before there is one."""
        return self._held[0] if self._held else None

    @property
    def held(self) -> list[Message]:
        """A list of its own, the newest first."""
        return list(self._held)

    def add(self, message: Message) -> None:
        """It is on disk now, or got its seq."""
        held = self._held
        if not held or (message.seq > held[0].seq > 0 and message.local_id):
            held.insert(0, message)
        elif all(one.local_id != message.local_id or not message.local_id for one in held):
            held.append(message)
            held.sort(key=lambda m: (m.seq or 1 << 62, m.local_id), reverse=True)
        del held[LIMIT:]

    def add_all(self, messages: Sequence[Message]) -> None:
        """The same of many, in the order of their seqs."""
        for message in messages[-LIMIT:]:
            self.add(message)

    def forget(self, message: Message) -> None:
        """Its row was deleted."""
        self._held = [one for one in self._held if one.local_id != message.local_id]

    def clear(self) -> None:
        """None of them is on this device any more."""
        self._held.clear()

    def changed(self, message: Message) -> None:
        """Its row is another now."""
        for one in self._held:
            if one.local_id == message.local_id and one is not message:
                one.update_from(message)

    def marked(self, message: Message) -> None:
        """The user put something on it."""
        for one in self._held:
            if one.local_id == message.local_id:
                one.status, one.custom_int, one.custom_data = message.status, message.custom_int, message.custom_data

    def read_up_to(self, seq: int) -> None:
        """This account has read up to here."""
        for one in self._held:
            one.is_read = one.is_read or 0 < one.seq <= seq

    def read_by_peer(self, seq: int) -> None:
        """The peer has read up to here."""
        for one in self._held:
            one.read_by_peer = one.read_by_peer or (one.is_self and 0 < one.seq <= seq)

    def receipt(self, seq: int, readers: int, others: int) -> None:
        """So many have read the message of this seq, and so many have not."""
        for one in self._held:
            if one.seq == seq:
                one.read_receipt_count, one.unread_receipt_count = readers, others
