"""Requests that send a message, and conversion of their replies to acks."""

from __future__ import annotations

import msgspec

from ..elems import TextElem
from ..errors import AlreadySent, InvalidArgument, MessageTooLong
from ..ids import ConversationKey, ConversationType, parse_msg_id
from ..message import ALL, Message, MessageStatus, OfflinePush, SenderMember, SenderProfile
from ..protocol import messages as wire
from ..protocol.codec import Request, encode
from ..protocol.entries import MentionItem, PushInfo
from ..storage import Ack
from ..transport.server_info import ServerInfo
from .send_queue import PendingMessage


def send_request(
    key: ConversationKey, message: Message, body: bytes, push: OfflinePush | None, *, sender: str, ask: bool = False
) -> Request[wire.SendReply]:
    """Return the request that sends a message; `body` has its encoded elems.

    If `ask`, the server stores nothing and replies with the seq of the stored message, or 0 if it has no such message. The
    request has the message's name only, so that it can be sent for a message of any size.
    """
    if ask:
        body, push = b"[]", None
    if key.type is ConversationType.GROUP:
        return wire.SEND_GROUP.request(_group_body(message, key.peer, body, push, sender=sender, ask=ask))
    return wire.SEND_C2C.request(c2c_body(message, key.peer, body, push, sender=sender, ask=ask))


def c2c_body(
    message: Message, peer: str, body: bytes, push: OfflinePush | None, *, sender: str, ask: bool = False
) -> wire.SendC2CRequest:
    """Return the body of a C2C send."""
    name = parse_msg_id(message.msg_id)
    return wire.SendC2CRequest(
        from_account=sender,
        to_account=peer,
        msg_seq=name.random,
        msg_random=name.random,
        client_time=name.client_time,
        source=name.source,
        msg_body=msgspec.Raw(body),
        cloud_custom_data="" if ask else message.cloud_custom_data,
        receipt=int(message.receipt_requested),
        extensible=int(message.extensible),
        push=push_info(push) if push is not None else msgspec.UNSET,
        ask=int(ask),
    )


def _group_body(
    message: Message, group_id: str, body: bytes, push: OfflinePush | None, *, sender: str, ask: bool
) -> wire.SendGroupRequest:
    name = parse_msg_id(message.msg_id)
    return wire.SendGroupRequest(
        from_account=sender,
        group_id=group_id,
        random=name.random,
        client_time=name.client_time,
        source=name.source,
        priority=message.priority.value,
        msg_body=msgspec.Raw(body),
        cloud_custom_data="" if ask else message.cloud_custom_data,
        mentions=[MentionItem(all_flag=1) if user == ALL else MentionItem(account=user) for user in message.mentions],
        receipt=int(message.receipt_requested),
        extensible=int(message.extensible),
        push=push_info(push) if push is not None else msgspec.UNSET,
        ask=int(ask),
    )


def check_unsent(message: Message) -> None:
    """Check that a message was not sent before, and that it can be.

    Raises:
        AlreadySent: The message was sent before.
        InvalidArgument: The message is empty, or cloud_custom_data is no text.
    """
    if message.status is not None:
        raise AlreadySent("the message was sent before; create a new Message, or call resend() if it failed")
    if is_empty(message):
        raise InvalidArgument("the message is empty; add text or another elem", code=6017)
    if message.cloud_custom_data != "":
        message.check()


def is_empty(message: Message) -> bool:
    """Return True if a message has nothing but empty texts."""
    for elem in message.elems:  # noqa: SIM110  a generator costs twice as much, once a message
        if not isinstance(elem, TextElem) or elem.text:
            return False
    return True


def claim(message: Message, key: ConversationKey, *, sender: str, now_s: float) -> None:
    """Freeze a message that is about to be sent."""
    message._key, message._sender = key, sender
    message._status = MessageStatus.SENDING
    message._timestamp = int(now_s)


def check_size(server: ServerInfo, message: Message, body: bytes, push: OfflinePush | None) -> None:
    """Check the size of a message as the server counts it: elems, cloud_custom_data and push. A limit of 0 is none.

    Raises:
        MessageTooLong: The message is over the limit.
    """
    limit_bytes = server.max_message_bytes
    if limit_bytes <= 0:
        return
    size = len(body)
    if message.cloud_custom_data:
        size += len(message.cloud_custom_data.encode())
    if push is not None:
        size += len(encode(push_info(push)))
    if size > limit_bytes:
        raise MessageTooLong(
            f"the message is {size} bytes long, elems, cloud_custom_data and push together; the limit is {limit_bytes}: "
            "split it, or send a file"
        )


def ack_from_reply(key: ConversationKey, item: PendingMessage, reply: wire.SendReply) -> Ack:
    """Return the ack of a message: its seq, its time, and the sender's profile and group membership."""
    info, message = reply.sender if isinstance(reply.sender, wire.SenderInfo) else wire.SenderInfo(), item.message
    sender = message.sender
    profile = SenderProfile(sender, info.nick, info.face_url, info.custom)
    member = SenderMember(sender, info.name_card, info.role, info.member_custom) if info.role else None
    body = None if item.body is item.row_body else item.body
    return Ack(key, message.local_id, message.msg_id, reply.timeline_seq, reply.msg_time, body, profile, member, message)


def push_info(push: OfflinePush) -> PushInfo:
    """Return the wire form of the text of an offline push."""
    vendors = {"android": dict(push.android), "apns": dict(push.apns)}
    return PushInfo(push_flag=int(push.disable), title=push.title, desc=push.desc, ext=push.ext, **vendors)
