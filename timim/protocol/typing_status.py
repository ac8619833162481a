"""The typing status, as Tencent's user interface kits send it: an online message with one custom elem of `userAction` 14."""

from __future__ import annotations

import json

import msgspec

from ..elems import CustomElem
from ..errors import TimimError
from .elems import decode_body

_BUSINESS = "user_typing_status"
_ACTION = 14
_BEGUN, _ENDED = "EIMAMSG_InputStatus_Ing", "EIMAMSG_InputStatus_End"
_MARKS = (_BUSINESS.encode(), b"userAction", b"user-typing")
DATA_LIMIT_BYTES = 1024  # the status of the known kits has 150 bytes


def typing_elem(*, active: bool) -> CustomElem:
    """Return the elem that reports that its sender is typing, or has ended."""
    data = {
        "businessID": _BUSINESS,
        "typingStatus": int(active),
        "userAction": _ACTION,
        "actionParam": _BEGUN if active else _ENDED,
        "version": 1,
    }
    return CustomElem(data=json.dumps(data).encode())


def typing_status(body: bytes | msgspec.Raw) -> bool | None:
    """Return True or False if an online message reports that its sender is typing or has ended, None for another message."""
    raw = bytes(body)
    if len(raw) > DATA_LIMIT_BYTES or not any(mark in raw for mark in _MARKS):
        return None
    try:
        elems = decode_body(raw)
        data = json.loads(elems[0].data) if len(elems) == 1 and isinstance(elems[0], CustomElem) else None
    except (TimimError, ValueError):
        return None
    if not isinstance(data, dict):
        return None
    if data.get("businessID") != _BUSINESS and data.get("userAction") != _ACTION and "user-typing" not in data:
        return None
    return data.get("typingStatus", 1) in (1, True) and data.get("actionParam", _BEGUN) != _ENDED
