"""Quotes: the message to which another one replies, in the form of Tencent's `cloud_custom_data`."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..errors import InvalidArgument
from ..util.displayed import Displayed

__all__ = ["QuotedMessage", "embed_quote", "parse_quote"]

ABSTRACT_LIMIT = 100  # characters of a quoted message


@dataclass(frozen=True, slots=True)
class QuotedMessage(Displayed):
    """Quoted message at the time of the reply; `seq` is its number in the conversation."""

    seq: int
    msg_id: str
    sender: str
    abstract: str
    timestamp: int = 0


def embed_quote(quote: QuotedMessage, cloud_custom_data: str) -> str:
    """Return `cloud_custom_data` with the quoted message added.

    Raises:
        InvalidArgument: `cloud_custom_data` is neither empty nor a JSON object.
    """
    try:
        fields: object = json.loads(cloud_custom_data) if cloud_custom_data else {}
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise InvalidArgument("a reply's cloud_custom_data must be a JSON object: the quoted message goes into it")
    fields["messageReply"] = {
        "messageID": quote.msg_id,
        "messageSequence": quote.seq,
        "messageAbstract": quote.abstract[:ABSTRACT_LIMIT],
        "messageSender": quote.sender,
        "messageTime": quote.timestamp,
        "version": 1,
    }
    return json.dumps(fields, ensure_ascii=False)


def parse_quote(cloud_custom_data: str) -> QuotedMessage | None:
    """Return the quoted message in `cloud_custom_data`; None for a missing or malformed one."""
    if "messageReply" not in cloud_custom_data:
        return None
    try:
        reply = json.loads(cloud_custom_data)["messageReply"]
        return QuotedMessage(
            int(reply.get("messageSequence") or 0),
            str(reply.get("messageID", "")),
            str(reply.get("messageSender", "")),
            str(reply.get("messageAbstract", "")),
            int(reply.get("messageTime") or 0),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
