"""Tests of raw JSON: its encoding, and its depth outside of strings."""

from __future__ import annotations

import pytest

from timim import ProtocolError
from timim.protocol.entries import readable_payload
from timim.protocol.raw_json import DEPTH_LIMIT, check_body, is_deeper, is_utf8


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_depth_is_that_outside_of_strings(count: int) -> None:
    nested = b"[" * count + b'{"a":"[[[\\"{{{\\\\"}' + b"]" * count
    assert not is_deeper(nested, count + 1)
    assert is_deeper(nested, count)
    assert not is_deeper(b"[" + b",".join([b'["["]'] * count) + b"]", 2)


@pytest.mark.parametrize("raw, good", [(b"a", True), ("中".encode(), True), (b"\xff", False), (b"\xed\xa0\x80", False)])
def test_text_is_utf8_or_not(raw: bytes, good: bool) -> None:
    assert is_utf8(raw) is good


def test_a_body_at_the_limit_is_good() -> None:
    check_body(b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT)
    with pytest.raises(ProtocolError, match="520 levels"):
        check_body(b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1))
    with pytest.raises(ProtocolError, match="UTF-8"):
        check_body(b'["\xff"]')


def test_a_readable_payload_is_unchanged_and_an_unreadable_one_keeps_its_facts() -> None:
    good = b'"From_Account":"a","MsgSeq":5,"MsgBody":[]}'
    assert readable_payload(good) is good
    deep = b'"From_Account":"a","CloudCustomData":",\\"MsgBody\\":[","MsgBody":[%b%b]}' % (b"[" * 2000, b"]" * 2000)
    mended = readable_payload(deep)
    assert mended.startswith(b'"From_Account":"a","CloudCustomData":",\\"MsgBody\\":[","MsgBody":[{"MsgType":"Timeline')
    assert mended.endswith(b"}}]}")
