"""Tests of the newest messages in memory: their order is that of the local store, also while messages are being sent."""

from __future__ import annotations

import random

import pytest

from timim.engine.recent_messages import LIMIT, RecentMessages
from timim.message import Message, MessageStatus


def received(seq: int) -> Message:
    message = Message("x")
    message._seq, message._local_id, message._is_self, message._status = seq, seq, False, MessageStatus.SUCCEEDED
    return message


def sending(local_id: int) -> Message:
    message = Message("x")
    message._local_id, message._status = local_id, MessageStatus.SENDING
    return message


def test_received_messages_are_sorted_by_seq_and_limited() -> None:
    recent = RecentMessages()
    messages = [received(seq) for seq in range(1, 3 * LIMIT)]
    shuffled = random.Random(1).sample(messages, len(messages))
    recent.extend(shuffled[:LIMIT])
    recent.extend(shuffled[LIMIT:])
    for message in shuffled:
        recent.add(message)
    assert [one.seq for one in recent.all()] == [one.seq for one in reversed(messages[-LIMIT:])]


def test_a_message_on_its_way_is_the_newest_until_a_later_one_comes() -> None:
    recent = RecentMessages()
    recent.add(received(1))
    own = sending(2)
    recent.add(own)
    assert recent.newest is own
    later = received(5)
    recent.add(later)
    assert recent.all()[:2] == [later, own]


def test_an_ack_moves_the_other_messages_on_their_way_behind_it() -> None:
    recent = RecentMessages()
    first, second = sending(1), sending(2)
    recent.extend([first, second])
    other = received(3)
    recent.add(other)
    assert recent.newest is other
    first._seq, first._status = 4, MessageStatus.SUCCEEDED
    recent.on_acked(first)
    assert recent.all() == [second, first, other]


@pytest.mark.parametrize("count", [1, LIMIT, 5 * LIMIT])
def test_no_message_is_lost_or_repeated_when_many_are_sent_and_acked(count: int) -> None:
    recent = RecentMessages()
    own = [sending(number) for number in range(1, count + 1)]
    for message in own:
        recent.add(message)
        recent.add(message)
    for seq, message in enumerate(own, 1):
        message._seq, message._status = seq, MessageStatus.SUCCEEDED
        recent.on_acked(message)
    assert recent.all() == own[::-1][:LIMIT]


def test_a_removed_message_is_gone() -> None:
    recent = RecentMessages()
    messages = [received(seq) for seq in range(1, 4)]
    recent.extend(messages)
    recent.remove(messages[2])
    assert recent.newest is messages[1]
