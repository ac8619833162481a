"""Read receipts of single C2C messages: their receiver confirms them without changing the read seq of the conversation."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...errors import InvalidArgument, NoPermission
from ...ids import checked_user_id
from ...protocol import conversation_settings as wire
from ...protocol.codec import Reply
from ..store.base import StoredEntry, c2c_timeline
from .message_actions import c2c_seq, c2c_seq_of_key
from .profiles import acting
from .read_receipts import tell_receipts
from .registry import HandlerRegistry, RequestContext, Services

HANDLERS = HandlerRegistry()

NOT_RECEIVER, WRONG_COUNT = 90009, 90001


@HANDLERS.serve(wire.SEND_C2C_RECEIPTS)
async def send_c2c_receipts(context: RequestContext, body: wire.SendC2CReceiptsRequest) -> Reply:
    """Record that the caller has read messages of a user, once for each message, and tell this user."""
    user, peer = acting(context, body.account), checked_user_id(body.peer)
    if not 1 <= len(body.messages) <= wire.RECEIPTS_AT_ONCE:
        text = f"C2CMsgInfo must have 1 to {wire.RECEIPTS_AT_ONCE} messages, not {len(body.messages)}; split the request"
        raise InvalidArgument(text, code=WRONG_COUNT)
    seqs = [await _seq_of(context.services, user, peer, message) for message in body.messages]
    timeline, now = c2c_timeline(user, peer), int(context.services.now())
    await tell_receipts(context, await context.services.store.receipts.add(user, timeline, seqs, time=now))
    return Reply()


async def _seq_of(services: Services, user: str, peer: str, message: wire.ReadMessage) -> int:
    """Return the seq of a message that a peer has sent to a user.

    Raises:
        NoPermission: The user is not its receiver (90009).
        InvalidArgument: The MsgKey is malformed (90001).
        UnknownMessage: There is no such message in the conversation (20022).
    """
    if message.from_account != peer or message.to_account not in ("", user):
        text = f"{user!r} is not the receiver of a message from {message.from_account!r} in the conversation with {peer!r}"
        raise NoPermission(text, code=NOT_RECEIVER)
    if message.msg_key:
        return await c2c_seq_of_key(services, user, peer, message.msg_key)
    return await c2c_seq(services, user, peer, msg_seq=message.msg_seq, random=message.msg_random, time=message.time)


async def with_receipts(
    services: Services, timeline: str, entries: Sequence[msgspec.Raw], stored: Sequence[StoredEntry]
) -> list[msgspec.Raw]:
    """Return rendered C2C messages, in which those that their receiver has confirmed say so, as web clients read it."""
    asking = [one.seq for one in stored if b'"IsNeedReadReceipt":' in one.tail]
    if not asking:
        return list(entries)
    read = {one.seq: one.time for one in await services.store.receipts.get(timeline, asking) if one.readers}
    return [_confirmed(raw, read[one.seq]) if one.seq in read else raw for raw, one in zip(entries, stored, strict=True)]


def _confirmed(entry: msgspec.Raw, time: int) -> msgspec.Raw:
    return msgspec.Raw(bytes(entry)[:-1] + b',"IsPeerRead":1,"PeerReadTime":%d}' % time)
