"""Tests of the validation of messages: each refusal has its code."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw, json

from timim import InvalidArgument, InvalidElem, MessageTooLong
from timim.protocol.entries import PushInfo
from timim.protocol.media import MediaRef
from timim.server.messaging.validation import PUSH_LIMIT_BYTES, MessageValidator, OutgoingMessage

TEXT: dict[str, Any] = {"MsgType": "TIMTextElem", "MsgContent": {"Text": "x"}}
UUID = "0" * 31 + "1"


def outgoing(*elems: dict[str, Any], body: bytes | None = None, **fields: Any) -> OutgoingMessage:
    raw = json.encode(elems or [TEXT]) if body is None else body
    given: dict[str, Any] = {"sender": "alice", "msg_body": Raw(raw), "msg_seq": 0, "random": 1, "client_time": 1} | fields
    return OutgoingMessage(**given)


def test_a_message_at_its_limit_passes_and_one_byte_more_is_refused() -> None:
    message = outgoing()
    size = len(bytes(message.msg_body))
    assert MessageValidator(size).check(message) == ()
    with pytest.raises(MessageTooLong, match=f"{size} bytes long together; the limit is {size - 1}") as refused:
        MessageValidator(size - 1).check(message)
    assert refused.value.code == 93000


def test_all_parts_of_a_message_count() -> None:
    push = PushInfo(ext="x" * 100)
    message = outgoing(cloud_custom_data="é" * 50, push=push)
    size = len(bytes(message.msg_body)) + 100 + len(json.encode(push))
    assert MessageValidator(size).check(message) == ()
    with pytest.raises(MessageTooLong, match=f"{size} bytes long together"):
        MessageValidator(size - 1).check(message)


@pytest.mark.parametrize("fields", [{"random": 2**32}, {"random": -1}, {"client_time": 2**32}, {"client_time": -1}])
def test_the_parts_of_a_msg_id_have_32_bits(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        MessageValidator(1000).check(outgoing(**fields))
    assert refused.value.code == 90005
    MessageValidator(1000).check(outgoing(random=2**32 - 1, client_time=0))


@pytest.mark.parametrize(
    "body, code, kind",
    [
        (b"{}", 90002, InvalidArgument),
        (b"[", 90002, InvalidArgument),
        (b"[]", 90002, InvalidElem),
        (b'[{"MsgType":"TIMTextElem","MsgContent":3}]', 90010, InvalidElem),
        (b'[{"MsgType":"TIMGroupTipElem","MsgContent":{}}]', 90010, InvalidElem),
        (b'[{"MsgType":"TIMRelayElem","MsgContent":{"MsgList":3}}]', 90010, InvalidElem),
    ],
)
def test_a_wrong_body_is_refused_by_its_code(body: bytes, code: int, kind: type[Exception]) -> None:
    with pytest.raises((InvalidArgument, InvalidElem)) as refused:
        MessageValidator(1000).check(outgoing(body=body))
    assert (type(refused.value), refused.value.code) == (kind, code)


@pytest.mark.requirement("F13")
def test_an_elem_of_an_unknown_type_passes() -> None:
    assert MessageValidator(1000).check(outgoing({"MsgType": "TIMNoveltyElem", "MsgContent": {"Url": "http://h/x"}})) == ()


@pytest.mark.requirement("F33")
def test_a_push_that_is_too_long_is_refused() -> None:
    with pytest.raises(MessageTooLong, match=f"the limit is {PUSH_LIMIT_BYTES}") as refused:
        MessageValidator(10_000).check(outgoing(push=PushInfo(desc="x" * PUSH_LIMIT_BYTES)))
    assert refused.value.code == 93000


def test_the_content_that_a_message_names_is_returned() -> None:
    file = {"MsgType": "TIMFileElem", "MsgContent": {"UUID": UUID, "Url": f"http://h/media/{UUID}"}}
    assert MessageValidator(1000, "http://h/media").check(outgoing(TEXT, file)) == (MediaRef(UUID, True),)


@pytest.mark.requirement("R4")
def test_a_fingerprint_tells_messages_of_one_msg_id_apart() -> None:
    one = outgoing().fingerprint()
    assert outgoing(msg_seq=9, priority="High").fingerprint() == one
    assert outgoing(cloud_custom_data="x").fingerprint() != one
    assert outgoing({"MsgType": "TIMTextElem", "MsgContent": {"Text": "y"}}).fingerprint() != one
