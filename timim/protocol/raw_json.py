"""JSON that is stored and sent on undecoded: the decoder has checked its syntax, but neither its encoding nor its depth.

Text that is no UTF-8, or that is nested too deeply for its readers, would make each frame unreadable that contains it.
"""

from __future__ import annotations

import re

from ..errors import ProtocolError

DEPTH_LIMIT = 520  # of a MsgBody: 100 nested mergers of 5 levels each; Python decodes about 900 levels
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_OPEN, _CLOSE = b"[{", b"]}"


def is_utf8(raw: bytes) -> bool:
    """Return True if the bytes are UTF-8."""
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_deeper(raw: bytes, limit: int) -> bool:
    """Return True if valid JSON is nested in more than `limit` levels."""
    if len(raw) <= 2 * limit or _has_at_most(limit, raw):  # two bytes a level; few longer texts have as many brackets
        return False
    depth = 0
    for byte in _STRING.sub(b"", raw):
        if byte in _OPEN:
            depth += 1
            if depth > limit:
                return True
        elif byte in _CLOSE:
            depth -= 1
    return False


def _has_at_most(limit: int, raw: bytes) -> bool:
    """Return True if at most `limit` arrays and objects begin in the text; a search is faster than a count of rare bytes."""
    count = 0
    for bracket in (b"[", b"{"):
        at = raw.find(bracket)
        while at >= 0:
            count += 1
            if count > limit:
                return False
            at = raw.find(bracket, at + 1)
    return True


def check_utf8(raw: bytes, what: str) -> None:
    """Check that JSON text is UTF-8.

    Raises:
        ProtocolError: It is not; `what` names it.
    """
    if not is_utf8(raw):
        raise ProtocolError(f"{what} is not UTF-8; encode all text as UTF-8")


def check_body(raw: bytes) -> None:
    """Check that every receiver can decode a `MsgBody` whose syntax is valid.

    Raises:
        ProtocolError: It is not UTF-8, or nested too deeply.
    """
    check_utf8(raw, "MsgBody")
    if is_deeper(raw, DEPTH_LIMIT):
        raise ProtocolError(f"MsgBody is nested in more than {DEPTH_LIMIT} levels; nest fewer arrays and objects")
