"""Handlers of C2C messages over REST (`openim`): to many receivers, history of one side, recalls without a time limit."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import msgspec

from ...errors import AlreadyRecalled, InvalidArgument, TimimError, UnknownUser
from ...ids import ConversationKey, ConversationType, checked_user_id
from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.entries import C2C_RECALLED, MessageActionKind, PushInfo, decode_payload
from ...protocol.messages import NO_CONTROL, ControlField, SendC2CRequest
from ...protocol.numbers import Flag, Int, at_most
from ..messaging.actions import ActionRequest
from ..messaging.posting import PostResult
from ..store.base import c2c_timeline
from .c2c import c2c_message, sender_of
from .long_mergers import addressed_body
from .message_actions import c2c_seq
from .registry import HandlerRegistry, RequestContext
from .rest_accounts import TOO_MANY_RECEIVERS, UNKNOWN_ACCOUNT, FailedAccount

HANDLERS = HandlerRegistry()

RECEIVERS_AT_ONCE = 500
HISTORY_PAGE = 100
NO_RECEIVER, WRONG_KEY = 90012, 90054
_MSG_KEY = re.compile(r"(\d{1,10})_(\d{1,10})_(\d{1,10})\Z", re.ASCII)


class BatchSendRequest(Body, kw_only=True):
    """One message to each of up to 500 receivers."""

    receivers: Annotated[list[str], at_most(RECEIVERS_AT_ONCE)] = msgspec.field(name="To_Account")
    from_account: str = msgspec.field(name="From_Account", default="")
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom")
    msg_life_time: Int | msgspec.UnsetType = msgspec.field(name="MsgLifeTime", default=msgspec.UNSET)
    control: ControlField = msgspec.field(name="SendMsgControl", default=NO_CONTROL)
    sync_other_machine: Int = msgspec.field(name="SyncOtherMachine", default=1)  # 2: no copy for the sender
    receipt: Flag = msgspec.field(name="IsNeedReadReceipt", default=0)
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")
    push: PushInfo | msgspec.UnsetType = msgspec.field(name="OfflinePushInfo", default=msgspec.UNSET)


class BatchSendReply(Reply):
    """The name of the messages, and the receivers who got none."""

    msg_key: str = msgspec.field(name="MsgKey", default="")
    msg_id: str = msgspec.field(name="MsgId", default="")
    errors: list[FailedAccount] = msgspec.field(name="ErrorList", default_factory=list)


class RestHistoryRequest(Body):
    """A page of the history between two users, from MinTime to MaxTime; the next page ends before `LastMsgKey`."""

    operator: str = msgspec.field(name="Operator_Account")
    peer: str = msgspec.field(name="Peer_Account")
    count: Int = msgspec.field(name="MaxCnt", default=HISTORY_PAGE)
    min_time: Int = msgspec.field(name="MinTime", default=0)
    max_time: Int = msgspec.field(name="MaxTime", default=0)
    last_key: str = msgspec.field(name="LastMsgKey", default="")


class RestMessage(msgspec.Struct, kw_only=True):
    """A C2C message. MsgFlagBits 8: it was recalled."""

    from_account: str = msgspec.field(name="From_Account")
    to_account: str = msgspec.field(name="To_Account")
    msg_seq: int = msgspec.field(name="MsgSeq")
    msg_random: int = msgspec.field(name="MsgRandom")
    time: int = msgspec.field(name="MsgTimeStamp")
    flag_bits: int = msgspec.field(name="MsgFlagBits")
    peer_read: int = msgspec.field(name="IsPeerRead")
    msg_key: str = msgspec.field(name="MsgKey")
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData")


class RestHistoryReply(Reply):
    """Messages, oldest first. Complete 1: no older message is in the requested time."""

    complete: int = msgspec.field(name="Complete", default=1)
    count: int = msgspec.field(name="MsgCnt", default=0)
    last_time: int = msgspec.field(name="LastMsgTime", default=0)
    last_key: str = msgspec.field(name="LastMsgKey", default="")
    messages: list[RestMessage] = msgspec.field(name="MsgList", default_factory=list)


class RestRecallRequest(Body):
    """A message to recall, by its sender, its receiver and its MsgKey."""

    sender: str = msgspec.field(name="From_Account")
    receiver: str = msgspec.field(name="To_Account")
    msg_key: str = msgspec.field(name="MsgKey")


BATCH_SEND = Command("openim.batchsendmsg", BatchSendRequest, BatchSendReply, doors=Door.REST)
REST_HISTORY = Command(
    "openim.admin_getroammsg",
    RestHistoryRequest,
    RestHistoryReply,
    doors=Door.REST,
    renamed={"Operator_Account": "From_Account", "Peer_Account": "To_Account"},
)
REST_RECALL = Command("openim.admin_msgwithdraw", RestRecallRequest, Reply, doors=Door.REST)


@HANDLERS.serve(BATCH_SEND)
async def batch_send(context: RequestContext, body: BatchSendRequest) -> BatchSendReply:
    """Send a message to each receiver, without callbacks. Unknown receivers are named in the reply."""
    receivers = list(dict.fromkeys(body.receivers))
    if len(receivers) > RECEIVERS_AT_ONCE:
        info = f"To_Account has {len(receivers)} accounts; the limit is {RECEIVERS_AT_ONCE}; split the request"
        raise InvalidArgument(info, code=TOO_MANY_RECEIVERS)
    outgoing = c2c_message(
        context,
        SendC2CRequest(
            to_account="",
            from_account=body.from_account,
            msg_seq=body.msg_seq,
            msg_random=body.msg_random,
            msg_life_time=body.msg_life_time,
            control=body.control,
            sync_other_machine=body.sync_other_machine,
            receipt=body.receipt,
            without_callbacks=["ForbidBeforeSendMsgCallback", "ForbidAfterSendMsgCallback"],
            msg_body=await addressed_body(context, body.msg_body, sender_of(context, body.from_account)),
            cloud_custom_data=body.cloud_custom_data,
            push=body.push,
        ),
    )
    sender = await context.services.entities.account(outgoing.sender)
    reply, time = BatchSendReply(), 0
    posts = (context.services.poster.post(outgoing, ConversationKey(ConversationType.C2C, user)) for user in receivers)
    for receiver, posted in zip(receivers, await asyncio.gather(*posts, return_exceptions=True), strict=True):
        if isinstance(posted, PostResult):
            time = time or posted.time
        elif isinstance(posted, TimimError):
            code = UNKNOWN_ACCOUNT if isinstance(posted, UnknownUser) else posted.code
            reply.errors.append(FailedAccount(user=receiver, code=code))
        else:
            raise posted
    if not time:
        raise InvalidArgument("none of the receivers in To_Account exists; the message was not sent", code=NO_RECEIVER)
    reply.msg_key = f"{outgoing.msg_seq}_{outgoing.random}_{time}"
    reply.msg_id = f"{sender.tiny_id}-{time}-{outgoing.random}"  # that of the first request, for a repetition
    return reply


@HANDLERS.serve(REST_HISTORY, paged=True)
async def history(context: RequestContext, body: RestHistoryRequest) -> RestHistoryReply:
    """Return a page of the history between two users; pages go from the newest to the oldest."""
    user, peer, services = checked_user_id(body.operator), checked_user_id(body.peer), context.services
    for account in (user, peer):
        await services.entities.account(account)
    if body.last_key:
        _key_parts(body.last_key)
    first = await services.history.seq_before(user, peer, body.min_time - 1, "") + 1 if body.min_time > 0 else 1
    last = 1 << 62
    if body.max_time:
        last = await services.history.seq_before(user, peer, body.max_time, body.last_key)
    limit = min(body.count, HISTORY_PAGE) if body.count > 0 else HISTORY_PAGE
    page = await services.history.c2c_messages(user, peer, first, last, limit)
    timeline = c2c_timeline(user, peer)
    read = {account: await services.store.conversations.read_time(account, timeline) for account in (user, peer)}
    reply = RestHistoryReply(complete=int(page.first <= page.floor), count=len(page.stored))
    for stored in reversed(page.stored):
        payload = decode_payload(stored.tail)
        reply.messages.append(
            RestMessage(
                from_account=payload.from_account,
                to_account=payload.to_account,
                msg_seq=payload.msg_seq,
                msg_random=payload.msg_random,
                time=stored.time,
                flag_bits=payload.msg_flag_bits,
                peer_read=int(stored.time <= read.get(payload.to_account, 0)),
                msg_key=f"{payload.msg_seq}_{payload.msg_random}_{stored.time}",
                msg_body=payload.msg_body,
                cloud_custom_data=payload.cloud_custom_data,
            )
        )
    if reply.messages:
        reply.last_time, reply.last_key = reply.messages[0].time, reply.messages[0].msg_key
    return reply


@HANDLERS.serve(REST_RECALL)
async def recall(context: RequestContext, body: RestRecallRequest) -> Reply:
    """Recall a C2C message, however old it is."""
    sender, receiver = checked_user_id(body.sender), checked_user_id(body.receiver)
    msg_seq, random, time = _key_parts(body.msg_key)
    await context.services.entities.account(receiver)
    seq = await c2c_seq(context.services, sender, receiver, msg_seq=msg_seq, random=random, time=time)
    stored = await context.services.store.timelines.entry(c2c_timeline(sender, receiver), seq)
    if stored is not None and decode_payload(stored.tail).msg_flag_bits == C2C_RECALLED:
        raise AlreadyRecalled("the message was recalled already", code=20023)
    request = ActionRequest(MessageActionKind.RECALL, sender, admin=context.admin)
    await context.services.actions.apply(request, ConversationKey(ConversationType.C2C, receiver), seq)
    return Reply()


def _key_parts(msg_key: str) -> tuple[int, int, int]:
    """Return MsgSeq, MsgRandom and MsgTime of a MsgKey.

    Raises:
        InvalidArgument: The text is no MsgKey (90054).
    """
    found = _MSG_KEY.match(msg_key)
    if found is None:
        raise InvalidArgument("MsgKey must have the form MsgSeq_MsgRandom_MsgTime", code=WRONG_KEY)
    return int(found[1]), int(found[2]), int(found[3])
