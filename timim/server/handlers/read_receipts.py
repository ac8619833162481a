"""Handlers of read positions and read receipts. The read seq of a conversation never decreases.

A change is pushed to the user's other devices. It is also pushed to the peer in C2C, and in a group to the senders of messages
that request receipts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...errors import InvalidArgument, NoPermission, TimimError
from ...ids import checked_group_id, checked_user_id
from ...protocol import conversation_settings, session, tencent_events
from ...protocol import messages as wire
from ...protocol.codec import Reply, encode
from ...protocol.entries import decode_payload
from ...protocol.numbers import NUMBER_LIMIT
from ..bus.base import Event
from ..social.changesets import users_who_see
from ..store.base import Read, Receipt, c2c_timeline, group_timeline, system_timeline
from .read_reports import read_report
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

AT_ONCE = 500
READERS_AT_ONCE = 100


async def mark_read(
    context: RequestContext, timeline: str, seq: int, *, peer: str = "", group_id: str = "", system: bool = False
) -> Read:
    """Raise the caller's read seq, and notify the caller's other devices and the senders.

    Args:
        context: The request.
        timeline: The timeline of the conversation that the other arguments name.
        seq: The seq up to which the caller has read.
        peer: The other user of a C2C conversation.
        group_id: The group of a group conversation.
        system: True for the system conversation.
    """
    services = context.services
    report = await read_report(context, timeline, peer=peer, group_id=group_id)
    now = int(services.now())
    read = await services.store.conversations.set_read(context.user, timeline, seq, time=now, report=report.of_read)
    unread = read.unread
    notice = session.ReadNotice(
        peer=peer,
        group_id=group_id,
        system=int(system),
        read_seq=read.seq,
        unread=unread.count,
        mentioned=unread.mentioned,
        unread_seq=unread.last_seq,
    )
    time = await services.store.conversations.read_time(context.user, timeline) if peer and read.risen else 0
    plain: msgspec.Raw | None = None
    if peer and time:
        plain = tencent_events.c2c_read_event(peer, time)
    elif group_id:
        plain = tencent_events.group_read_event(group_id, read.seq)
    origin = context.session.number if context.session else 0
    services.bus.publish(Event((context.user,), session.EVENT_READ, msgspec.Raw(encode(notice)), origin, plain))
    if peer and read.risen:
        receipt = msgspec.Raw(encode(session.ReceiptNotice(peer=context.user, read_seq=read.seq)))
        services.bus.publish(
            Event((peer,), session.EVENT_RECEIPT, receipt, plain=tencent_events.peer_read_event(context.user, time))
        )
    await tell_receipts(context, read.receipts)
    report.on_stored()
    return read


async def tell_receipts(context: RequestContext, receipts: Sequence[Receipt]) -> None:
    """Push the number of readers to the sender of each receipt's message."""
    for receipt in receipts:
        notice = await notice_of(context, receipt)
        found = await context.services.store.timelines.entry(receipt.timeline, receipt.seq)
        plain: msgspec.Raw | None = None
        if found is not None and notice.group_id:
            plain = tencent_events.group_receipt_event(decode_payload(found.tail), notice)
        elif found is not None:
            plain = tencent_events.c2c_receipt_event(decode_payload(found.tail), notice.peer, receipt.time)
        raw = msgspec.Raw(encode(notice))
        context.services.bus.publish(Event((receipt.sender,), session.EVENT_RECEIPT, raw, plain=plain))


async def notice_of(context: RequestContext, receipt: Receipt) -> session.ReceiptNotice:
    """Return the notice for a receipt; in a group with the number of current members who have not read the message.

    Raises:
        UnknownGroup: The group was dissolved.
    """
    kind, *names = receipt.timeline.split("\x1f")
    if kind == "c2c":
        peer = names[1] if names[0] == receipt.sender else names[0]
        return session.ReceiptNotice(peer=peer, seq=receipt.seq, readers=receipt.readers)
    group_id = names[0]
    group = await context.services.entities.group_or_topic(group_id)
    may = sum(1 for _ in users_who_see(group, receipt.seq)) - (receipt.sender in group.members)
    others = max(0, may - receipt.readers)
    return session.ReceiptNotice(group_id=group_id, seq=receipt.seq, readers=receipt.readers, others=others)


@HANDLERS.serve(wire.READ_GROUP)
async def read_group(context: RequestContext, body: wire.ReadGroupRequest) -> Reply:
    """Mark a group conversation as read up to a seq."""
    await context.services.entities.group_for(context.user, body.group_id)
    await mark_read(context, group_timeline(body.group_id), body.read_seq, group_id=body.group_id)
    return Reply()


@HANDLERS.serve(conversation_settings.READ_CONVERSATIONS)
async def read_many(
    context: RequestContext, body: conversation_settings.ReadConversationsRequest
) -> conversation_settings.ReadConversationsReply:
    """Mark conversations as read, each up to a seq."""
    if len(body.items) > AT_ONCE:
        raise InvalidArgument(f"TimelineReads has {len(body.items)} conversations; the limit is {AT_ONCE}", code=90011)
    return conversation_settings.ReadConversationsReply(states=[await _read_one(context, item) for item in body.items])


async def _read_one(context: RequestContext, item: conversation_settings.ReadPosition) -> conversation_settings.ReadState:
    if item.group_id:
        await context.services.entities.group_for(context.user, item.group_id)
        read = await mark_read(context, group_timeline(item.group_id), item.read_seq, group_id=item.group_id)
    elif item.system:
        read = await mark_read(context, system_timeline(context.user), item.read_seq, system=True)
    else:
        peer = checked_user_id(item.peer)
        read = await mark_read(context, c2c_timeline(context.user, peer), item.read_seq, peer=peer)
    unread = read.unread
    return conversation_settings.ReadState(
        read_seq=read.seq, unread=unread.count, mentioned=unread.mentioned, unread_seq=unread.last_seq
    )


@HANDLERS.serve(conversation_settings.READ_ALL)
async def read_all(context: RequestContext, body: conversation_settings.ReadAllRequest) -> conversation_settings.ReadAllReply:
    """Mark all C2C conversations as read, or groups up to a seq each. A group that cannot be read has a code in the reply."""
    if len(body.groups) > AT_ONCE:
        raise InvalidArgument(f"GroupReadInfo has {len(body.groups)} groups; the limit is {AT_ONCE}", code=90011)
    reply = conversation_settings.ReadAllReply(all_c2c=body.all_c2c)
    if body.all_c2c:
        contacts = await context.services.store.conversations.page(context.user, 0, AT_ONCE)
        for contact in contacts:
            kind, *names = contact.timeline.split("\x1f")
            if kind == "c2c" and contact.last_seq > contact.read_seq:
                peer = names[1] if names[0] == context.user else names[0]
                await mark_read(context, contact.timeline, contact.last_seq, peer=peer)
    for item in body.groups:
        result = conversation_settings.GroupReadResult(group_id=item.group_id, seq=item.seq)
        try:
            await context.services.entities.group_for(context.user, item.group_id)
            await mark_read(context, group_timeline(item.group_id), item.seq, group_id=item.group_id)
        except TimimError as exc:
            result.code = exc.code
        reply.groups.append(result)
    return reply


@HANDLERS.serve(conversation_settings.COUNT_UNREAD)
async def count_unread(
    context: RequestContext, body: conversation_settings.CountUnreadRequest
) -> conversation_settings.CountUnreadReply:
    """Count unread messages, each conversation above a seq."""
    if len(body.items) > AT_ONCE:
        raise InvalidArgument(f"TimelineReads has {len(body.items)} conversations; the limit is {AT_ONCE}", code=90011)
    timelines: list[tuple[str, int]] = []
    for item in body.items:
        if item.group_id:
            await context.services.entities.group_for(context.user, item.group_id)
            timelines.append((group_timeline(item.group_id), item.after))
        elif item.system:
            timelines.append((system_timeline(context.user), item.after))
        else:
            timelines.append((c2c_timeline(context.user, checked_user_id(item.peer)), item.after))
    counts = await context.services.store.conversations.unread_above(context.user, timelines)
    return conversation_settings.CountUnreadReply(
        states=[
            conversation_settings.ReadState(
                read_seq=after, unread=unread.count, mentioned=unread.mentioned, unread_seq=unread.last_seq
            )
            for (_, after), unread in zip(timelines, counts, strict=True)
        ]
    )


@HANDLERS.serve(conversation_settings.SEND_RECEIPTS)
async def send_receipts(context: RequestContext, body: conversation_settings.SendReceiptsRequest) -> Reply:
    """Record the messages that the user of a web client has read. A timim client reports a read seq instead."""
    group = await context.services.entities.group_for(context.user, body.group_id)
    floor = group.first_visible_seq(context.user)
    seqs = [item.seq for item in body.items[:AT_ONCE] if item.seq >= floor]
    now = int(context.services.now())
    timeline = group_timeline(body.group_id)
    report = await read_report(context, timeline, group_id=body.group_id)
    receipts = await context.services.store.receipts.add(context.user, timeline, seqs, time=now, report=report.of_receipts)
    await tell_receipts(context, receipts)
    report.on_stored()
    return Reply()


@HANDLERS.serve(conversation_settings.GET_RECEIPTS)
async def get_receipts(
    context: RequestContext, body: conversation_settings.GetReceiptsRequest
) -> conversation_settings.GetReceiptsReply:
    """Return the number of readers of the caller's own messages in a group."""
    group_id = checked_group_id(body.group_id)
    await context.services.entities.group_for(context.user, group_id)
    seqs = [item.seq for item in body.items[:AT_ONCE]]
    found = await context.services.store.receipts.get(group_timeline(group_id), seqs)
    mine = [receipt for receipt in found if receipt.sender == context.user]
    reply = conversation_settings.GetReceiptsReply()
    for receipt in mine:
        notice = await notice_of(context, receipt)
        counts = conversation_settings.ReceiptItem(seq=receipt.seq, readers=notice.readers, others=notice.others)
        reply.receipts.append(counts)
    return reply


@HANDLERS.serve(conversation_settings.GET_READERS, paged=True)
async def get_readers(
    context: RequestContext, body: conversation_settings.GetReadersRequest
) -> conversation_settings.GetReadersReply:
    """Return a page of the members who have read a message, or of those who have not."""
    group_id, store = checked_group_id(body.group_id), context.services.store
    group = await context.services.entities.group_for(context.user, group_id)
    timeline = group_timeline(group_id)
    wanted = await store.receipts.get(timeline, [body.seq])
    if not wanted or wanted[0].sender != context.user:
        raise NoPermission("only the sender of a message that requests receipts can list its readers")
    try:
        at = int(body.cursor or 0)
    except ValueError:
        at = -1
    if not 0 <= at < NUMBER_LIMIT:
        raise InvalidArgument("Cursor must be empty or the Cursor of the previous reply", code=10004)
    count = max(1, min(body.count or READERS_AT_ONCE, READERS_AT_ONCE))
    if body.flag == 0:
        found = await store.receipts.readers(timeline, body.seq, at, count + 1)
        items = [conversation_settings.ReaderItem(account=user, time=time) for user, time in found[:count]]
        return conversation_settings.GetReadersReply(read=items, cursor=at + len(items), finished=int(len(found) <= count))
    have = {user for user, _ in await store.receipts.readers(timeline, body.seq, 0, len(group.members) + 1)} | {context.user}
    left = [user for user in users_who_see(group, body.seq) if user not in have]
    page = [conversation_settings.NonReaderItem(account=user) for user in left[at : at + count]]
    return conversation_settings.GetReadersReply(unread=page, cursor=at + len(page), finished=int(at + len(page) >= len(left)))
