"""The objects of stored messages: one for each row, and never older than the last write."""

from __future__ import annotations

import gc
import weakref

from timim import Message, MessageStatus
from timim.engine import live_messages
from timim.engine.live_messages import LiveMessages, mark_read, mark_read_by_peer, set_receipt
from timim.ids import ConversationKey, ConversationType
from timim.message import MessageState

BOB = ConversationKey(ConversationType.C2C, "bob")
ANN = ConversationKey(ConversationType.C2C, "ann")


def row(local_id: int, *, seq: int = 0, key: ConversationKey = BOB, msg_id: str = "", own: bool = False) -> Message:
    """Return a new message as the store makes it of a row."""
    message = Message(f"text {local_id}")
    message._key, message._local_id, message._seq = key, local_id, seq
    message._msg_id = msg_id or f"{local_id}-1"
    message._status = MessageStatus.SUCCEEDED if seq else MessageStatus.SENDING
    message._is_self = message._is_read = own
    return message


def test_all_reads_of_a_row_give_one_object() -> None:
    live = LiveMessages()
    (first,) = live.end_read(live.begin_read(), [row(1, seq=1)])
    (second,) = live.end_read(live.begin_read(), [row(1, seq=1)])
    assert second is first
    assert live.written(row(1, seq=1)) is first


def test_an_older_row_does_not_change_the_object() -> None:
    live = LiveMessages()
    message = live.written(row(1, seq=1))
    begun = live.begin_read()
    old = row(1, seq=1)
    newer = row(1, seq=1)
    newer._state = MessageState(recall_seq=2)
    live.written(newer)
    message._custom_int = 7
    live.changed(message)
    assert live.end_read(begun, [old]) == [message]
    assert message.recalled
    assert message.custom_int == 7


def test_a_read_that_began_before_a_change_gets_the_change_although_nothing_held_the_object() -> None:
    live = LiveMessages()
    begun = live.begin_read()
    newer = row(1, seq=1)
    newer._state = MessageState(recall_seq=2)
    live.written(newer)
    del newer
    gc.collect()
    (found,) = live.end_read(begun, [row(1, seq=1)])
    assert found.recalled


def test_a_read_that_began_before_a_mark_gets_the_mark() -> None:
    live = LiveMessages()
    begun = live.begin_read()
    live.change_all(BOB, mark_read(2))
    live.change_all(BOB, mark_read_by_peer(2))
    live.change_all(BOB, set_receipt(1, 3, 4))
    rows = [row(1, seq=1), row(2, seq=2, own=True), row(3, seq=3), row(4, seq=1, key=ANN)]
    found = live.end_read(begun, rows)
    assert [message.is_read for message in found] == [True, True, False, False]
    assert [message.read_by_peer for message in found] == [False, True, False, False]
    assert [message.read_receipt_count for message in found] == [3, 0, 0, 0]


def test_a_change_before_the_read_began_is_not_repeated() -> None:
    live = LiveMessages()
    other = live.begin_read()
    live.change_all(BOB, mark_read(2))
    begun = live.begin_read()
    (found,) = live.end_read(begun, [row(1, seq=1)])
    assert not found.is_read  # the row itself would say so
    live.end_read(other, [])
    assert live.end_read(live.begin_read(), [row(2, seq=2)])[0].is_read is False


def test_a_row_that_reuses_the_number_of_a_deleted_one_gets_an_object_of_its_own() -> None:
    live = LiveMessages()
    gone = live.written(row(1, seq=1))
    live.forget(gone)
    assert live.written(row(1, seq=1)) is not gone
    other = live.written(row(1, seq=2, msg_id="9-9"))
    assert other.msg_id == "9-9"


def test_a_read_that_began_before_a_deletion_does_not_bring_the_object_back() -> None:
    live = LiveMessages()
    message = live.written(row(1, seq=1))
    begun = live.begin_read()
    live.forget(message)
    (old,) = live.end_read(begun, [row(1, seq=1)])
    assert live.written(row(1, seq=1)) not in (message, old)


def test_a_message_that_is_being_sent_is_newer_than_its_row() -> None:
    live = LiveMessages()
    sent = row(1)
    live.add(sent)
    sent._seq, sent._status = 5, MessageStatus.SUCCEEDED
    stale = row(1)
    assert live.written(stale) is sent
    assert (sent.seq, sent.status) == (5, MessageStatus.SUCCEEDED)


def test_the_push_of_a_message_completes_its_object() -> None:
    live = LiveMessages()
    sent = row(1)
    live.add(sent)
    assert live.written(row(1, seq=5)) is sent
    assert (sent.seq, sent.status) == (5, MessageStatus.SUCCEEDED)


def test_two_objects_whose_rows_became_one_show_the_same_state() -> None:
    live = LiveMessages()
    sent, pushed = row(1), live.written(row(2, seq=5, msg_id="1-1"))
    live.add(sent)
    sent._custom_int = 7
    live.settle(sent, 2, MessageStatus.DELETED)
    assert (pushed.custom_int, pushed.status) == (7, MessageStatus.DELETED)
    pushed._custom_int = 8
    live.changed(pushed)
    assert sent.custom_int == 8
    newer = row(2, seq=5, msg_id="1-1")
    newer._state = MessageState(recall_seq=6)
    live.written(newer)
    assert sent.recalled
    assert pushed.recalled


def test_references_to_objects_that_ended_are_removed() -> None:
    live = LiveMessages()
    held = [live.written(row(n, seq=n)) for n in range(1, 11)]
    for n in range(11, 3 * live_messages.PURGE_OVER):
        live.written(row(n, seq=n))
    assert sum(map(len, live._objects.values())) <= live_messages.PURGE_OVER + 2 * len(held)
    assert live.written(row(10, seq=10)) is held[9]


def test_reads_that_overlap_without_end_keep_the_changes_of_the_oldest_one_only() -> None:
    live = LiveMessages()
    begun = live.begin_read()
    ended: list[weakref.ref[Message]] = []
    for number in range(1, 50):
        message = live.written(row(number, seq=number))
        live.change_all(BOB, mark_read(number))
        ended.append(weakref.ref(message))
        del message
        later = live.begin_read()
        live.end_read(begun, [])
        begun = later
    gc.collect()
    assert [one() for one in ended] == [None] * 49
    (unread,) = live.end_read(begun, [row(1, seq=1)])
    assert not unread.is_read
