"""What a reply replies to: it travels in `cloud_custom_data`, in the form that Tencent's own user interfaces know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .errors import InvalidArgument

ABSTRACT_LIMIT = 100  # characters of a quoted message


@dataclass(frozen=True, slots=True)
class QuotedMessage:
    """What a reply replies to, as it was then; `seq` finds it in its conversation."""

    seq: int
    msg_id: str
    sender: str
    abstract: str
    timestamp: int = 0


def embed_quote(quote: QuotedMessage, cloud_custom_data: str) -> str:
    """`cloud_custom_data` that says what a message replies to. Raises InvalidArgument when it holds no JSON object."""
    try:
        fields: Any = json.loads(cloud_custom_data) if cloud_custom_data else {}
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
    """What a message with this replies to; None for anything that is no such thing."""
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
