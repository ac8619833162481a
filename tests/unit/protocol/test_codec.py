"""Tests of bodies: decoding names the wrong field, and a refusal raises the exception of its code."""

from __future__ import annotations

import pytest

from timim import AuthError, ProtocolError, RateLimited, ServerRefused, UnknownUser
from timim.errors import error_for
from timim.protocol.codec import Reply, decode, decode_reply, encode
from timim.protocol.messages import ReadGroupRequest, SendC2CReply


def test_a_body_is_encoded_by_the_names_of_the_wire_without_defaults() -> None:
    assert encode(ReadGroupRequest(group_id="g", read_seq=3)) == b'{"GroupId":"g","MsgReadedSeq":3}'
    assert encode(ReadGroupRequest(group_id="g")) == b'{"GroupId":"g"}'


def test_a_number_may_come_as_text_and_unknown_fields_are_ignored() -> None:
    body = decode(ReadGroupRequest, b'{"GroupId":"g","MsgReadedSeq":"3","Novelty":{}}')
    assert (body.group_id, body.read_seq) == ("g", 3)


@pytest.mark.parametrize(
    "raw, why",
    [
        (b"{}", "ReadGroupRequest: .*GroupId"),
        (b'{"GroupId":5}', r"\$\.GroupId"),
        (b'{"GroupId":"g","MsgReadedSeq":"many"}', r"\$\.MsgReadedSeq"),
        (b'{"GroupId":"\xff"}', "ReadGroupRequest: "),
        (b"[]", "ReadGroupRequest: "),
        (b'{"x":' * 50_000, "nested too deeply"),
    ],
)
def test_a_wrong_body_is_refused_with_the_name_of_its_field(raw: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decode(ReadGroupRequest, raw)


def test_a_refusal_raises_the_exception_of_its_code() -> None:
    with pytest.raises(UnknownUser):
        decode_reply(SendC2CReply, b'{"ActionStatus":"FAIL","ErrorCode":20003,"ErrorInfo":"no"}')
    unknown = error_for(123_456, "what?")
    assert type(unknown) is ServerRefused
    assert unknown.code == 123_456
    reply = decode_reply(SendC2CReply, encode(SendC2CReply(msg_time=7, timeline_seq=3)))
    assert (reply.msg_time, reply.timeline_seq) == (7, 3)


def test_a_refusal_needs_none_of_the_fields_of_a_success() -> None:
    class Counted(Reply, kw_only=True):
        count: int

    with pytest.raises(AuthError) as refused:
        decode_reply(Counted, b'{"ActionStatus":"FAIL","ErrorCode":70003,"ErrorInfo":"bad signature"}')
    assert (refused.value.code, refused.value.info) == (70003, "bad signature")
    with pytest.raises(ProtocolError, match="count"):
        decode_reply(Counted, b'{"ActionStatus":"OK","ErrorCode":0}')


def test_a_refusal_says_when_to_try_again() -> None:
    refusal = b'{"ActionStatus":"FAIL","ErrorCode":10023,"ErrorInfo":"slower","RetryAfter":2.5}'
    with pytest.raises(RateLimited) as refused:
        decode_reply(SendC2CReply, refusal)
    assert refused.value.retry_after == 2.5


@pytest.mark.parametrize("raw", [b'{"ActionStatus":"FAIL"}', b'{"ErrorCode":5}'])
def test_either_the_status_or_the_code_makes_a_refusal(raw: bytes) -> None:
    with pytest.raises(ServerRefused):
        decode_reply(Reply, raw)
