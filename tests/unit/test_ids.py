"""Tests of user and group ids, conversation keys, msg_ids and unique_ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim import ConversationKey, ConversationType, InvalidArgument, InvalidConversation
from timim.ids import (
    SYSTEM_PEER,
    MsgId,
    checked_group_id,
    checked_user_id,
    conversation_key,
    parse_msg_id,
    random_of,
    unique_id,
)

UINT32 = st.integers(0, 2**32 - 1)


@pytest.mark.requirement("F01")
def test_a_key_tells_a_user_from_a_group_of_the_same_name() -> None:
    user, group = conversation_key(ConversationType.C2C, "x"), conversation_key(ConversationType.GROUP, "x")
    assert user != group
    assert user == conversation_key(ConversationType.C2C, "x") == ConversationKey(ConversationType.C2C, "x")
    assert [str(user), str(group)] == ["c2c:x", "group:x"]


def test_the_system_conversation_has_one_key() -> None:
    assert conversation_key(ConversationType.SYSTEM, "") == conversation_key(ConversationType.SYSTEM, SYSTEM_PEER)
    with pytest.raises(InvalidConversation, match="must be empty"):
        conversation_key(ConversationType.SYSTEM, "bob")


@pytest.mark.parametrize("good", ["a", "李雷", "a b", "@TGS#1", "x" * 32, "é" * 16])
def test_a_good_user_id_is_returned_as_it_is(good: str) -> None:
    assert checked_user_id(good) == good


@pytest.mark.parametrize("bad", ["", " a", "a ", "a\n", "a\0b", "a\x1fb", "\ud800", "x" * 33, "é" * 17, 5, None])
def test_a_bad_user_id_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgument, match="user id"):
        checked_user_id(bad)


def test_a_group_id_may_be_longer_than_a_user_id() -> None:
    assert checked_group_id("x" * 48) == "x" * 48
    with pytest.raises(InvalidArgument, match="must be at most 48 bytes of UTF-8, not 49"):
        checked_group_id("x" * 49)


@given(UINT32, UINT32, st.integers(0, 2**31 - 1))
@pytest.mark.requirement("F26")
def test_a_msg_id_is_read_as_it_was_written_and_is_short(client_time: int, random: int, source: int) -> None:
    text = str(MsgId(client_time, random, source))
    assert parse_msg_id(text) == (client_time, random, source)
    assert parse_msg_id(text).number == source * 2**32 + random
    assert random_of(text) == random
    assert len(text) <= 30


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "1",
        "1-",
        "-1",
        "1-2-",
        "1-2-0",
        "1-2-80000000",
        "1-2-3-4",
        "1-2-A",
        "1-2\n",
        "a-b",
        "1-4294967296",
        "4294967296-1",
        "٣-1x",
    ],
)
def test_a_text_that_is_not_a_msg_id_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgument, match="not a msg_id"):
        parse_msg_id(bad)


@pytest.mark.requirement("F26")
def test_a_unique_id_is_a_uint64_of_seq_and_random() -> None:
    assert unique_id(1, 0) == 4294967296
    assert unique_id(3, 7) == 3 * 2**32 + 7
    assert unique_id(2**32 - 1, 2**32 - 1) == 2**64 - 1
