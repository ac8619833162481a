"""Any bytes are decoded or refused by a declared error: frames, bodies of every command, elems, stored payloads, entries.

Half of the bytes are arbitrary, the others a valid value with a few changes, which reach deeper.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support import request_fields as requests
from timim import AnyElem, ProtocolError, TimimError
from timim.engine.decoding import partition
from timim.protocol import codec, frames
from timim.protocol.elems import decode_body, decode_own_body, encode_body
from timim.protocol.entries import Entry, decode_payload, readable_payload
from timim.protocol.frames import Head, decode_frames, encode_frame
from timim.protocol.merger import unpack_merger
from timim.protocol.raw_json import check_body
from timim.protocol.session import LOGIN, Push
from timim.server.handlers import ALL_HANDLERS

KINDS = sorted(
    {k for command, _ in ALL_HANDLERS.served.values() for k in (command.body, command.reply)}, key=lambda k: k.__name__
)
KINDS += [LOGIN.body, LOGIN.reply, Push[Entry]]
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(requests.OTHERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
members = st.sampled_from(
    "Text Data Desc Ext Sound UUID Url Size Second Index Latitude Longitude ImageInfoArray ImageFormat Type Width Height URL"
    " FileName FileSize Download_Flag VideoUUID VideoUrl VideoSize ThumbUUID ThumbUrl MsgList Title AbstractList"
    " DataEncoding LocalPath".split()
)
kinds_of_elems = st.sampled_from(
    "TIMTextElem TIMCustomElem TIMFaceElem TIMLocationElem TIMSoundElem TIMImageElem TIMFileElem TIMVideoFileElem TIMRelayElem"
    " TIMGroupTipElem TIMGroupSystemNoticeElem TimimRelationElem X".split()
)
elems = st.fixed_dictionaries(
    {"MsgType": kinds_of_elems | json_values, "MsgContent": st.dictionaries(members, json_values, max_size=6) | json_values}
)
bodies = st.lists(elems, max_size=4).map(lambda body: json.dumps(body).encode())


@st.composite
def changed(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """Return a valid value with a few bytes changed, inserted or cut off."""
    data = bytearray(draw(valid))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "insert", "cut"])):
            case "change" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "insert":
                data[at:at] = draw(st.binary(max_size=4) | st.sampled_from([b"[", b"{", b'"', b"\\ud800", b"9" * 40, b"\xff"]))
            case _:
                del data[at : at + draw(st.integers(0, 20))]
    return bytes(data)


def bytes_like(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=200) | changed(valid)


valid_frames = st.lists(
    st.builds(
        encode_frame,
        st.builds(Head, st.text(max_size=20), st.integers(0, 1 << 40)),
        json_values.map(lambda v: json.dumps(v).encode()),
    ),
    min_size=1,
    max_size=3,
).map(frames.join_frames)


@given(bytes_like(valid_frames))
@pytest.mark.requirement("R10", "H19")
def test_any_bytes_are_frames_or_a_protocol_error(data: bytes) -> None:
    try:
        for frame in decode_frames(data):
            assert decode_frames(encode_frame(frame.head, bytes(frame.body)))[0].head == frame.head
    except ProtocolError:
        return


def check_bodies(kind: type[Any], data: bytes) -> None:
    """Check that bytes are a body, whose encoding can be decoded, or a ProtocolError."""
    try:
        body = codec.decode(kind, data)
    except ProtocolError:
        return
    codec.decode(kind, codec.encode(body))


@st.composite
def commands_and_bodies(draw: st.DrawFn) -> tuple[type[Any], bytes]:
    command = ALL_HANDLERS.served[draw(st.sampled_from(requests.commands()))][0]
    body = requests.valid_body(command.name, "@TGS#1")
    changeable = list(requests.fields(command.name))
    for field in draw(st.lists(st.sampled_from(changeable), max_size=3)) if changeable else []:
        with suppress(LookupError, TypeError, AttributeError):  # another change took away what contains this field
            body = requests.with_value(body, field.path, draw(json_values | st.sampled_from(requests.NUMBERS)))
    return command.body, requests.encoded(body)


@given(commands_and_bodies() | st.tuples(st.sampled_from(KINDS), bytes_like(json_values.map(lambda v: json.dumps(v).encode()))))
@settings(suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.requirement("R10", "H21", "H42")
def test_any_bytes_are_a_body_or_a_protocol_error(body: tuple[type[Any], bytes]) -> None:
    check_bodies(*body)


class Stored(codec.Body):
    """What the server's decoder leaves of a body: its JSON."""

    body: msgspec.Raw = msgspec.field(name="MsgBody")


def check_elems(data: bytes) -> None:
    """Check that a body that the server stores is a tuple of elems for its receiver, which can be shown and forwarded."""
    try:
        check_body(data)
        codec.decode(Stored, b'{"MsgBody":%b}' % data)
    except TimimError:
        return
    received = decode_body(data)
    for elem in received:
        assert isinstance(elem, AnyElem)
        repr(elem)
        elem.model_dump_json()
    try:
        again = encode_body(received)
    except TimimError:
        return  # an elem that only the server writes
    assert encode_body(decode_body(again)) == again


@given(bytes_like(bodies))
@example(b'[{"MsgType":"\\u0000","MsgContent":{}}]')
@example(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"\\u0000"}},1]')
@settings(suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.requirement("H22", "H44")
def test_any_stored_body_is_elems_that_can_be_shown_and_forwarded(data: bytes) -> None:
    check_elems(data)


DECODERS: list[Callable[[bytes], object]] = [
    decode_body,
    decode_own_body,
    unpack_merger,
    lambda data: decode_payload(readable_payload(data)),
]


@given(bytes_like(bodies))
@example(b"")
@example(b'{"MsgType":"X","MsgContent":1},{"MsgType":"X","MsgContent":1}')
@settings(suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.requirement("H23", "H42")
def test_any_bytes_of_a_peer_are_decoded_or_a_timim_error(data: bytes) -> None:
    for decode in DECODERS:
        with suppress(TimimError):
            decode(data)


entry_fields = st.sampled_from(requests.fields_of(Entry))


@given(st.lists(st.tuples(entry_fields, json_values | st.sampled_from(requests.NUMBERS)), max_size=4), bodies)
@settings(suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.requirement("H23", "H42")
def test_any_entry_of_a_server_is_a_row_or_a_timim_error(changes: list[tuple[requests.Field, Any]], body: bytes) -> None:
    raw: dict[str, Any] = {
        "TimelineSeq": 1,
        "From_Account": "bob",
        "MsgRandom": 1,
        "MsgClientTime": 1,
        "MsgBody": json.loads(body),
    }
    for field, value in changes:
        with suppress(LookupError, TypeError, AttributeError):
            raw = requests.with_value(raw, field.path, value)
    try:
        entry = codec.decode(Entry, requests.encoded(raw))
        rows, _ = partition([entry], "alice")
    except TimimError:
        return
    for row in rows:
        decode_body(row.body)


@pytest.mark.requirement("R10", "H21", "H42")
def test_a_decoder_that_raises_errors_of_its_library_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "decode", lambda kind, raw: codec._decoder(kind).decode(raw))
    with pytest.raises(Exception, match=r"malformed|truncated"):
        check_bodies(KINDS[0], b"{")
