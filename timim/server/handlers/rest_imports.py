"""Handlers of imports over REST: messages, groups and members of another system, with their own times.

An import causes neither a callback nor a notice. A message is stored at the end of its conversation, so the messages of a
conversation are imported in the order of their times, before users write new ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial
from typing import Annotated

import msgspec

from ...errors import InvalidArgument, LimitReached, MessageTooLong, NoPermission, TimimError
from ...ids import ConversationKey, ConversationType, checked_group_id, checked_user_id
from ...protocol import session, tencent_events
from ...protocol.codec import Body, Command, Door, Reply, encode
from ...protocol.entries import MessageControl
from ...protocol.group_members import ADDED, ALREADY_MEMBER, FAILED
from ...protocol.groups import CreateGroupReply, CreateGroupRequest
from ...protocol.numbers import Flag, Int, at_most
from ..bus.base import Event
from ..messaging.send_options import SendOptions
from ..messaging.validation import OutgoingMessage
from ..social.changesets import Changeset
from ..social.group_permissions import ADMIN, KINDS, MEMBER, OWNER
from ..store import mutations as ch
from ..store.base import Member, StoredGroup, TooOld, group_timeline
from .group_fields import bad, new_group
from .groups import check_creation
from .long_mergers import addressed_body
from .registry import HandlerRegistry, RequestContext, run_current

HANDLERS = HandlerRegistry()

HISTORY, LIVE = 2, (1, 5)  # values of SyncFromOldSystem; 1 is an older name of 5
MESSAGES_AT_ONCE, MEMBERS_AT_ONCE = 20, 500
NO_SYNC, WRONG_TIME, WRONG_GROUP_TIME, TOO_LONG, NOT_ALLOWED = 90030, 90006, 10004, 80002, 10007
FULL, TOO_MANY = 10014, 10005


class ImportMessageRequest(Body, kw_only=True):
    """A C2C message of the past. SyncFromOldSystem 2: neither unread nor pushed; 5: unread and pushed, as a new one."""

    sync: Int = msgspec.field(name="SyncFromOldSystem", default=0)
    from_account: str = msgspec.field(name="From_Account")
    to_account: str = msgspec.field(name="To_Account")
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom")
    time: Int = msgspec.field(name="MsgTimeStamp")
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")


class ImportGroupRequest(CreateGroupRequest):
    """A group of the past, with the time at which it was created; now if it is 0. Its members are imported later."""

    created: Int = msgspec.field(name="CreateTime", default=0)


class ImportedMessage(msgspec.Struct, kw_only=True):
    """A message of the past to a group."""

    sender: str = msgspec.field(name="From_Account")
    time: Int = msgspec.field(name="SendTime")
    random: Int = msgspec.field(name="Random", default=0)
    body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")


class ImportGroupMessagesRequest(Body):
    """Up to 20 messages, oldest first. RecentContactFlag 1: the last one is shown in the conversation list."""

    group_id: str = msgspec.field(name="GroupId")
    listed: Flag = msgspec.field(name="RecentContactFlag", default=0)
    messages: Annotated[list[ImportedMessage], at_most(MESSAGES_AT_ONCE, least=1)] = msgspec.field(
        name="MsgList", default_factory=list
    )


class ImportResult(msgspec.Struct, kw_only=True):
    """The seq and the time of a message; Result is 0, or the code of the reason why it was not stored."""

    seq: int = msgspec.field(name="MsgSeq", default=0)
    time: int = msgspec.field(name="MsgTime", default=0)
    result: int = msgspec.field(name="Result", default=0)


class ImportGroupMessagesReply(Reply):
    """The results in the order of the request."""

    results: list[ImportResult] = msgspec.field(name="ImportMsgResult", default_factory=list)


class ImportedMember(msgspec.Struct, kw_only=True):
    """A member, with the time of joining (now if it is 0) and the number of unread messages."""

    user: str = msgspec.field(name="Member_Account")
    role: str = msgspec.field(name="Role", default="")
    joined: Int = msgspec.field(name="JoinTime", default=0)
    unread: Int = msgspec.field(name="UnreadMsgNum", default=0)


class ImportMembersRequest(Body):
    """Members to add to a group without a tip and without notices."""

    group_id: str = msgspec.field(name="GroupId")
    members: Annotated[list[ImportedMember], at_most(MEMBERS_AT_ONCE, least=1)] = msgspec.field(
        name="MemberList", default_factory=list
    )


class MemberResult(msgspec.Struct, kw_only=True):
    """Result 0: the user was not added; 1: added; 2: was a member."""

    user: str = msgspec.field(name="Member_Account")
    result: int = msgspec.field(name="Result")


class ImportMembersReply(Reply):
    """The results in the order of the request."""

    members: list[MemberResult] = msgspec.field(name="MemberList", default_factory=list)


_GROUPS = "group_open_http_svc."
IMPORT_MESSAGE = Command("openim.importmsg", ImportMessageRequest, Reply, doors=Door.REST)
IMPORT_GROUP = Command(_GROUPS + "import_group", ImportGroupRequest, CreateGroupReply, doors=Door.REST)
IMPORT_GROUP_MESSAGES = Command(
    _GROUPS + "import_group_msg", ImportGroupMessagesRequest, ImportGroupMessagesReply, doors=Door.REST
)
IMPORT_MEMBERS = Command(_GROUPS + "import_group_member", ImportMembersRequest, ImportMembersReply, doors=Door.REST)


@HANDLERS.serve(IMPORT_MESSAGE)
async def import_message(context: RequestContext, body: ImportMessageRequest) -> Reply:
    """Store a C2C message of the past. A repetition with the same numbers and time changes nothing."""
    if body.sync != HISTORY and body.sync not in LIVE:
        raise InvalidArgument(f"SyncFromOldSystem must be 2 (history) or 5 (live), not {body.sync}", code=NO_SYNC)
    now = int(context.services.now())
    if not 0 < body.time <= now:
        raise InvalidArgument(f"MsgTimeStamp must be 1 to {now}, which is now, not {body.time}", code=WRONG_TIME)
    sender, receiver, live = checked_user_id(body.from_account), checked_user_id(body.to_account), body.sync in LIVE
    outgoing = OutgoingMessage(
        sender=sender,
        msg_body=await addressed_body(context, body.msg_body, sender),
        msg_seq=body.msg_seq,
        random=body.msg_random,
        client_time=0,
        cloud_custom_data=body.cloud_custom_data,
        options=SendOptions(control=MessageControl(no_unread=int(not live))),
        admin=context.user,
    )
    key = ConversationKey(ConversationType.C2C, receiver)
    name = f"{body.msg_seq}.{body.msg_random}.{body.time}"
    try:
        await context.services.importer.add(outgoing, key, time=body.time, name=name, live=live)
    except TooOld as exc:
        info = f"MsgTimeStamp {body.time} is too old: {exc.info}; import the messages of a conversation in order"
        raise InvalidArgument(info, code=WRONG_TIME) from exc
    return Reply()


@HANDLERS.serve(IMPORT_GROUP)
async def import_group(context: RequestContext, body: ImportGroupRequest) -> CreateGroupReply:
    """Create a group that was created earlier elsewhere, with its owner as the only member."""
    check_creation(context, body)
    _refuse_room(body.type, "imported")
    now = int(context.services.now())
    if not 0 <= body.created <= now:
        raise bad(f"CreateTime must be 0 to {now}, which is now, not {body.created}", code=WRONG_GROUP_TIME)
    if body.members:
        raise bad("MemberList is not supported by import_group; use import_group_member")
    owner, created = body.owner and checked_user_id(body.owner), body.created or now
    if owner:
        await context.services.entities.account(owner)
    group = new_group(context, body, owner, {owner: Member(OWNER, joined=created)} if owner else {}, created=created)
    await context.services.changesets.apply(Changeset([ch.InsertGroup(group)], unreported=True))
    return CreateGroupReply(group_id=group.group_id, type=group.type)


@HANDLERS.serve(IMPORT_GROUP_MESSAGES)
async def import_group_messages(context: RequestContext, body: ImportGroupMessagesRequest) -> ImportGroupMessagesReply:
    """Store messages of the past in a group. After it, no member has unread messages in the group."""
    if not 0 < len(body.messages) <= MESSAGES_AT_ONCE:
        raise bad(f"MsgList must have 1 to {MESSAGES_AT_ONCE} messages, not {len(body.messages)}")
    group = await context.services.entities.group(checked_group_id(body.group_id))
    _refuse_room(group.type, "filled by an import")
    reply, equal = ImportGroupMessagesReply(), Counter[bytes]()
    for message in body.messages:
        digest = _digest(message)
        equal[digest] += 1
        importing = partial(
            _import_group_message,
            context,
            group.group_id,
            message,
            f"{digest.hex()}.{equal[digest]}",
            listed=bool(body.listed),
        )
        try:
            reply.results.append(await run_current(context, importing))
        except TooOld:
            reply.results.append(ImportResult(result=WRONG_GROUP_TIME))
        except MessageTooLong:
            reply.results.append(ImportResult(result=TOO_LONG))
        except TimimError as exc:
            if not exc.code:
                raise
            reply.results.append(ImportResult(result=exc.code))
    if any(not one.result for one in reply.results):
        await _mark_all_read(context, group)
    return reply


def _digest(message: ImportedMessage) -> bytes:
    """Return a hash of a message, which names it together with the number of equal ones before it in the request."""
    digest = hashlib.blake2b(f"{message.sender}\0{message.time}\0{message.random}\0".encode(), digest_size=16)
    digest.update(bytes(message.body) + b"\0" + message.cloud_custom_data.encode())
    return digest.digest()


async def _import_group_message(
    context: RequestContext, group_id: str, message: ImportedMessage, name: str, *, listed: bool
) -> ImportResult:
    now = int(context.services.now())
    if not 0 < message.time <= now:
        raise bad(f"SendTime must be 1 to {now}, which is now, not {message.time}", code=WRONG_GROUP_TIME)
    sender = checked_user_id(message.sender)
    outgoing = OutgoingMessage(
        sender=sender,
        msg_body=await addressed_body(context, message.body, sender),
        msg_seq=0,
        random=message.random,
        client_time=0,
        cloud_custom_data=message.cloud_custom_data,
        options=SendOptions(control=MessageControl(no_unread=1, no_last=int(not listed))),
        admin=context.user,
    )
    key = ConversationKey(ConversationType.GROUP, group_id)
    appended = await context.services.importer.add(outgoing, key, time=message.time, name=name, live=False)
    return ImportResult(seq=appended.seq, time=appended.time)


async def _mark_all_read(context: RequestContext, group: StoredGroup) -> None:
    """Set the number of unread messages of all members to 0, and tell their devices."""
    services = context.services
    seq = await services.store.conversations.read_all(group_timeline(group.group_id), time=int(services.now()))
    notice = session.ReadNotice(group_id=group.group_id, read_seq=seq, unread_seq=seq)
    plain = tencent_events.group_read_event(group.group_id, seq)
    services.bus.publish(Event(tuple(group.members), session.EVENT_READ, msgspec.Raw(encode(notice)), plain=plain))


@HANDLERS.serve(IMPORT_MEMBERS)
async def import_members(context: RequestContext, body: ImportMembersRequest) -> ImportMembersReply:
    """Add members who joined a group earlier elsewhere. They see its history from the beginning."""
    if not 0 < len(body.members) <= MEMBERS_AT_ONCE:
        raise bad(f"MemberList must have 1 to {MEMBERS_AT_ONCE} members, not {len(body.members)}", code=TOO_MANY)
    results: dict[str, MemberResult] = {}
    wanted: dict[str, ImportedMember] = {}
    for one in body.members:
        if one.role not in ("", ADMIN, MEMBER):
            raise bad(f"Role must be {ADMIN} or {MEMBER}, not {one.role[:40]!r}")
        results[one.user] = MemberResult(user=one.user, result=FAILED)
        try:
            await context.services.entities.account(checked_user_id(one.user))
        except TimimError as exc:
            if not exc.code:
                raise
            continue
        wanted[one.user] = one
    added = await run_current(context, partial(_add_members, context, checked_group_id(body.group_id), wanted))
    conversations, timeline = context.services.store.conversations, group_timeline(body.group_id)
    for user, one in wanted.items():
        results[user].result = ADDED if user in added else ALREADY_MEMBER
        if user in added and one.unread > 0:
            await conversations.set_unread(user, timeline, one.unread, time=int(context.services.now()))
    return ImportMembersReply(members=list(results.values()))


async def _add_members(context: RequestContext, group_id: str, wanted: dict[str, ImportedMember]) -> set[str]:
    """Add those who are not members yet, and return them.

    Raises:
        InvalidArgument: A time of joining is not between the creation of the group and now (10004).
        LimitReached: The group is full (10014).
    """
    now, settings = int(context.services.now()), context.services.settings
    group = await context.services.entities.group(group_id)
    _refuse_room(group.type, "filled by an import")
    new = {user: one for user, one in wanted.items() if user not in group.members}
    for user, one in new.items():
        if one.joined and not group.created <= one.joined <= now:
            info = f"JoinTime of {user!r} must be {group.created}, when the group was created, to {now}, not {one.joined}"
            raise bad(info, code=WRONG_GROUP_TIME)
    limit = min(settings.group_members, group.max_members or settings.group_members)
    if len(group.members) + len(new) > limit:
        raise LimitReached(f"the group would have {len(group.members) + len(new)} members; its limit is {limit}", code=FULL)
    if new:
        members = {user: Member(one.role or MEMBER, joined=one.joined or now) for user, one in new.items()}
        changeset = Changeset([ch.InsertMembers(group_id, members, from_now=False)], unreported=True)
        changeset.change(*(ch.RemoveGroupApplication(group_id, user) for user in new if user in group.applications))
        await context.services.changesets.apply(changeset)
    return set(new)


def _refuse_room(type: str, done: str) -> None:
    if KINDS[type] == "AVChatRoom":
        raise NoPermission(f"an AVChatRoom cannot be {done}", code=NOT_ALLOWED)
