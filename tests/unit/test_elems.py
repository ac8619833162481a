"""Tests of the kinds of elems: each class has all properties of its kind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from timim.elem_base import SEARCHED_MEMBERS, Elem, GroupNoticeElem, GroupTipElem, GroupTipType, RelationElem, RelationType
from timim.elems import (
    ELEM_TYPES,
    AnyElem,
    CustomElem,
    FaceElem,
    FileElem,
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
from timim.protocol.elems import decode_body, decode_own_body, encode_body

KNOWN = [kind for kind in ELEM_TYPES if kind is not UnknownElem]


def test_each_kind_has_a_wire_type_of_its_own() -> None:
    types = [kind.wire_type for kind in KNOWN]
    assert all(types)
    assert len(set(types)) == len(types)
    assert UnknownElem.wire_type == ""


def test_the_numbers_in_the_search_index_never_change() -> None:
    assert {kind.__name__: kind.search_number for kind in ELEM_TYPES} == {
        "TextElem": 1,
        "ImageElem": 2,
        "FaceElem": 3,
        "SoundElem": 4,
        "FileElem": 5,
        "CustomElem": 6,
        "LocationElem": 7,
        "VideoElem": 8,
        "GroupTipElem": 9,
        "GroupNoticeElem": 10,
        "RelationElem": 11,
        "MergerElem": 12,
        "UnknownElem": 0,
    }


@pytest.mark.parametrize("kind", ELEM_TYPES, ids=lambda kind: kind.__name__)
def test_the_attributes_of_a_kind_name_fields_that_it_has(kind: type[AnyElem]) -> None:
    assert all(hasattr(kind, field) or field in kind.model_fields for field in kind.wire_fields.values())
    named = {*kind.local_fields.values(), *kind.content_fields, *kind.content_fields.values()}
    assert named | ({kind.search_field} - {""}) <= set(kind.model_fields)


@pytest.mark.parametrize("kind", ELEM_TYPES, ids=lambda kind: kind.__name__)
def test_text_that_can_be_searched_for_is_in_a_member_that_the_index_holds(kind: type[AnyElem]) -> None:
    members = {field: member for member, field in kind.wire_fields.items()}
    if kind.search_field and kind is not MergerElem:  # a codec of its own writes the `Title` of a merger
        assert members[kind.search_field] in SEARCHED_MEMBERS


def test_content_given_by_path_comes_before_bytes() -> None:
    assert FileElem(path=Path("/a.pdf"), data=b"x").local_content == Path("/a.pdf")
    assert ImageElem(data=b"x").local_content == b"x"
    assert TextElem(text="x").local_content is None


def test_content_needs_an_upload_until_the_server_has_it() -> None:
    assert VideoElem(data=b"x").needs_upload
    assert not VideoElem(uuid="0" * 32, url="http://example.org/media/0").needs_upload
    assert ImageElem(data=b"x").needs_upload
    assert not CustomElem(data=b"x").needs_upload
    assert MergerElem(content=b" " * (MergerElem.inline_limit_bytes + 1)).needs_upload
    assert not MergerElem(content=b" " * MergerElem.inline_limit_bytes).needs_upload


@pytest.mark.parametrize(
    "content,text",
    [
        ({"Text": "a", "Desc": "b", "FileName": "c", "Title": "d", "Other": "e"}, "a\nb\nc\nd"),
        ({"Text": 5, "Desc": "b"}, "b"),
        ({}, ""),
        ([], ""),
    ],
)
def test_an_unknown_elem_has_the_text_of_the_members_that_are_searched(content: object, text: str) -> None:
    assert UnknownElem(MsgType="TIMNewElem", content=json.dumps(content).encode()).search_text == text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_an_unknown_elem_of_broken_content_has_no_text(content: bytes) -> None:
    assert UnknownElem(MsgType="TIMNewElem", content=content).search_text == ""


def test_an_elem_without_attributes_of_its_own_cannot_be_searched_for() -> None:
    assert (Elem.wire_type, Elem.search_number, Elem().search_text, Elem().needs_upload) == ("", 0, "", False)


def test_a_relative_path_means_the_file_of_the_folder_in_which_the_elem_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = (
        FileElem(path="a.pdf"),
        ImageElem(path=Path("a.jpg")),
        SoundElem(path="a.amr"),
        VideoElem(path="a.mp4", snapshot=Path("s.jpg")),
    )
    monkeypatch.chdir("/")
    assert [elem.local_content for elem in made] == [tmp_path / name for name in ("a.pdf", "a.jpg", "a.amr", "a.mp4")]
    assert made[3].snapshot == tmp_path / "s.jpg"


def test_a_file_name_that_is_not_utf8_is_shown_and_stored() -> None:
    name = os.fsdecode(b"/na\xe9.pdf")
    elem = FileElem(path=name)
    assert elem.filename == "na?.pdf"
    assert elem.path == Path(name)
    (stored,) = decode_own_body(encode_body([elem], local=True))
    assert stored == elem


TEXT_FIELDS = [(TextElem, "text"), (FileElem, "filename"), (CustomElem, "desc"), (CustomElem, "ext"), (LocationElem, "desc")]
REQUIRED: dict[type[AnyElem], dict[str, object]] = {FileElem: {"data": b"x"}, LocationElem: {"latitude": 0.0, "longitude": 0.0}}


@pytest.mark.parametrize("kind, field", TEXT_FIELDS)
@pytest.mark.parametrize("text, fault", [("a\0", "NUL.*position 1"), ("ab\ud800", "lone surrogate at position 2")])
def test_a_text_that_cannot_be_sent_is_refused_when_the_elem_is_made(
    kind: type[AnyElem], field: str, text: str, fault: str
) -> None:
    with pytest.raises(InvalidElem, match=f"{kind.__name__}: {field}: must .*{fault}"):
        kind(**REQUIRED.get(kind, {}) | {field: text})  # type: ignore[arg-type]


def test_a_text_with_nul_of_another_program_is_received_as_it_is() -> None:
    body = b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"a\\u0000b"}}]'
    assert [elem.text for elem in decode_body(body) if isinstance(elem, TextElem)] == ["a\0b"]


EXAMPLES: list[AnyElem] = [
    TextElem(text="hé 你好"),
    FaceElem(index=7, data=b"\xff\x00"),
    CustomElem(data=b"\xfe\xff not UTF-8", desc="d", ext="e", sound="s"),
    LocationElem(desc="here", latitude=-1.5, longitude=2.25),
    ImageElem(data=b"\x89PNG\xff"),
    ImageElem(path="/pictures/猫.jpg"),
    SoundElem(data=b"\xff\xfb", duration=3),
    SoundElem(path=os.fsdecode(b"/sounds/\xff 100%.mp3"), duration=3),
    FileElem(data=b"\x00\xff", filename="a.bin"),
    FileElem(path="relative.bin"),
    VideoElem(data=b"\xff", snapshot=b"\xff\xd8 a JPEG", duration=2),
    VideoElem(path="/videos/a.mp4", snapshot=Path("/videos/a.jpg"), duration=2),
    MergerElem(title="t", abstracts=("a", "b"), count=2, content=b'{"\xff"}'),
    UnknownElem(MsgType="TIMNewElem", content=b'{"Data":"\xff"}'),
    ImageElem(images={ImageType.ORIGINAL: ImageVariant(type=ImageType.ORIGINAL, width=2, height=3, size=5, uuid="u")}),
    GroupTipElem(type=GroupTipType.JOIN, users=("a", "b"), changes={"GroupName": "x"}, member_changes={"a": {"ShutupTime": 5}}),
    GroupNoticeElem(type=99, group_id="g", text="hello"),
    RelationElem(type=RelationType.FRIEND_ADDED, users=("a",), profile={"Tag_Profile_IM_Nick": "n"}),
]


@pytest.mark.parametrize("elem", EXAMPLES, ids=repr)
def test_json_of_an_elem_gives_an_equal_elem(elem: AnyElem) -> None:
    text = elem.model_dump_json()
    again = type(elem).model_validate_json(text)
    assert again == elem
    assert again.model_dump() == elem.model_dump()
    assert hash(again) == hash(elem)


def test_json_has_bytes_in_base64_and_paths_as_text() -> None:
    assert json.loads(FaceElem(data=b"\xff\x00").model_dump_json())["data"] == "_wA="
    assert json.loads(ImageElem(path="/a/b.jpg").model_dump_json())["path"] == "/a/b.jpg"
    assert json.loads(FileElem(path=os.fsdecode(b"/\xff")).model_dump_json())["path"] == "file:///%FF"


def test_each_kind_has_an_example_for_json() -> None:
    assert {type(elem) for elem in EXAMPLES} == set(ELEM_TYPES)


def test_json_of_an_elem_in_a_model_of_the_program_gives_an_equal_elem() -> None:
    class Event(BaseModel):
        elem: CustomElem

    event = Event(elem=CustomElem(data=b"\xff"))
    assert Event.model_validate_json(event.model_dump_json()) == event
