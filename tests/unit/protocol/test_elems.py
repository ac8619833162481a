"""Tests of elems on the wire: every kind is encoded and decoded, and the server finds the content of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timim.elem_base import SERVER_ELEMS
from timim.elems import (
    ELEM_TYPES,
    AnyElem,
    CustomElem,
    FaceElem,
    FileElem,
    ImageCompression,
    ImageElem,
    ImageType,
    ImageVariant,
    LocationElem,
    MergerElem,
    SoundElem,
    TextElem,
    UnknownElem,
    VideoElem,
)
from timim.errors import InvalidElem
from timim.protocol.elems import decode_body, decode_elem, decode_own_body, encode_body, encode_elem, split_body
from timim.protocol.media import media_refs

MEDIA_URL = "http://127.0.0.1:1/media"


def uuid(n: int) -> str:
    return f"{n:032x}"


def url(n: int) -> str:
    return f"{MEDIA_URL}/{uuid(n)}"


EXAMPLES: dict[type[AnyElem], AnyElem] = {
    TextElem: TextElem(text="你好"),
    ImageElem: ImageElem(
        uuid=uuid(1),
        image_format=3,
        images={
            kind: ImageVariant(type=kind, width=40, height=30, size=900, url=url(n), uuid=uuid(n))
            for n, kind in enumerate(ImageType, start=1)
        },
    ),
    FaceElem: FaceElem(index=7, data=b"\xff\x00"),
    SoundElem: SoundElem(uuid=uuid(4), url=url(4), size=9, duration=3),
    FileElem: FileElem(uuid=uuid(5), url=url(5), size=9, filename="a.pdf"),
    CustomElem: CustomElem(data=b"{}", desc="d", ext="e", sound="s"),
    LocationElem: LocationElem(desc="here", latitude=22.5, longitude=114.0),
    VideoElem: VideoElem(
        uuid=uuid(6),
        url=url(6),
        size=9,
        duration=3,
        format="mp4",
        snapshot_uuid=uuid(7),
        snapshot_url=url(7),
        snapshot_size=8,
        snapshot_width=40,
        snapshot_height=30,
        snapshot_format="jpeg",
    ),
    MergerElem: MergerElem(title="t", abstracts=("a: b",), compatible_text="c", count=2, uuid=uuid(8), url=url(8), size=9),
    UnknownElem: UnknownElem(MsgType="TIMNewElem", content=b'{"A": 1}'),
}
OF_THE_SERVER: dict[str, dict[str, Any]] = {
    "TIMGroupTipElem": {"OpType": 1},
    "TIMGroupSystemNoticeElem": {"ReportType": 5},
    "TIMRelationElem": {"PushType": 1},
}


def test_every_kind_has_an_example_here() -> None:
    assert set(EXAMPLES) | set(SERVER_ELEMS) == set(ELEM_TYPES)
    assert set(OF_THE_SERVER) == {kind.wire_type for kind in SERVER_ELEMS}


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_a_kind_survives_encoding_and_decoding(kind: type[AnyElem]) -> None:
    elem = EXAMPLES[kind]
    (decoded,) = decode_body(encode_body([elem]))
    assert type(decoded) is kind
    assert decoded == elem
    assert kind is UnknownElem or json.loads(encode_elem(elem))["MsgType"] == kind.wire_type


@pytest.mark.parametrize("kind", SERVER_ELEMS, ids=lambda kind: kind.__name__)
def test_the_servers_own_kinds_are_decoded_and_never_encoded(kind: type[AnyElem]) -> None:
    elem = decode_elem(kind.wire_type, json.dumps(OF_THE_SERVER[kind.wire_type]).encode())
    assert type(elem) is kind
    with pytest.raises(InvalidElem):
        encode_elem(elem)


@pytest.mark.parametrize("kind", [kind for kind in ELEM_TYPES if kind.content_fields], ids=lambda kind: kind.__name__)
def test_the_server_finds_all_content_that_a_kind_names(kind: type[AnyElem]) -> None:
    body = encode_body([EXAMPLES[kind]])
    named = {ref.uuid for ref in media_refs(split_body(body), MEDIA_URL)}
    assert named == {uuid(n) for n in range(1, 9) if uuid(n).encode() in body}
    assert named
    assert all(ref.on_this_server for ref in media_refs(split_body(body), MEDIA_URL))


def test_members_keep_their_order_on_the_wire() -> None:
    assert list(json.loads(encode_elem(EXAMPLES[VideoElem]))["MsgContent"]) == [
        "VideoUUID",
        "VideoUrl",
        "VideoSize",
        "VideoSecond",
        "VideoFormat",
        "VideoDownloadFlag",
        "ThumbUUID",
        "ThumbUrl",
        "ThumbSize",
        "ThumbWidth",
        "ThumbHeight",
        "ThumbFormat",
        "ThumbDownloadFlag",
    ]
    assert json.loads(encode_elem(EXAMPLES[FaceElem]))["MsgContent"] == {"Index": 7, "Data": "/wA=", "DataEncoding": "base64"}
    assert json.loads(encode_elem(EXAMPLES[FileElem]))["MsgContent"] == {
        "UUID": uuid(5),
        "Url": url(5),
        "FileSize": 9,
        "FileName": "a.pdf",
        "Download_Flag": 2,
    }


LOCAL: list[AnyElem] = [
    ImageElem(path=Path("a.jpg"), compression=ImageCompression.HD, strip_location=True),
    SoundElem(path=Path("a.amr"), duration=1),
    FileElem(path=Path("0123"), filename="a.pdf"),
    VideoElem(path=Path("a.mp4"), snapshot=Path("a.jpg")),
]


@pytest.mark.parametrize("elem", LOCAL, ids=lambda elem: type(elem).__name__)
def test_the_outbox_stores_the_path_of_content_and_the_wire_does_not(elem: AnyElem) -> None:
    assert decode_own_body(encode_body([elem], local=True)) == (elem,)
    assert b"Local" not in encode_body([elem])
    (received,) = decode_body(encode_body([elem], local=True))
    assert received.local_content is None


def test_a_stored_file_without_a_name_is_not_named_after_its_place_on_disk() -> None:
    nameless = FileElem(path=Path("outgoing/0123")).model_copy(update={"filename": ""})
    assert decode_own_body(encode_body([nameless], local=True)) == (nameless,)


text = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
any_elem: st.SearchStrategy[AnyElem] = st.one_of(
    text.map(lambda t: TextElem(text=t)),
    st.builds(FaceElem, index=st.integers(0, 2**31 - 1), data=st.binary()),
    st.builds(CustomElem, data=st.binary(), desc=text, ext=text, sound=text),
    st.builds(LocationElem, desc=text, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180)),
)


@given(st.lists(any_elem, max_size=8))
def test_elems_survive_encoding_and_decoding(sent: list[AnyElem]) -> None:
    assert decode_body(encode_body(sent)) == tuple(sent)


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
