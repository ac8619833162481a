"""The typing status of Tencent's user interface kits."""

from __future__ import annotations

import json

import pytest

from timim import CustomElem, TextElem
from timim.protocol.elems import encode_body
from timim.protocol.typing_status import typing_elem, typing_status

TUIKIT = {"businessID": "user_typing_status", "typingStatus": 1, "version": 1, "userAction": 14}


def custom(data: object) -> bytes:
    return encode_body((CustomElem(data=data if isinstance(data, bytes) else json.dumps(data).encode()),))


@pytest.mark.parametrize("active", [True, False])
def test_an_own_status_is_understood(active: bool) -> None:
    assert typing_status(encode_body((typing_elem(active=active),))) is active


@pytest.mark.parametrize(
    "data, expected",
    [
        (TUIKIT | {"actionParam": "EIMAMSG_InputStatus_Ing"}, True),
        (TUIKIT | {"typingStatus": 0, "actionParam": "EIMAMSG_InputStatus_End"}, False),
        ({"userAction": 14, "actionParam": "EIMAMSG_InputStatus_Ing"}, True),  # kits of 2019
        ({"userAction": 14, "actionParam": "EIMAMSG_InputStatus_End"}, False),
        ({"userAction": 13}, None),
        ({"businessID": "order", "text": "userAction"}, None),
        ([14], None),
        (b"userAction but no JSON", None),
        (b"\xffuserAction", None),
    ],
)
def test_the_statuses_of_other_clients_are_understood(data: object, expected: bool | None) -> None:
    assert typing_status(custom(data)) is expected


def test_other_messages_are_no_status() -> None:
    assert typing_status(encode_body((TextElem(text="userAction 14"),))) is None
    two = encode_body((typing_elem(active=True), TextElem(text="x")))
    assert typing_status(two) is None
    assert typing_status(b"userAction{") is None
    assert typing_status(b"[]" + b" " * 5000 + b"userAction") is None
