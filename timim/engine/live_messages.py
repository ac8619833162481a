"""The Message objects that a program holds, by their rows: each stored message has one object within an opened client.

Invariant: an object has the newest state that the store has reported. Changes come from writes, in the order of their commits.
A read can have begun before a write and end after it, so its rows never change an object that exists; the changes during a read
are applied to the objects that it makes.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..ids import ConversationKey, ConversationType
from ..message import Message, MessageStatus

PURGE_OVER = 4096  # dead references that may wait for their removal, besides one for each object
Change = Callable[[Message], None]


class LiveMessages:
    """The objects of an account's stored messages, while anything refers to them."""

    def __init__(self) -> None:
        self._objects: dict[ConversationKey, dict[int, weakref.ref[Message]]] = {}  # by local_id
        self._twins: dict[int, list[weakref.ref[Message]]] = {}  # further objects of a row: two rows became one
        self._references = 0  # at most, in `_objects`
        self._purge_at = PURGE_OVER
        self._reads: dict[int, None] = {}  # in progress, by their numbers, the oldest first
        self._last_read = 0
        # since the oldest read in progress began, each with the number of the last read that had begun before
        self._kept: deque[tuple[int, Message]] = deque()  # changed objects, so that the reads find them
        self._changes: deque[tuple[int, ConversationKey, Change]] = deque()  # of many rows
        self._gone: dict[tuple[int, str], int] = {}  # deleted rows
        self._key: ConversationKey | None = None  # of the last lookup
        self._of_key: dict[int, weakref.ref[Message]] = {}

    def begin_read(self) -> int:
        """Note that a read of the store begins; return the number to give to `end_read`, which must follow."""
        self._last_read += 1
        self._reads[self._last_read] = None
        return self._last_read

    def end_read(self, begun: int, messages: Iterable[Message]) -> list[Message]:
        """Return the object of each message that a read has made of a row, with the changes since the read began."""
        found: list[Message] = []
        for message in messages:
            gone = bool(self._gone) and (message.local_id, message.msg_id) in self._gone
            known = message if gone else self.object_of(message)
            if known is message and self._changes:
                for began, key, change in self._changes:
                    if began >= begun and key == message.key:
                        change(message)
            found.append(known)
        del self._reads[begun]
        self._drop_old_changes()
        return found

    def _drop_old_changes(self) -> None:
        """Drop the changes before the oldest read in progress."""
        oldest = next(iter(self._reads), self._last_read + 1)
        while self._kept and self._kept[0][0] < oldest:
            self._kept.popleft()
        while self._changes and self._changes[0][0] < oldest:
            self._changes.popleft()
        if self._gone:
            self._gone = {row: began for row, began in self._gone.items() if began >= oldest}

    def object_of(self, message: Message) -> Message:
        """Return the object of the row of `message`, which becomes that object if there is none."""
        objects = self._of(message.key)
        local_id = message.local_id
        reference = objects.get(local_id)
        if reference is not None:
            known = reference()
            if known is not None and known.msg_id == message.msg_id:
                return known
            objects[local_id] = weakref.ref(message)
            return message
        objects[local_id] = weakref.ref(message)
        self._references += 1
        if self._references > self._purge_at:
            self._purge()
        return message

    def written(self, message: Message) -> Message:
        """Return the object of a row that a write has reported, with the state that the write has left."""
        known = self.object_of(message)
        if known is not message or message.local_id in self._twins:
            for one in self._at(message):
                if one is not message:
                    _refresh(one, message)
        if self._reads:
            self._kept.append((self._last_read, known))
        return known

    def written_all(self, messages: Sequence[Message]) -> list[Message]:
        """Return the objects of rows of one conversation that a write has reported, as `written` does for each."""
        if not messages or self._reads or self._twins:
            return [self.written(message) for message in messages]
        objects, found = self._of(messages[0].key), []
        for message in messages:
            if message.local_id in objects:
                found.append(self.written(message))
            else:  # as nearly always: the row is new
                objects[message.local_id] = weakref.ref(message)
                self._references += 1
                found.append(message)
        if self._references > self._purge_at:
            self._purge()
        return found

    def add(self, message: Message) -> None:
        """Add the object of a message that this device sends; another object of its row gets its local fields from it."""
        if self.object_of(message) is not message:
            if all(one is not message for one in self._at(message)):
                self._twins.setdefault(message.local_id, []).append(weakref.ref(message))
            self.changed(message)
        elif self._twins or self._reads:
            self.changed(message)

    def settle(self, message: Message, local_id: int, status: MessageStatus) -> None:
        """Set the row and the status of a sent message after its ack was stored."""
        message._status = status
        if local_id != message.local_id:  # the push of the message had made a row, which has replaced this one
            self.forget(message)
            message._local_id = local_id
            self.add(message)
        elif self._twins or self._reads:
            self.changed(message)

    def changed(self, message: Message) -> None:
        """Note that the local fields of `message` were changed: status, custom_int, custom_data."""
        reference = self._of(message.key).get(message.local_id)
        alone = reference is not None and reference() is message and message.local_id not in self._twins
        for one in () if alone else self._at(message):
            if one is not message:
                one._status, one._custom_int, one._custom_data = message.status, message.custom_int, message.custom_data
        if self._reads:
            self._kept.append((self._last_read, message))

    def change_all(self, key: ConversationKey, change: Change) -> None:
        """Apply a change to all objects of a conversation, and to those that reads in progress make."""
        for one in self._all(key):
            change(one)
        if self._reads:
            self._changes.append((self._last_read, key, change))

    def forget(self, message: Message) -> None:
        """Forget a message whose row was deleted."""
        if message.key is not None:
            self._objects.get(message.key, {}).pop(message.local_id, None)
        self._twins.pop(message.local_id, None)
        if self._reads:
            self._gone[message.local_id, message.msg_id] = self._last_read

    def forget_conversation(self, key: ConversationKey) -> None:
        """Forget the messages of a conversation whose rows were deleted: all but those that are being sent."""
        for message in list(self._all(key)):
            if message.status is not MessageStatus.SENDING:
                self.forget(message)

    def erase(self, key: ConversationKey, includes: Callable[[Message], bool]) -> None:
        """Mark messages as deleted whose rows were deleted, and forget them."""
        self.change_all(key, mark_deleted(includes))
        for message in list(self._all(key)):
            if includes(message):
                self.forget(message)

    def clear(self) -> None:
        """Forget all messages, because the store is closed."""
        for held in (self._objects, self._twins, self._kept, self._changes, self._gone):
            held.clear()
        self._references, self._purge_at, self._key, self._of_key = 0, PURGE_OVER, None, {}

    def _of(self, key: ConversationKey | None) -> dict[int, weakref.ref[Message]]:
        if key is not self._key or key is None:
            assert key is not None
            found = self._objects.get(key)
            if found is None:
                found = self._objects[key] = {}
            self._key, self._of_key = key, found
        return self._of_key

    def _at(self, message: Message) -> Iterator[Message]:
        """Yield the objects of the row of `message`."""
        references = [self._of(message.key).get(message.local_id), *self._twins.get(message.local_id, ())]
        for reference in references:
            one = reference() if reference is not None else None
            if one is not None and one.msg_id == message.msg_id:
                yield one

    def _all(self, key: ConversationKey) -> Iterator[Message]:
        for local_id, reference in self._objects.get(key, {}).items():
            for one in (reference, *self._twins.get(local_id, ())):
                if (message := one()) is not None:
                    yield message

    def _purge(self) -> None:
        """Remove the references to objects that have ended. Runs when they may be more than half."""
        for key in list(self._objects):
            alive = {local_id: one for local_id, one in self._objects[key].items() if one() is not None}
            if alive:
                self._objects[key] = alive
            else:
                del self._objects[key]
        self._twins = {local_id: ones for local_id, ones in self._twins.items() if any(one() is not None for one in ones)}
        self._references = sum(map(len, self._objects.values()))
        self._purge_at = 2 * self._references + PURGE_OVER
        self._key, self._of_key = None, {}


def _refresh(message: Message, row: Message) -> None:
    """Copy the state of a row, which is at least as new, but the fields that only this device changes."""
    if not row.seq:
        return  # a message that is being sent is newer than its row
    message.update_from(row)
    if not message.seq:  # the message of this device was received before its ack
        message._seq, message._timestamp = row.seq, row.timestamp
        message._sender_profile, message._sender_member = row.sender_profile, row.sender_member
        if message.status is not MessageStatus.DELETED:
            message._status = row.status
    message._is_read = message.is_read or row.is_read
    message._read_by_peer = message.read_by_peer or row.read_by_peer


def mark_read(seq: int) -> Change:
    """Return the change of the messages up to `seq` that this account has read."""

    def change(message: Message) -> None:
        message._is_read = message.is_read or 0 < message.seq <= seq

    return change


def mark_deleted(includes: Callable[[Message], bool]) -> Change:
    """Return the change of the messages that were deleted on all devices."""

    def change(message: Message) -> None:
        if includes(message):
            message._status = MessageStatus.DELETED

    return change


def mark_unread(read_seq: int) -> Change:
    """Return the change of the messages above `read_seq`, which this account has not read after all."""

    def change(message: Message) -> None:
        message._is_read = message.is_read and (message.is_self or message.seq <= read_seq)

    return change


def mark_read_by_peer(seq: int) -> Change:
    """Return the change of this account's own messages up to `seq`, which the peer has read."""

    def change(message: Message) -> None:
        message._read_by_peer = message.read_by_peer or (message.is_self and 0 < message.seq <= seq)

    return change


def set_receipt(seq: int, readers: int, others: int) -> Change:
    """Return the change of the message `seq`: the numbers of users who have and have not read it."""

    def change(message: Message) -> None:
        if message.seq == seq:
            message._read_receipt_count, message._unread_receipt_count = readers, others
            if message.is_self and message.key is not None and message.key.type is ConversationType.C2C:
                message._read_by_peer = readers > 0 or message.read_by_peer

    return change
