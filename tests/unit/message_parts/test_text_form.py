"""Tests of messages in one line."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from timim import (
    ConversationKey,
    ConversationType,
    CustomElem,
    FileElem,
    GroupTipElem,
    GroupTipType,
    ImageElem,
    Message,
    MessageStatus,
    TextElem,
    UnknownElem,
)
from timim.elems import AnyElem
from timim.message_parts.fields import MessageState
from timim.message_parts.text_form import kind_of, time_text

NOW = int(time.time())
GROUP = ConversationKey(ConversationType.GROUP, "team")


def received(*elems: AnyElem, key: ConversationKey, sender: str, is_self: bool = False, seq: int = 17) -> Message:
    message = Message(*elems)
    message._key, message._sender, message._is_self, message._seq = key, sender, is_self, seq
    message._status, message._timestamp = MessageStatus.SUCCEEDED, NOW
    return message


def at(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp).astimezone().strftime("%H:%M")


@pytest.mark.requirement("P08")
def test_a_message_names_its_time_direction_and_kinds_and_never_its_text() -> None:
    parts = TextElem(text="the secret text"), ImageElem(data=b"x")
    shown = repr(received(*parts, key=GROUP, sender="alice"))
    assert shown.replace(time_text(NOW), "12:03") == "<Message 12:03 alice → group team, seq 17: text, image>"
    bob = ConversationKey(ConversationType.C2C, "bob")
    assert "bob → me, seq 17: text" in repr(received(parts[0], key=bob, sender="bob"))
    assert "alice → bob, seq 17: text" in repr(received(parts[0], key=bob, sender="alice", is_self=True))
    notices = ConversationKey(ConversationType.SYSTEM, "@TIM#SYSTEM")
    assert "@TIM#SYSTEM → me" in repr(received(parts[0], key=notices, sender="@TIM#SYSTEM"))


def test_the_state_of_a_message_is_named_if_it_is_not_sent() -> None:
    assert repr(Message("the secret text", FileElem(data=b"x"))) == "<Message not sent: text, file>"
    assert repr(Message()) == "<Message not sent: empty>"
    message = received(TextElem(text="a"), key=GROUP, sender="alice", is_self=True, seq=0)
    message._status = MessageStatus.FAILED
    assert repr(message).endswith("alice → group team, failed: text>")
    message._state = MessageState(recall_seq=1)
    assert repr(message).endswith("failed: recalled>")


def test_many_elems_and_names_of_other_programs_stay_in_one_line() -> None:
    many = repr(received(*[CustomElem(data=b"x")] * 300, key=GROUP, sender="alice"))
    assert many.endswith("custom, custom, custom, custom, custom, custom, … 300 in all>")
    hostile = ConversationKey(ConversationType.GROUP, "a\n\u202eb" * 30)
    shown = repr(received(UnknownElem(MsgType="T\nx", content=b"{}"), key=hostile, sender="m\x1b[31m"))
    assert shown.isprintable()
    assert len(shown) < 140
    assert kind_of(GroupTipElem(type=GroupTipType.JOIN)) == "group tip"


def test_a_time_of_another_day_has_its_date() -> None:
    assert time_text(NOW).endswith(at(NOW))
    assert time_text(86_400).startswith("1970-01-0")
    assert time_text(1e30) == "?"
