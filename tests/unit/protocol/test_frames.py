"""Tests of frames: an encoded frame decodes to the same frame, and invalid bytes raise only ProtocolError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim import ProtocolError
from timim.protocol.frames import (
    JOINED_FRAMES,
    MAX_FRAMES,
    Frame,
    Head,
    decode_frames,
    encode_frame,
    join_frames,
    join_in_batches,
)

FRAME = encode_frame(Head("a.b", 1), b"{}")


def test_a_frame_has_its_head_and_its_body_as_they_were() -> None:
    head = Head("im_open_status.wslogin", 7, sdkappid=1_400_000_001, identifier="李雷", a2="token")
    (frame,) = decode_frames(encode_frame(head, b'{"x" : 1.0}'))
    assert frame.head == head
    assert bytes(frame.body) == b'{"x" : 1.0}'


def test_a_head_leaves_out_unset_fields() -> None:
    assert msgspec.json.decode(FRAME) == {"head": {"servcmd": "a.b", "seq": 1}, "body": {}}


def test_fields_of_later_versions_are_ignored_and_a_missing_body_is_empty() -> None:
    (frame,) = decode_frames(b'{"head":{"servcmd":"a.b","seq":"3","novelty":[1]},"more":{}}')
    assert (frame.head.servcmd, frame.head.seq, bytes(frame.body)) == ("a.b", 3, b"{}")


@given(st.binary(max_size=300))
@pytest.mark.requirement("R10")
def test_garbage_is_not_a_frame(garbage: bytes) -> None:
    try:
        frames = decode_frames(garbage)
    except ProtocolError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)


@pytest.mark.parametrize("bad", [b"", b"[]", b"[" * 100_000, b'{"head":{}}', b'{"head":{"servcmd":"\\ud800"}}', b"\xff"])
@pytest.mark.requirement("R10")
def test_bad_frames_are_refused(bad: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_frames(bad)


@given(st.lists(st.integers(1, 2**31), min_size=1, max_size=5))
def test_waiting_frames_are_joined_into_one_message(seqs: list[int]) -> None:
    frames = decode_frames(join_frames([encode_frame(Head("a.b", seq), b"{}") for seq in seqs]))
    assert [(frame.head.seq, bytes(frame.body)) for frame in frames] == [(seq, b"{}") for seq in seqs]


def test_one_frame_alone_is_not_put_into_an_array() -> None:
    assert join_frames([FRAME]) == FRAME


def test_a_message_holds_a_limited_number_of_frames() -> None:
    assert len(decode_frames(join_frames([FRAME] * MAX_FRAMES))) == MAX_FRAMES
    with pytest.raises(ProtocolError, match=f"1 to {MAX_FRAMES} frames, not {MAX_FRAMES + 1}"):
        decode_frames(join_frames([FRAME] * (MAX_FRAMES + 1)))


@given(st.lists(st.integers(2, 300), min_size=1, max_size=60), st.integers(10, 900))
def test_batches_keep_to_the_limit_and_to_the_order(sizes: list[int], limit: int) -> None:
    frames = [encode_frame(Head("a.b", seq), b"{" + b" " * size + b"}") for seq, size in enumerate(sizes, 1)]
    messages = join_in_batches(frames, limit_bytes=limit)
    assert [frame.head.seq for message in messages for frame in decode_frames(message)] == [*range(1, len(sizes) + 1)]
    assert all(len(message) <= limit or len(decode_frames(message)) == 1 for message in messages)
    ended = 0
    for message in messages[:-1]:
        ended += len(decode_frames(message))
        assert len(message) + len(frames[ended]) + 1 + 2 * (len(decode_frames(message)) == 1) > limit  # no batch ends early


def test_batches_hold_a_limited_number_of_frames() -> None:
    assert [len(decode_frames(message)) for message in join_in_batches([FRAME] * (JOINED_FRAMES + 1))] == [JOINED_FRAMES, 1]


def test_no_representation_shows_a_signature_a_token_or_a_body() -> None:
    head = Head("im_open_status.wslogin", 7, usersig="a signature", a2="a token")
    frame = Frame(head, msgspec.Raw(b'{"text":"a secret"}'))
    assert repr(head) == "Head(im_open_status.wslogin seq=7)"
    assert repr(frame) == "Frame(im_open_status.wslogin seq=7 19 bytes)"
