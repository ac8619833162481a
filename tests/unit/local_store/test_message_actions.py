"""Tests that the last action of each kind decides, in any order of the actions and the message (P06)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim import ConversationKey, ConversationType, Interval, Message
from timim.local_store.message_actions import IncomingAction
from timim.message import MessageState
from timim.storage import IngestBatch, LocalStore, MessageRow

KEY = ConversationKey(ConversationType.C2C, "bob")
STATES = [  # the server's state of the message, first without an action and then after each of the actions
    MessageState(),
    MessageState(edit_seq=2, editor="bob", version=1),
    MessageState(edit_seq=2, editor="bob", version=1, react_seq=3, reactions={"x": ("bob",)}),
    MessageState(edit_seq=4, editor="bob", version=2, react_seq=3, reactions={"x": ("bob",)}),
    MessageState(edit_seq=4, editor="bob", version=2, react_seq=5, reactions={"y": ("bob",)}),
    MessageState(edit_seq=4, editor="bob", version=2, react_seq=5, recall_seq=6, recaller="bob"),
]
TEXTS = ["one", "two", "two", "three", "three", ""]
ACTS = [
    IncomingAction(2, "edit", 1, "bob", "bob", 0, body='[{"MsgType":"TIMTextElem","MsgContent":{"Text":"two"}}]', version=1),
    IncomingAction(3, "react", 1, "bob", "bob", 0, reaction="x", reactions={"x": ("bob",)}),
    IncomingAction(4, "edit", 1, "bob", "bob", 0, body='[{"MsgType":"TIMTextElem","MsgContent":{"Text":"three"}}]', version=2),
    IncomingAction(5, "react", 1, "bob", "bob", 0, reaction="y", reactions={"y": ("bob",)}),
    IncomingAction(6, "recall", 1, "bob", "bob", 0),
]


def snapshot(n: int) -> MessageRow:
    """Return the message as the server renders it after `n` of the actions."""
    body = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"%b"}}]' % TEXTS[n].encode() if TEXTS[n] else b"[]"
    return MessageRow(1, "1-1", "bob", 1, False, body, state=STATES[n] if n else None)


async def arrive(order: Sequence[tuple[str, int]], acts: int) -> Message:
    """Return the row after the message's snapshots and the first `acts` actions arrived in this order."""
    async with LocalStore(None) as store:
        for kind, n in order:
            if kind == "act" and n < acts:
                await store.messages.ingest([IngestBatch(KEY, covered=[Interval(ACTS[n].seq, ACTS[n].seq)], actions=[ACTS[n]])])
            elif kind == "message" and n <= acts:
                await store.messages.ingest([IngestBatch(KEY, [snapshot(n)], [Interval(1, 1)])])
        found = await store.messages.get(KEY, 1)
        assert found is not None
        return found


ARRIVALS = st.permutations([*(("act", n) for n in range(5)), *(("message", n) for n in range(6))])


def differs(message: Message, acts: int) -> bool:
    return (message.text, message._state) != (TEXTS[acts], STATES[acts])


@given(order=ARRIVALS, acts=st.integers(0, 5))
@pytest.mark.requirement("P06")
def test_the_row_is_the_same_for_each_order_of_actions_and_messages(order: list[tuple[str, int]], acts: int) -> None:
    assert not differs(asyncio.run(arrive(order, acts)), acts)


@contextmanager
def the_last_to_come_wins() -> Iterator[None]:
    with patch("timim.local_store.message_actions.merged", lambda held, told: told):
        yield


@pytest.mark.requirement("P06")
def test_a_device_that_keeps_the_action_received_last_is_detected() -> None:
    orders = [[("message", 0), ("act", 2), ("act", 0)], [("message", 3), ("message", 1)], [("act", 3), ("message", 1)]]
    with the_last_to_come_wins():
        wrong = [differs(asyncio.run(arrive(order, 5)), 5) for order in orders]
    assert all(wrong)
