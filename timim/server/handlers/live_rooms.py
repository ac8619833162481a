"""Handlers of live rooms (AVChatRooms): bans, marks and members, and the reply to joining."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...ids import checked_user_id
from ...protocol import group_members
from ...protocol import live_rooms as wire
from ...protocol.codec import Reply
from ...protocol.entries import EntryAction, MessageActionKind, decode_payload
from ...protocol.notice_elems import TIP
from ...protocol.session import EVENT_GROUP_MESSAGE
from ...protocol.tencent_events import guest_recall_event
from ..social import live_room_rules
from ..social.group_permissions import Permission, require
from ..social.group_rules import Actor
from ..store.base import ACTION, TARGETED, StoredEntry, StoredGroup, group_timeline
from .group_fields import bad
from .registry import HandlerRegistry, RequestContext, Services

HANDLERS = HandlerRegistry()

BAN_LIMIT_S = (1 << 32) - 1
REASON_LIMIT_BYTES = 300
FIRST_MARK, MARKS_END = 1000, 1 << 31  # Tencent reserves the lower numbers
RECENT = 20  # messages in the reply to joining
SEARCHED = 100  # entries in which they are found, because tips of joining are most entries of some rooms
_EVENT = b'{"Event":%d,' % EVENT_GROUP_MESSAGE  # without it, Tencent's client skips a message
_TIP = f'"MsgType":"{TIP}"'.encode()


async def live_reply(context: RequestContext, group: StoredGroup, *, recent: bool) -> group_members.JoinGroupReply:
    """Return the reply to a user who is in a live room now, with `recent` messages of the room."""
    reply = group_members.JoinGroupReply(live=1, live_key=group.group_id, messages=[])
    if recent:
        services = context.services
        page = await services.store.timelines.messages_before(group_timeline(group.group_id), 1 << 62, 1, SEARCHED)
        shown = [entry for entry in page.entries if _is_shown(entry)][:RECENT]
        entries = [services.history.render(entry, group=True) for entry in shown]
        reply.messages = [msgspec.Raw(_EVENT + bytes(entry)[1:]) for entry in entries]
    return reply


def guest_messages(services: Services, entries: Sequence[StoredEntry]) -> list[tuple[int, msgspec.Raw]]:
    """Return the messages of users to all members, and recalls of such messages, as guests get them, with their seqs.

    Recalls of messages that are not in `entries` are left out.
    """
    found: list[tuple[int, msgspec.Raw]] = []
    by_seq = {entry.seq: entry for entry in entries if entry.kind != TARGETED}
    for seq, entry in sorted(by_seq.items()):
        if entry.kind != ACTION:
            if _is_shown(entry):
                found.append((seq, msgspec.Raw(_EVENT + bytes(services.history.render(entry, group=True))[1:])))
            continue
        payload = decode_payload(entry.tail)
        act = payload.action
        if isinstance(act, EntryAction) and act.kind == MessageActionKind.RECALL and act.target in by_seq:
            target = by_seq[act.target]
            told = decode_payload(target.tail)
            event = guest_recall_event(told, seq=target.seq, time=target.time, recaller=payload.from_account)
            found.append((seq, event))
    return found


def _is_shown(entry: StoredEntry) -> bool:
    """Return True for a message of a user that was not recalled."""
    payload = decode_payload(entry.tail)
    return not payload.placeholder and _TIP not in bytes(payload.msg_body)[:80]


@HANDLERS.serve(wire.BAN_MEMBERS)
async def ban(context: RequestContext, body: wire.BanMembersRequest) -> Reply:
    """Ban users from a live room, and remove those who are in it."""
    users = _users(body.users)
    if not 0 < body.ban_s <= BAN_LIMIT_S:
        raise bad(f"Duration must be 1 to {BAN_LIMIT_S} s, not {body.ban_s}")
    if (size := len(body.reason.encode())) > REASON_LIMIT_BYTES:
        raise bad(f"Description is {size} bytes long; the limit is {REASON_LIMIT_BYTES}")
    for user in users:
        await context.services.entities.account(user)
    actor, group = await _actor(context), await context.services.entities.group(body.group_id)
    await context.services.changesets.apply(live_room_rules.banned(actor, group, users, body.ban_s, body.reason))
    return Reply()


@HANDLERS.serve(wire.UNBAN_MEMBERS)
async def unban(context: RequestContext, body: wire.UnbanMembersRequest) -> Reply:
    """End bans of users."""
    users = _users(body.users)
    actor, group = await _actor(context), await context.services.entities.group(body.group_id)
    await context.services.changesets.apply(live_room_rules.unbanned(actor, group, users))
    return Reply()


@HANDLERS.serve(wire.LIST_BANS)
async def list_bans(context: RequestContext, body: wire.ListBansRequest) -> wire.ListBansReply:
    """Return a page of the bans that are in force."""
    group = await _readable(context, body.group_id)
    now, begin = context.services.now(), max(0, body.offset)
    bans = [wire.Ban(user=user, until=until) for user, until in group.bans.items() if until > now]
    end = begin + (min(body.limit, wire.BANS_PAGE) if body.limit > 0 else wire.BANS_PAGE)
    return wire.ListBansReply(bans=bans[begin:end], next=end if end < len(bans) else 0)


@HANDLERS.serve(wire.MARK_MEMBERS)
async def mark(context: RequestContext, body: wire.MarkMembersRequest) -> wire.MarkMembersReply:
    """Set or clear marks of members."""
    if body.kind not in (wire.SET_MARKS, wire.CLEAR_MARKS):
        raise bad(f"CommandType must be {wire.SET_MARKS} (set) or {wire.CLEAR_MARKS} (clear), not {body.kind}")
    if not 0 < len(body.members) <= wire.MARKED_AT_ONCE:
        raise bad(f"MemberList must have 1 to {wire.MARKED_AT_ONCE} members, not {len(body.members)}", code=10005)
    wanted = {checked_user_id(item.user): item.marks for item in body.members}
    if wrong := [number for marks in wanted.values() for number in marks if not FIRST_MARK <= number < MARKS_END]:
        raise bad(f"Marks must be {FIRST_MARK} to {MARKS_END - 1}, not {wrong[0]}")
    actor, group = await _actor(context), await context.services.entities.group(body.group_id)
    changeset = live_room_rules.marked(actor, group, wanted, clear=body.kind == wire.CLEAR_MARKS)
    await context.services.changesets.apply(changeset)
    group = await context.services.entities.group(body.group_id)
    there = [wire.MarkedMember(user=user, marks=group.marks.get(user, [])) for user in wanted if user in group.members]
    return wire.MarkMembersReply(kind=body.kind, members=there)


@HANDLERS.serve(wire.LIVE_MEMBERS, paged=True)
async def live_members(context: RequestContext, body: wire.LiveMembersRequest) -> wire.LiveMembersReply:
    """Return a page of the members of a live room. The cursor is the number of members before the page."""
    group = await _readable(context, body.group_id)
    users = [user for user in group.members if not body.mark or body.mark in group.marks.get(user, ())]
    begin = max(0, body.after)
    end = begin + wire.LIVE_PAGE
    reply = wire.LiveMembersReply(next=end if end < len(users) else 0)
    for user in users[begin:end]:
        account = await context.services.entities.account(user)
        if (member := group.members.get(user)) is not None:  # not left while this page was read
            reply.members.append(
                wire.LiveMemberItem(
                    user=user,
                    joined=member.joined,
                    nick=account.nickname,
                    face_url=account.face_url,
                    marks=group.marks.get(user, []),
                )
            )
    return reply


async def _actor(context: RequestContext) -> Actor:
    return Actor(await context.services.entities.account(context.user), int(context.services.now()), admin=context.admin)


async def _readable(context: RequestContext, group_id: str) -> StoredGroup:
    group = await context.services.entities.group(group_id)
    if not context.admin:
        require(group, context.user, Permission.READ)
    return group


def _users(users: list[str]) -> list[str]:
    if not 0 < len(users) <= wire.BANNED_AT_ONCE:
        raise bad(f"Members_Account must have 1 to {wire.BANNED_AT_ONCE} accounts, not {len(users)}", code=10005)
    return [checked_user_id(user) for user in users]
