"""The callbacks after a message was sent, and after it was refused. No I/O."""

from __future__ import annotations

import msgspec

from ...errors import ServerRefused
from ...ids import ConversationKey, ConversationType
from ...protocol import callbacks as names
from ..integrations.before import ApprovedMessage
from ..social.outbox import CallbackReport
from ..social.reports import group_fields
from ..store.base import StoredAccount, timeline_of
from .destinations import Destination, GroupDestination
from .validation import OutgoingMessage


def sent_report(
    outgoing: OutgoingMessage, approved: ApprovedMessage, sender: StoredAccount, destination: Destination, *, online_at: int = 0
) -> CallbackReport:
    """Return the callback after a message was sent. `online_at` is the time of a message that is not stored, or 0."""
    body: dict[str, object] = {
        "From_Account": outgoing.sender,
        "OnlineOnlyFlag": int(bool(online_at)),
        "MsgBody": msgspec.Raw(bytes(approved.msg_body)),
        "CloudCustomData": approved.cloud_custom_data,
    }
    if online_at:
        body["MsgTime"] = online_at
    if isinstance(destination, GroupDestination):
        body |= {
            **group_fields(destination.group),
            "Operator_Account": outgoing.admin or outgoing.sender,
            "Random": outgoing.random,
        }
        if outgoing.mentions:
            body["GroupAtInfo"] = [
                {"GroupAtAllFlag": 0, "GroupAt_Account": user} if user else {"GroupAtAllFlag": 1} for user in outgoing.mentions
            ]
        if outgoing.options.receivers:
            body["To_Account"] = list(outgoing.options.receivers)
        return CallbackReport(destination.timeline, names.AFTER_GROUP, body, placed=not online_at)
    key = f"{outgoing.msg_seq}_{outgoing.random}"
    body |= {
        "To_Account": destination.receiver,
        "MsgSeq": outgoing.msg_seq,
        "MsgRandom": outgoing.random,
        "MsgId": f"{sender.tiny_id}-{outgoing.client_time}-{outgoing.random}",
        "SendMsgResult": 0,
        "ErrorInfo": "send msg succeed",
    }
    if online_at:
        body["MsgKey"] = f"{key}_{online_at}"
    return CallbackReport(destination.timeline, names.AFTER_C2C, body, placed=not online_at, key=key)


def failure_report(
    outgoing: OutgoingMessage, key: ConversationKey, destination: Destination | None, error: ServerRefused
) -> tuple[CallbackReport, ...]:
    """Return the callback after a message was refused, or none if the message omits it.

    Args:
        outgoing: The message.
        key: Its conversation.
        destination: The conversation as it is, or None if it does not exist.
        error: The refusal.
    """
    if outgoing.options.unreported or key.type is ConversationType.SYSTEM or outgoing.lookup_only:
        return ()
    body: dict[str, object] = {
        "From_Account": outgoing.sender,
        "OnlineOnlyFlag": int(outgoing.options.online),
        "MsgBody": msgspec.Raw(bytes(outgoing.msg_body)),
        "CloudCustomData": outgoing.cloud_custom_data,
        "ErrorInfo": error.info,
    }
    lane = timeline_of(outgoing.sender, key)
    if key.type is ConversationType.GROUP:
        unknown: dict[str, object] = {"GroupId": key.peer, "Type": ""}
        body |= group_fields(destination.group) if isinstance(destination, GroupDestination) else unknown
        body |= {
            "Operator_Account": outgoing.admin or outgoing.sender,
            "Random": outgoing.random,
            "ErrorCode": error.code,
        }
        return (CallbackReport(lane, names.GROUP_REFUSED, body),)
    body |= {
        "To_Account": key.peer,
        "MsgSeq": outgoing.msg_seq,
        "MsgRandom": outgoing.random,
        "SendMsgResult": error.code,
    }
    return (CallbackReport(lane, names.AFTER_C2C, body),)
