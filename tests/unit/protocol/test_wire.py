"""The wire as pure code: what is encoded decodes to the same; garbage gives a declared error and nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim import (
    AnyElem,
    CustomElem,
    FaceElem,
    LocationElem,
    ProtocolError,
    RequestTimeout,
    ServerRefused,
    SoundElem,
    TextElem,
    TimimError,
    UnknownElem,
    UnknownUser,
)
from timim.errors import error_for
from timim.protocol.codec import decode_reply, encode
from timim.protocol.coverage import Coverage, Interval
from timim.protocol.elems import decode_body, decode_own_body, encode_body
from timim.protocol.frames import Frame, Head, decode_frames, encode_frame, join_frames
from timim.protocol.messages import SendC2CReply
from timim.protocol.pending_requests import PendingRequests

text = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
elems: st.SearchStrategy[AnyElem] = st.one_of(
    text.map(lambda t: TextElem(text=t)),
    st.builds(FaceElem, index=st.integers(0, 2**31 - 1), data=st.binary()),
    st.builds(CustomElem, data=st.binary(), desc=text, ext=text, sound=text),
    st.builds(LocationElem, desc=text, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180)),
)


@given(st.lists(elems, max_size=8))
def test_elems_survive_encoding_and_decoding(sent: list[AnyElem]) -> None:
    assert decode_body(encode_body(sent)) == tuple(sent)


@given(st.binary(max_size=300))
def test_garbage_is_not_a_frame(garbage: bytes) -> None:
    try:
        frames = decode_frames(garbage)
    except ProtocolError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)


@pytest.mark.parametrize("bad", [b"", b"[]", b"[" * 100_000, b'{"head":{}}', b'{"head":{"servcmd":"\\ud800"}}', b"\xff"])
def test_bad_frames_are_refused(bad: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_frames(bad)


@given(st.lists(st.integers(1, 2**31), min_size=1, max_size=5))
def test_waiting_frames_are_joined_into_one_message(seqs: list[int]) -> None:
    frames = decode_frames(join_frames([encode_frame(Head("a.b", seq), b"{}") for seq in seqs]))
    assert [(frame.head.seq, bytes(frame.body)) for frame in frames] == [(seq, b"{}") for seq in seqs]


@pytest.mark.requirement("F13")
def test_an_elem_that_does_not_match_its_type_is_kept_as_it_came() -> None:
    body = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text" : 1.0}},{"MsgType":"X","MsgContent":[1, 2 ]}]'
    first, second = decode_body(body)
    assert first == UnknownElem(MsgType="TIMTextElem", content=b'{"Text" : 1.0}')
    assert second == UnknownElem(MsgType="X", content=b"[1, 2 ]")
    assert encode_body((first, second)) == body


def test_a_peer_cannot_name_files_on_this_disk() -> None:
    body = b'[{"MsgType":"TIMSoundElem","MsgContent":{"UUID":"u","Url":"x","Second":1,"LocalPath":"/etc/passwd"}}]'
    (sound,) = decode_body(body)
    assert isinstance(sound, SoundElem)
    assert sound.path is None
    (own,) = decode_own_body(body)
    assert isinstance(own, SoundElem)
    assert b"LocalPath" not in encode_body([own])


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(0, 8)), max_size=30))
def test_coverage_is_a_set_of_seqs(steps: list[tuple[bool, int, int]]) -> None:
    coverage, model = Coverage(), set[int]()
    for add, first, more in steps:
        seqs = set(range(first, first + more + 1))
        coverage = coverage.add(first, first + more) if add else coverage.remove(first, first + more)
        model = model | seqs if add else model - seqs
    held = {seq for interval in coverage for seq in range(interval.first, interval.last + 1)}
    assert held == model
    assert len(coverage) == len(model)
    missing = {seq for gap in coverage.missing(1, 50) for seq in range(gap.first, gap.last + 1)}
    assert missing == set(range(1, 51)) - model
    edges = coverage.intervals
    assert all(left.last + 1 < right.first for left, right in pairwise(edges))
    assert coverage == Coverage(edges)


def test_coverage_merges_adjacent_intervals_only() -> None:
    assert Coverage([(1, 4), (6, 9)]).intervals == (Interval(1, 4), Interval(6, 9))
    assert Coverage([(1, 4), (6, 9)]).add(5, 5).intervals == (Interval(1, 9),)
    with pytest.raises(ValueError, match="not an interval"):
        Coverage().add(0, 3)


def test_a_request_ends_by_reply_deadline_or_disconnection() -> None:
    calls, ended = PendingRequests(), list[Frame | TimimError]()
    first = calls.register("a.b", ended.append, deadline=5)
    calls.register("a.b", ended.append, deadline=9)
    assert not calls.resolve(Frame(Head("c.d", first)))
    assert calls.resolve(Frame(Head("a.b", first)))
    assert not calls.resolve(Frame(Head("a.b", first)))
    assert calls.expire(8) == 9
    calls.register("a.b", ended.append, deadline=20)
    assert calls.expire(9) == 20
    calls.close(RequestTimeout("gone"))
    assert [type(end) for end in ended] == [Frame, RequestTimeout, RequestTimeout]
    assert len(calls) == 0


def test_a_refusal_raises_the_exception_of_its_code() -> None:
    with pytest.raises(UnknownUser):
        decode_reply(SendC2CReply, b'{"ActionStatus":"FAIL","ErrorCode":20003,"ErrorInfo":"no"}')
    unknown = error_for(123_456, "what?")
    assert type(unknown) is ServerRefused
    assert unknown.code == 123_456
    reply = decode_reply(SendC2CReply, encode(SendC2CReply(msg_time=7, timeline_seq=3)))
    assert (reply.msg_time, reply.timeline_seq) == (7, 3)
