"""Handlers of live rooms (AVChatRooms) over REST alone: a message to all of them."""

from __future__ import annotations

import msgspec

from ...errors import RateLimited, UnknownGroup
from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.messages import SendGroupRequest
from ...protocol.numbers import Int
from .groups import send
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

PAGE = 1000  # rooms


class BroadcastRequest(Body, kw_only=True):
    """A message to all live rooms."""

    random: Int = msgspec.field(name="Random")
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    from_account: str = msgspec.field(name="From_Account", default="")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")


class BroadcastReply(Reply):
    """MsgSeq is the highest seq that the message has in a room, and TimelineRefused the number of rooms over their rate."""

    msg_seq: int = msgspec.field(name="MsgSeq", default=0)
    refused: int = msgspec.field(name="TimelineRefused", default=0)


BROADCAST = Command("group_open_http_svc.send_broadcast_msg", BroadcastRequest, BroadcastReply, doors=Door.REST)


@HANDLERS.serve(BROADCAST)
async def broadcast(context: RequestContext, body: BroadcastRequest) -> BroadcastReply:
    """Send a message to each live room, one after the other. A repeated request sends to those that it had not reached."""
    reply, begin = BroadcastReply(), 0
    while True:
        total, ids = await context.services.store.groups.page(("AVChatRoom",), begin, PAGE)
        for group_id in ids:
            message = SendGroupRequest(
                group_id=group_id,
                random=body.random,
                msg_body=body.msg_body,
                from_account=body.from_account,
                cloud_custom_data=body.cloud_custom_data,
                priority="High",
            )
            try:
                reply.msg_seq = max(reply.msg_seq, (await send(context, message)).msg_seq)
            except UnknownGroup:
                continue  # dissolved meanwhile
            except RateLimited:
                reply.refused += 1
        begin += PAGE
        if begin >= total:
            return reply
