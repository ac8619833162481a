"""Tests of messages without a client: their elems, the limits of elems, and their properties."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import pytest

from timim import (
    AlreadySent,
    CustomElem,
    ElemLimitError,
    FaceElem,
    FileElem,
    InvalidArgument,
    LocationElem,
    Message,
    MessageStatus,
    Priority,
    SoundElem,
    TextElem,
)
from timim.ids import parse_msg_id
from timim.message_parts.quotes import QuotedMessage, embed_quote
from timim.protocol.elems import decode_body
from timim.util.msg_ids import MSG_IDS

SOUND, FILE = SoundElem(data=b"x", duration=1), FileElem(data=b"x", filename="f")


@pytest.mark.requirement("F02")
def test_a_message_is_its_elems_in_order() -> None:
    face = FaceElem(index=0, data=b"\xff")
    message = Message("a", face).add("b")
    assert list(message) == [TextElem(text="a"), face, TextElem(text="b")]
    assert (len(message), message[1], message[-1], message[:2]) == (3, face, TextElem(text="b"), (TextElem(text="a"), face))
    assert message.text == "ab"


@pytest.mark.requirement("F09", "F10")
@pytest.mark.parametrize("elem", [SOUND, FILE], ids=["sound", "file"])
def test_a_second_sound_or_file_is_refused_and_changes_nothing(elem: SoundElem | FileElem) -> None:
    message = Message("a", SOUND, FILE)
    with pytest.raises(ElemLimitError) as refused:
        message.add(elem)
    assert refused.value.code == 1
    assert list(message) == [TextElem(text="a"), SOUND, FILE]


def test_only_elems_and_strings_can_be_added() -> None:
    message = Message()
    for wrong in (5, b"bytes", None, Message()):
        with pytest.raises(InvalidArgument, match=re.escape(f"parts: must be strings or elems, not {wrong!r}")):
            message.add(wrong)  # type: ignore[arg-type]
    assert len(message) == 0
    assert message, "an empty message must be true"


@pytest.mark.requirement("F02")
def test_a_sent_message_is_frozen() -> None:
    message = Message("a")
    message._status = MessageStatus.SENDING
    with pytest.raises(AlreadySent):
        message.add("b")
    assert message.text == "a"


@pytest.mark.requirement("F26")
def test_the_unique_id_is_known_once_the_message_has_a_seq() -> None:
    message = Message("a")
    message._msg_id = "1700000000-5"
    assert message.unique_id == 0
    message._seq = 3
    assert message.unique_id == 3 * 2**32 + 5


@pytest.mark.requirement("F33")
def test_the_push_text_is_that_of_every_elem_without_a_separator() -> None:
    elems = CustomElem(data=b"{}", desc="红包"), FaceElem(index=1), LocationElem(desc="x", latitude=1, longitude=2)
    assert Message("hi", *elems).push_text == "hi红包[表情][位置]"


def test_a_new_message_has_the_documented_defaults() -> None:
    message = Message("a")
    assert (message.status, message.seq, message.priority) == (None, 0, Priority.NORMAL)
    assert (message.custom_int, message.custom_data, message.cloud_custom_data) == (0, b"", "")
    assert (message.recalled, message.recaller, message.version, dict(message.reactions)) == (False, "", 0, {})
    assert message.reply_to is None


@pytest.mark.requirement("F26")
def test_a_message_has_its_id_and_its_time_when_it_is_made() -> None:
    before = int(MSG_IDS.time_s())
    message, other = Message("a"), Message("a")
    assert before <= message.timestamp <= MSG_IDS.time_s()
    assert parse_msg_id(message.msg_id).client_time == message.timestamp
    assert message.msg_id != other.msg_id


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_a_copy_of_an_unsent_message_is_another_message(duplicate: Callable[[Message], Message]) -> None:
    message = Message("a", cloud_custom_data="b")
    other = duplicate(message)
    assert (other.text, other.cloud_custom_data, other.status) == ("a", "b", None)
    assert other.msg_id != message.msg_id
    message._status = MessageStatus.SUCCEEDED
    assert duplicate(message).msg_id == message.msg_id


def test_messages_are_equal_only_to_themselves() -> None:
    message = Message("a")
    assert message == message
    assert message != Message("a")
    assert len({message, Message("a")}) == 2


def test_a_reply_names_the_message_that_it_quotes() -> None:
    quote = QuotedMessage(7, "1-1", "bob", "hi", 100)
    assert Message("a", cloud_custom_data=embed_quote(quote, "")).reply_to == quote


def test_a_loaded_body_is_decoded_when_it_is_first_looked_at() -> None:
    calls: list[bytes] = []

    def decode(body: bytes) -> tuple[object, ...]:
        calls.append(body)
        return decode_body(body)

    message = Message()
    body = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hi"}}]'
    message.load_body(body, decode)  # type: ignore[arg-type]
    assert calls == []
    assert (message.text, message.text) == ("hi", "hi")
    assert calls == [body]


@pytest.mark.parametrize("data", ["\ud800", "a\0", b"bytes", None])
def test_cloud_custom_data_that_is_not_text_is_refused(data: str) -> None:
    with pytest.raises(InvalidArgument, match="cloud_custom_data: must") as refused:
        Message("a", cloud_custom_data=data)
    assert refused.value.code == 6017
    message = Message("a")
    message.cloud_custom_data = data
    with pytest.raises(InvalidArgument, match="cloud_custom_data: must"):
        message.check()


async def test_a_message_without_a_client_cannot_act() -> None:
    message = Message("a")
    for act in (message.recall, message.remove, message.delete_from_storage):
        with pytest.raises(InvalidArgument, match="send it first"):
            await act()
