"""Rows of a conversation: each message once, in order, and a gap wherever nothing proves that no message is missing."""

from __future__ import annotations

from timim import Interval, Message
from timim.cli.tui.rows import Gap, MessageRows


def message(seq: int, *, sender: str = "bob", msg_id: str = "") -> Message:
    """Return a message as the client would make it."""
    made = Message(f"message {seq}")
    made._seq, made._sender, made._is_self = seq, sender, False
    made._msg_id = msg_id or made.msg_id
    return made


def shown(rows: MessageRows) -> list[str]:
    """Return the seqs of the rows, and the ends of the gaps."""
    return [
        f"{row.older and row.older.seq}…{row.newer and row.newer.seq}" if isinstance(row, Gap) else str(row.seq) for row in rows
    ]


M = [message(seq) for seq in range(12)]


def test_an_unloaded_conversation_is_one_gap() -> None:
    assert shown(MessageRows()) == ["None…None"]


def test_a_page_has_no_gap_inside_and_open_ends_outside() -> None:
    rows = MessageRows()
    rows.add_page(M[3:6])
    assert shown(rows) == ["None…3", "3", "4", "5", "5…None"]
    rows.begins = rows.live = True
    assert shown(rows) == ["3", "4", "5"]


def test_pages_that_are_not_joined_have_a_gap_until_a_page_fills_it() -> None:
    rows = MessageRows()
    rows.begins = rows.live = True
    rows.add_page(M[1:3])
    rows.add_page(M[8:10])
    assert shown(rows) == ["1", "2", "2…8", "8", "9"]
    rows.add_page(M[6:8], before=M[8])
    assert shown(rows) == ["1", "2", "2…6", "6", "7", "8", "9"]
    rows.add_page(M[2:6], before=M[6])
    assert shown(rows) == [str(seq) for seq in range(1, 10)]


def test_a_page_of_this_device_has_the_gaps_of_its_store() -> None:
    rows = MessageRows()
    rows.begins = rows.live = True
    rows.add_page([M[1], M[2], M[9]], gaps=[Interval(4, 7)])
    assert shown(rows) == ["1", "2", "2…9", "9"]


def test_a_new_message_follows_the_last_one_only_if_the_store_has_no_gap_between() -> None:
    rows = MessageRows()
    rows.begins = rows.live = True
    rows.add_page(M[1:3])
    rows.add_new(M[5])
    rows.add_new(M[9], [Interval(6, 8)])
    assert shown(rows) == ["1", "2", "5", "5…9", "9"]


def test_a_message_that_is_sent_stays_at_the_end_and_keeps_its_row_when_it_is_numbered() -> None:
    rows = MessageRows()
    rows.begins = rows.live = True
    rows.add_page(M[1:3])
    sent = Message("mine")
    rows.add_new(sent)
    rows.add_new(M[3])
    assert shown(rows) == ["1", "2", "3", "0"]
    sent._seq = 4
    rows.add_new(sent)
    rows.add_new(M[5])
    assert shown(rows) == ["1", "2", "3", "4", "5"]


def test_two_objects_of_a_message_have_one_row() -> None:
    rows = MessageRows()
    rows.add_page([M[3]])
    rows.add_page([message(3, msg_id=M[3].msg_id)])
    assert len(rows) == 1


def test_equal_ids_of_different_senders_are_different_messages() -> None:
    rows = MessageRows()
    rows.add_page(
        [message(1, msg_id="1-1"), message(2, sender="carol", msg_id="1-1"), message(3, msg_id="0-0"), message(4, msg_id="0-0")]
    )
    assert len(rows) == 4


def test_forgotten_rows_are_a_gap_again() -> None:
    rows = MessageRows()
    rows.begins = rows.live = True
    rows.add_page(M[1:9])
    rows.drop_oldest(3)
    assert shown(rows) == ["None…6", "6", "7", "8"]
