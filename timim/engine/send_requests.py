"""An outgoing message as the server is asked to take it, and what the server wrote of it as an ack of its row."""

from __future__ import annotations

import msgspec

from ..ids import ConversationKey, parse_msg_id
from ..message import ALL, Message, OfflinePush, SenderMember, SenderProfile
from ..protocol import messages as wire
from ..protocol.entries import MentionItem, PushInfo
from ..storage import Ack


def to_user(message: Message, peer: str, body: bytes, push: OfflinePush | None, *, account: str) -> wire.SendC2CRequest:
    """`body`: its elems, encoded; `account`: who sends it."""
    named = parse_msg_id(message.msg_id)
    return wire.SendC2CRequest(
        from_account=account,
        to_account=peer,
        msg_seq=named.random,
        msg_random=named.random,
        client_time=named.client_time,
        msg_body=msgspec.Raw(body),
        cloud_custom_data=message.cloud_custom_data,
        push=_push(push),
    )


def to_group(message: Message, group_id: str, body: bytes, push: OfflinePush | None, *, account: str) -> wire.SendGroupRequest:
    """`body`: its elems, encoded; `account`: who sends it."""
    named = parse_msg_id(message.msg_id)
    return wire.SendGroupRequest(
        from_account=account,
        group_id=group_id,
        random=named.random,
        client_time=named.client_time,
        priority=message.priority.value,
        msg_body=msgspec.Raw(body),
        cloud_custom_data=message.cloud_custom_data,
        mentions=[MentionItem(all_flag=1) if user == ALL else MentionItem(account=user) for user in message.mentions],
        receipt=int(message.receipt_requested),
        push=_push(push),
    )


def ack_of(key: ConversationKey, message: Message, body: bytes, reply: wire.SendC2CReply | wire.SendGroupReply) -> Ack:
    """What the server wrote of a message: its number, its time, and who sent it."""
    facts = reply.sender if isinstance(reply.sender, wire.SenderInfo) else wire.SenderInfo()
    sender = message.sender
    profile = SenderProfile(sender, facts.nick, facts.face_url, facts.custom)
    member = SenderMember(sender, facts.name_card, facts.role, facts.member_custom) if facts.role else None
    return Ack(key, message.local_id, message.msg_id, reply.timeline_seq, reply.msg_time, body, profile, member)


def _push(push: OfflinePush | None) -> PushInfo | msgspec.UnsetType:
    if push is None:
        return msgspec.UNSET
    return PushInfo(push_flag=int(push.disable), title=push.title, desc=push.desc, ext=push.ext)
