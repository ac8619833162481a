"""Tests that content is found only in the fields of elems that name content."""

from __future__ import annotations

import json
from uuid import uuid4

import msgspec

from timim.protocol.elems import split_body
from timim.protocol.media import media_refs


def test_content_of_elems_is_found_in_their_own_fields_only() -> None:
    ours, other, deep, web, foreign = (uuid4().hex for _ in range(5))
    url = "http://h/media"
    body = [
        {"MsgType": "TIMTextElem", "MsgContent": {"Text": f'"UUID":"{other}"'}},
        {"MsgType": "TIMCustomElem", "MsgContent": {"Data": json.dumps({"UUID": other})}},
        {"MsgType": "TIMFileElem", "MsgContent": {"UUID": ours, "FileName": f'","UUID":"{other}"'}},
        {"MsgType": "TIMImageElem", "MsgContent": {"UUID": "x", "ImageInfoArray": [{"URL": f"{url}/{deep}?sign=1"}]}},
        {"MsgType": "TIMVideoFileElem", "MsgContent": {"VideoUUID": 5}},
        {"MsgType": "TIMFileElem", "MsgContent": {"UUID": "1400000001-alice-x.jpg", "Url": f"{url}/{web}"}},
        {"MsgType": "TIMFileElem", "MsgContent": {"UUID": foreign, "Url": "https://elsewhere.example/x"}},
        {"MsgType": "TIMSoundElem", "MsgContent": {"UUID": "../../x", "Url": f"{url}/../x"}},
    ]
    assert dict(media_refs(split_body(msgspec.json.encode(body)), url)) == {ours: True, deep: True, web: True, foreign: False}
