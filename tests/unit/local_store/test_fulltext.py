"""The search index: what it holds of each kind of elem."""

from __future__ import annotations

import pytest

from timim.elems import ELEM_TYPES, AnyElem, CustomElem, FileElem, LocationElem, MergerElem, TextElem, UnknownElem
from timim.errors import InvalidArgument
from timim.local_store.fulltext import elem_types, indexed_text
from timim.protocol.elems import encode_body


@pytest.mark.parametrize("kind", [kind for kind in ELEM_TYPES if kind is not UnknownElem], ids=lambda kind: kind.__name__)
def test_every_kind_can_be_searched_for_by_a_sign_of_its_own(kind: type[AnyElem]) -> None:
    assert elem_types(kind) == (kind,)
    body = b'[{"MsgType":"%b","MsgContent":{}}]' % kind.wire_type.encode()
    assert indexed_text(body) == f"{chr(0xE000 + kind.search_number)} "


def test_an_unknown_elem_is_found_by_its_words_only() -> None:
    with pytest.raises(InvalidArgument):
        elem_types(UnknownElem)
    assert indexed_text(b'[{"MsgType":"TIMNewElem","MsgContent":{"Desc":"words"}}]') == " words"


WITH_TEXT: list[AnyElem] = [
    TextElem(text="words"),
    CustomElem(desc="words"),
    FileElem(url="u", filename="words"),
    LocationElem(desc="words", latitude=1, longitude=2),
    MergerElem(title="words"),
    UnknownElem(MsgType="TIMNewElem", content=b'{"Title":"words"}'),
]


def test_each_kind_with_a_search_field_is_tried_here() -> None:
    assert {type(elem) for elem in WITH_TEXT} == {kind for kind in ELEM_TYPES if kind.search_field} | {UnknownElem}


@pytest.mark.parametrize("elem", WITH_TEXT, ids=lambda elem: type(elem).__name__)
def test_the_index_holds_the_text_that_a_snippet_shows(elem: AnyElem) -> None:
    assert elem.search_text == "words"
    assert indexed_text(encode_body([elem])).split()[-1] == "words"
