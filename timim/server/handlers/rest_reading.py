"""Handlers over REST of what accounts have read in C2C, and the recall of all messages of one sender in a group."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec

from ...errors import InvalidArgument, UnknownMessage, UnknownUser
from ...ids import ConversationKey, ConversationType, checked_group_id, checked_user_id
from ...protocol import session, tencent_events
from ...protocol.codec import Body, Command, Door, Reply, encode
from ...protocol.entries import EntryState, MessageActionKind, decode_payload
from ...protocol.numbers import Int, at_most
from ...protocol.topics import TopicBody
from ..bus.base import Event
from ..messaging.actions import ActionRequest
from ..social.group_permissions import KINDS
from ..store.base import c2c_timeline, group_timeline
from .read_receipts import mark_read
from .registry import HandlerRegistry, RequestContext
from .rest_accounts import TOO_MANY_RECEIVERS, UNKNOWN_ACCOUNT

HANDLERS = HandlerRegistry()

PEERS_AT_ONCE = 10
GROUP_PARAMETERS = 10004
PAGE = 100  # conversations or messages read at once


class MarkReadRequest(Body):
    """The account that has read its messages of a peer, up to a second of the server; all messages if it is 0."""

    account: str = msgspec.field(name="Report_Account")
    peer: str = msgspec.field(name="Peer_Account")
    time: Int = msgspec.field(name="MsgReadTime", default=0)


class CountC2CUnreadRequest(Body):
    """An account, and the peers whose unread messages are counted; the sum of all peers if there are none."""

    account: str = msgspec.field(name="To_Account")
    peers: Annotated[list[str], at_most(PEERS_AT_ONCE)] = msgspec.field(name="Peer_Account", default_factory=list)


class UnreadPeer(msgspec.Struct, kw_only=True):
    """The number of unread messages of a peer."""

    peer: str = msgspec.field(name="Peer_Account")
    count: int = msgspec.field(name="C2CUnreadMsgNum")


class FailedPeer(msgspec.Struct, kw_only=True):
    """A peer without a number, and the reason."""

    peer: str = msgspec.field(name="Peer_Account")
    code: int = msgspec.field(name="ErrorCode")


class CountC2CUnreadReply(Reply):
    """The numbers of unread messages of the peers, or their sum."""

    total: int | msgspec.UnsetType = msgspec.field(name="AllC2CUnreadMsgNum", default=msgspec.UNSET)
    counts: list[UnreadPeer] = msgspec.field(name="C2CUnreadMsgNumList", default_factory=list)
    errors: list[FailedPeer] = msgspec.field(name="ErrorList", default_factory=list)


class RecallSenderRequest(TopicBody, kw_only=True):
    """A group, and the sender whose messages in it are recalled."""

    sender: str = msgspec.field(name="Sender_Account")


class SetUnreadRequest(TopicBody, kw_only=True):
    """A group, a member, and the number of the member's unread messages in it."""

    user: str = msgspec.field(name="Member_Account")
    count: Int = msgspec.field(name="UnreadMsgNum")


MARK_READ = Command("openim.admin_set_msg_read", MarkReadRequest, Reply, doors=Door.REST)
COUNT_UNREAD = Command("openim.get_c2c_unread_msg_num", CountC2CUnreadRequest, CountC2CUnreadReply, doors=Door.REST)
SET_UNREAD = Command("group_open_http_svc.set_unread_msg_num", SetUnreadRequest, Reply, doors=Door.REST)
RECALL_SENDER = Command("group_open_http_svc.delete_group_msg_by_sender", RecallSenderRequest, Reply, doors=Door.REST)


@HANDLERS.serve(MARK_READ)
async def mark_messages_read(context: RequestContext, body: MarkReadRequest) -> Reply:
    """Mark the messages of a C2C conversation as read by an account."""
    user, peer, services = checked_user_id(body.account), checked_user_id(body.peer), context.services
    for account in (user, peer):
        await services.entities.account(account)
    time = min(body.time, 1 << 62) if body.time > 0 else 1 << 62
    seq = await services.history.seq_before(user, peer, time + 1, "")
    await mark_read(replace(context, user=user), c2c_timeline(user, peer), seq, peer=peer)
    return Reply()


@HANDLERS.serve(COUNT_UNREAD)
async def count_unread(context: RequestContext, body: CountC2CUnreadRequest) -> CountC2CUnreadReply:
    """Return the number of C2C messages that an account has not read, for each peer or for all peers together."""
    if len(body.peers) > PEERS_AT_ONCE:
        info = f"Peer_Account has {len(body.peers)} accounts; the limit is {PEERS_AT_ONCE}; split the request"
        raise InvalidArgument(info, code=TOO_MANY_RECEIVERS)
    user, services = checked_user_id(body.account), context.services
    await services.entities.account(user)
    reply = CountC2CUnreadReply()
    if not body.peers:
        reply.total = await _unread_of_all(context, user)
        return reply
    for peer in body.peers:
        try:
            await services.entities.account(peer)
        except UnknownUser:
            reply.errors.append(FailedPeer(peer=peer, code=UNKNOWN_ACCOUNT))
            continue
        (unread,) = await services.store.conversations.unread(user, [c2c_timeline(user, peer)])
        reply.counts.append(UnreadPeer(peer=peer, count=unread.count))
    return reply


async def _unread_of_all(context: RequestContext, user: str) -> int:
    conversations = context.services.store.conversations
    total = offset = 0
    while page := await conversations.page(user, offset, PAGE):
        offset += len(page)
        timelines = [one.timeline for one in page if one.timeline.startswith("c2c\x1f")]
        total += sum(unread.count for unread in await conversations.unread(user, timelines))
    return total


@HANDLERS.serve(SET_UNREAD)
async def set_unread(context: RequestContext, body: SetUnreadRequest) -> Reply:
    """Set the number of a member's unread messages in a group, which sets the read mark back or forth.

    Groups of the types Meeting and AVChatRoom count no unread messages for REST: the request has no effect there.
    """
    if body.count < 0:
        raise InvalidArgument(f"UnreadMsgNum must be 0 or more, not {body.count}", code=GROUP_PARAMETERS)
    services, user = context.services, checked_user_id(body.user)
    group = await services.entities.group_for(user, checked_group_id(body.group_id))
    if KINDS[group.type] in ("Meeting", "AVChatRoom"):
        return Reply()
    timeline, now = group_timeline(group.group_id), int(services.now())
    read = await services.store.conversations.set_unread(user, timeline, body.count, time=now)
    if read is not None:
        notice = session.ReadNotice(
            group_id=group.group_id,
            read_seq=read.seq,
            unread=read.unread.count,
            mentioned=read.unread.mentioned,
            unread_seq=read.unread.last_seq,
            reset=1,
        )
        plain = tencent_events.group_read_event(group.group_id, read.seq)
        services.bus.publish(Event((user,), session.EVENT_READ, msgspec.Raw(encode(notice)), plain=plain))
    return Reply()


@HANDLERS.serve(RECALL_SENDER)
async def recall_messages_of_sender(context: RequestContext, body: RecallSenderRequest) -> Reply:
    """Recall all messages of a sender in a group; those that were recalled already stay so."""
    services, sender = context.services, checked_user_id(body.sender)
    group = await services.entities.group_or_topic(checked_group_id(body.group_id))
    key, timeline = ConversationKey(ConversationType.GROUP, group.group_id), group_timeline(group.group_id)
    request = ActionRequest(MessageActionKind.RECALL, context.user, admin=context.admin)
    last = 1 << 62
    while True:
        page = await services.store.timelines.messages_before(timeline, last, 1, PAGE)
        for entry in page.entries:
            payload = decode_payload(entry.tail)
            recalled = isinstance(payload.state, EntryState) and payload.state.recall_seq
            if payload.from_account != sender or recalled:
                continue
            try:
                await services.actions.apply(request, key, entry.seq)
            except UnknownMessage:
                continue  # a tip of the group cannot be recalled
        if page.first <= page.floor or not page.entries:
            return Reply()
        last = page.first - 1
