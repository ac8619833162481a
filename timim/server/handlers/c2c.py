"""Handlers of C2C messages (`openim`): sending, history, unread messages, read reports."""

from __future__ import annotations

import msgspec

from ...errors import InvalidArgument, NoPermission, RateLimited, ServerRefused
from ...ids import ConversationKey, ConversationType, checked_user_id
from ...protocol import messages as wire
from ...protocol.codec import Reply
from ...protocol.entries import msg_key_of
from ..integrations.before import DENIED_C2C
from ..messaging.history import PAGE_LIMIT_BYTES
from ..messaging.posting import PostResult
from ..messaging.repeats import named_over_rest
from ..messaging.send_options import c2c_options
from ..messaging.validation import OutgoingMessage
from ..store.base import c2c_timeline
from .c2c_receipts import with_receipts
from .long_mergers import addressed_body
from .read_receipts import mark_read
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

OFFLINE_CONVERSATIONS = 100  # the newest ones, for the sync of the web client
OFFLINE_MESSAGES = 20  # messages of one conversation; the client reads older ones from the history


def sender_of(context: RequestContext, named: str) -> str:
    """Return the sender: the caller, or the account that an administrator names.

    Raises:
        NoPermission: A caller who is no administrator names another account (90009).
    """
    if not named or named == context.user:
        return context.user
    if not context.admin:
        raise NoPermission(f"{context.user!r} cannot send as {named!r}; only an administrator can", code=90009)
    return checked_user_id(named)


@HANDLERS.serve(wire.SEND_C2C)
async def send(context: RequestContext, body: wire.SendC2CRequest) -> wire.SendC2CReply:
    """Send a C2C message, or look up a stored one (`TimelineAsk`)."""
    body.msg_body = await addressed_body(context, body.msg_body, sender_of(context, body.from_account))
    outgoing = c2c_message(context, body)
    key = ConversationKey(ConversationType.C2C, checked_user_id(body.to_account))
    try:
        posted = await context.services.poster.post(outgoing, key)
    except RateLimited:
        if context.session is not None:
            context.session.sends_refused = context.session.client.batch
        raise
    require_numbered(context, outgoing, posted, code=DENIED_C2C)
    return wire.SendC2CReply(
        msg_time=posted.time,
        msg_seq=outgoing.msg_seq,
        msg_random=body.msg_random,
        msg_key=f"{outgoing.msg_seq}_{body.msg_random}_{posted.time}",
        timeline_seq=posted.seq,
        sender=posted.sender,
    )


def require_numbered(context: RequestContext, outgoing: OutgoingMessage, posted: PostResult, *, code: int) -> None:
    """Refuse a message that the operator's back end dropped, to a timim client, whose store needs the seq of each message.

    Raises:
        ServerRefused: The message has no seq although it is not an online message.
    """
    session = context.session
    if posted.seq or outgoing.lookup_only or outgoing.options.online or session is None or not session.client.is_timim:
        return
    raise ServerRefused("the operator's back end refused the message without a reason", code=code)


def c2c_message(context: RequestContext, body: wire.SendC2CRequest) -> OutgoingMessage:
    """Return the message of a request. Over REST, equal requests within a window have the same name.

    Raises:
        NoPermission: A caller who is no administrator names another sender (90009).
        InvalidArgument: An option has a value that is not served (90001).
    """
    options = c2c_options(body, admin=context.admin, rest=context.session is None)
    outgoing = OutgoingMessage(
        sender=sender_of(context, body.from_account),
        msg_body=body.msg_body,
        msg_seq=body.msg_seq,
        random=body.msg_random,
        client_time=body.client_time,
        source=body.source,
        cloud_custom_data=body.cloud_custom_data,
        origin=context.session.number if context.session else 0,
        lookup_only=bool(body.ask),
        push=body.push,
        options=options,
        receipt=bool(body.receipt) and not options.online and not options.unsynced,  # else nobody could be told
        admin=context.user if context.admin else "",
    )
    return named_over_rest(outgoing, context.services.now(), group=False) if context.admin else outgoing


@HANDLERS.serve(wire.ROAM_C2C, paged=True)
async def roam(context: RequestContext, body: wire.RoamC2CRequest) -> wire.RoamC2CReply:
    """Return a page of C2C history; a range in seqs is a timim extension."""
    services, peer = context.services, checked_user_id(body.peer)
    limit = max(1, min(body.max_cnt, services.settings.history_page))
    if isinstance(body.timeline_range, tuple):
        first, last = body.timeline_range
        if first < 1:
            raise InvalidArgument(f"TimelineRange must begin at 1 or more, not at {first}", code=90001)
        page = await services.history.page(
            context.user, ConversationKey(ConversationType.C2C, peer), first, last, limit, until=body.until
        )
    elif body.direction == wire.NEWER:
        return await _newer(context, body, peer, limit)
    else:
        last = 1 << 62
        if body.last_msg_time or body.msg_key:
            last = await services.history.seq_before(context.user, peer, body.last_msg_time, body.msg_key)
        page = await services.history.c2c_messages(context.user, peer, 1, last, limit)
    oldest = page.stored[-1] if page.stored else None
    oldest_key = msg_key_of(oldest.tail, oldest.time) if oldest else ""
    messages = page.entries
    if not isinstance(body.timeline_range, tuple):
        messages = (await with_receipts(services, c2c_timeline(context.user, peer), page.entries, page.stored))[::-1]
    return wire.RoamC2CReply(
        complete=int(page.first <= page.floor),
        msg_cnt=len(messages),
        last_msg_time=oldest.time if oldest else 0,
        last_msg_key=oldest_key,
        msg_key=oldest_key,
        messages=messages,
        timeline_range=(page.first, page.last),
        timeline_floor=page.floor,
        timeline_last_seq=page.last_seq,
    )


async def _newer(context: RequestContext, body: wire.RoamC2CRequest, peer: str, limit: int) -> wire.RoamC2CReply:
    """Return the oldest messages from LastMsgTime on, or after the message with MsgKey; the last one names the next page."""
    history = context.services.history
    if body.msg_key:
        first = await history.seq_before(context.user, peer, body.last_msg_time, body.msg_key) + 2
    else:
        first = await history.seq_before(context.user, peer, body.last_msg_time - 1, "") + 1
    while True:  # until there is a message: the entries of an interval can all be actions
        page = await history.c2c_messages(context.user, peer, first, first + limit - 1, limit)
        complete = first + limit > page.last_seq
        if page.stored or complete:
            break
        first += limit
    newest = page.stored[0] if page.stored else None
    key = msg_key_of(newest.tail, newest.time) if newest else ""
    return wire.RoamC2CReply(
        complete=int(complete),
        msg_cnt=len(page.entries),
        last_msg_time=newest.time if newest else 0,
        last_msg_key=key,
        msg_key=key,
        messages=(await with_receipts(context.services, c2c_timeline(context.user, peer), page.entries, page.stored))[::-1],
        timeline_range=(page.first, page.last),
        timeline_floor=page.floor,
        timeline_last_seq=page.last_seq,
    )


@HANDLERS.serve(wire.OFFLINE_C2C, paged=True)
async def offline(context: RequestContext, body: wire.OfflineC2CRequest) -> wire.OfflineC2CReply:
    """Return the unread counts if `SyncFlag` is 0, otherwise the unread messages.

    The counts include messages beyond OFFLINE_MESSAGES and PAGE_LIMIT_BYTES, which the client reads from the history.
    """
    services, first = context.services, body.sync_flag == 0
    history = services.history
    messages: list[msgspec.Raw] = []
    counts: list[wire.PairUnread] = []
    size = 0
    contacts = await services.store.conversations.page(context.user, 0, OFFLINE_CONVERSATIONS)
    behind = [c for c in contacts if c.timeline.startswith("c2c\x1f") and c.last_seq > max(c.read_seq, c.floor - 1)]
    unread = await services.store.conversations.unread(context.user, [contact.timeline for contact in behind])
    for contact, count in zip(behind, unread, strict=True):
        _, one, other = contact.timeline.split("\x1f")
        peer = other if one == context.user else one
        if first and count.count:
            counts.append(wire.PairUnread(from_account=peer, unread=count.count))
        elif count.count and size < PAGE_LIMIT_BYTES:
            begin = contact.read_seq + 1
            page = await history.c2c_messages(context.user, peer, begin, contact.last_seq, OFFLINE_MESSAGES)
            messages += [
                entry for entry, stored in zip(page.entries, page.stored, strict=True) if not history.is_expired(stored)
            ][::-1]
            size += sum(len(stored.tail) for stored in page.stored)
    return wire.OfflineC2CReply(cookie=str(int(services.now())), sync_flag=1 if first else 2, messages=messages, unread=counts)


@HANDLERS.serve(wire.READ_C2C)
async def read(context: RequestContext, body: wire.ReadC2CRequest) -> Reply:
    """Mark C2C conversations as read."""
    for item in body.read.items:
        peer = checked_user_id(item.to_account)
        seq = item.read_seq
        if not seq:
            before = await context.services.history.seq_before(context.user, peer, item.last_time + 1, "")
            seq = max(before, 0)
        await mark_read(context, c2c_timeline(context.user, peer), seq, peer=peer)
    return Reply()
