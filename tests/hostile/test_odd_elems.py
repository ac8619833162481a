"""Elems of odd bodies can be shown and dumped, and errors show a text of the server in a bounded form."""

from __future__ import annotations

import json

import pytest

from timim import Message, UnknownUser
from timim.errors import error_for
from timim.protocol.elems import decode_body
from timim.util.shown_text import INFO_LIMIT

IMAGE = b'{"UUID":"i","ImageInfoArray":[{"Type":1,"Size":5,"Width":9,"Height":9,"URL":"u","UUID":"x"}]}'
ODD = {
    "no UTF-8": b'[{"MsgType":"TIMAppElem","MsgContent":{"a":"\xff"}}]',
    "no UTF-8 in a key": b'[{"MsgType":"TIMTextElem","MsgContent":{"\xfe":"a"}}]',
    "no text": b'[{"MsgType":"TIMTextElem","MsgContent":7}]',
    "no type": b'[{"MsgType":7},9,null]',
    "no array": b'{"a":"\xff"}',
    "no JSON": b"\xff\xfe",
    "an image": b'[{"MsgType":"TIMImageElem","MsgContent":%b}]' % IMAGE,
    "numbers": b'[{"MsgType":"TIMFileElem","MsgContent":{"Url":"u","FileSize":%d,"FileName":"\\u202e"}}]' % 10**30,
    "depth": b'[{"MsgType":"TIMAppElem","MsgContent":%b%b}]' % (b"[" * 500, b"]" * 500),
}


@pytest.mark.requirement("H44")
@pytest.mark.parametrize("body", ODD)
def test_an_elem_of_an_odd_body_is_shown_and_dumped(body: str) -> None:
    elems = decode_body(ODD[body])
    assert elems
    for elem in elems:
        assert type(elem).__name__ in repr(elem)
        packed = elem.model_dump_json()
        json.loads(packed)
        assert elem.model_dump(mode="json") == json.loads(packed)
        assert type(elem).model_validate_json(packed) == elem
    assert repr(Message(*elems))


@pytest.mark.requirement("H42")
@pytest.mark.parametrize("code", [1, 20003])
def test_a_text_of_the_server_is_cut_and_obeyed_by_no_terminal(code: int) -> None:
    error = error_for(code, "no\x1b[31m\r\n\x00user " + "很" * 1_000_000)
    assert error.info.startswith("no [31m   user 很很")
    assert len(error.info) == INFO_LIMIT
    assert isinstance(error, UnknownUser) is (code == 20003)
