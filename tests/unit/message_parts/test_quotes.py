"""Tests of quoted messages, which travel in cloud_custom_data in the form of Tencent's user interfaces."""

from __future__ import annotations

import json

import pytest

from timim import InvalidArgument
from timim.message_parts.quotes import ABSTRACT_LIMIT, QuotedMessage, embed_quote, parse_quote

QUOTE = QuotedMessage(seq=7, msg_id="1700000000-5", sender="bob", abstract="你好", timestamp=1_700_000_000)


@pytest.mark.parametrize("existing", ["", '{"mine": 1}'])
def test_a_quote_is_read_as_it_was_embedded(existing: str) -> None:
    assert parse_quote(embed_quote(QUOTE, existing)) == QUOTE


def test_a_quote_has_tencents_fields_beside_the_existing_ones() -> None:
    assert json.loads(embed_quote(QUOTE, '{"mine": 1}')) == {
        "mine": 1,
        "messageReply": {
            "messageID": "1700000000-5",
            "messageSequence": 7,
            "messageAbstract": "你好",
            "messageSender": "bob",
            "messageTime": 1_700_000_000,
            "version": 1,
        },
    }


def test_a_long_abstract_is_cut() -> None:
    long = QuotedMessage(1, "1-1", "bob", "x" * (ABSTRACT_LIMIT + 1))
    found = parse_quote(embed_quote(long, ""))
    assert found is not None
    assert found.abstract == "x" * ABSTRACT_LIMIT


@pytest.mark.parametrize("data", ["[]", "5", "no json", '"text"'])
def test_a_quote_goes_into_a_json_object_only(data: str) -> None:
    with pytest.raises(InvalidArgument, match="JSON object"):
        embed_quote(QUOTE, data)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{}",
        "messageReply",
        '{"messageReply": null}',
        '{"messageReply": []}',
        '{"messageReply": {"messageSequence": "many"}}',
        '["messageReply"]',
        '{"messageReply":' * 50_000,
    ],
)
def test_data_of_others_is_no_quote_and_raises_nothing(data: str) -> None:
    assert parse_quote(data) is None


def test_missing_fields_of_a_quote_are_empty() -> None:
    assert parse_quote('{"messageReply": {"messageID": "1-1"}}') == QuotedMessage(0, "1-1", "", "", 0)
