"""Handlers of groups over REST (`group_open_http_svc`): all groups, roles, mutes, notices, messages, members who are online."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from ...elem_base import GroupNoticeType
from ...errors import NoPermission
from ...ids import checked_user_id
from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.entries import PLACEHOLDER_RECALLED, decode_payload
from ...protocol.groups import MUTES, GroupIdRequest
from ...protocol.notice_elems import TIP
from ...protocol.numbers import Flag, Int, at_most
from ...protocol.topics import TopicBody
from ..social import group_rules
from ..social.changesets import Changeset, group_notice
from ..social.group_permissions import KINDS, OWNER, STRANGER, Permission, is_allowed, role_of
from ..social.group_rules import MemberChange
from ..store.base import StoredEntry, group_timeline
from .group_fields import bad
from .group_members import MUTE_LIMIT_S
from .groups import PRIORITIES, actor_of
from .registry import HandlerRegistry, RequestContext, run_current

HANDLERS = HandlerRegistry()

GROUPS_AT_ONCE = 10_000
MEMBERS_AT_ONCE = 500
MESSAGES_AT_ONCE = 20
CONTENT_LIMIT_BYTES = 8 * 1024
TOO_MANY_ACCOUNTS, NO_PERMISSION = 10005, 10007


class ListGroupsRequest(Body):
    """A page of the groups of the app, of one type or of all."""

    limit: Int = msgspec.field(name="Limit", default=0)
    next: Int = msgspec.field(name="Next", default=0)
    type: str = msgspec.field(name="GroupType", default="")


class GroupIdItem(msgspec.Struct, kw_only=True):
    """A group of a list."""

    group_id: str = msgspec.field(name="GroupId")


class ListGroupsReply(Reply):
    """Groups by their ids. TotalCount counts those of all pages; Next is 0 on the last one."""

    total: int = msgspec.field(name="TotalCount", default=0)
    groups: list[GroupIdItem] = msgspec.field(name="GroupIdList", default_factory=list)
    next: int = msgspec.field(name="Next", default=0)


class GetRolesRequest(Body):
    """Users whose roles in a group are asked for."""

    group_id: str = msgspec.field(name="GroupId")
    users: Annotated[list[str], at_most(MEMBERS_AT_ONCE, least=1)] = msgspec.field(name="User_Account", default_factory=list)


class UserRole(msgspec.Struct, kw_only=True):
    """A user's role: Owner, Admin, Member or NotMember."""

    user: str = msgspec.field(name="Member_Account")
    role: str = msgspec.field(name="Role")


class GetRolesReply(Reply):
    """The roles in the order of the request."""

    roles: list[UserRole] = msgspec.field(name="UserIdList", default_factory=list)


class MuteMembersRequest(Body, kw_only=True):
    """Members to mute for `ShutUpTime` seconds; 0 ends their mute, 4294967295 is for ever."""

    group_id: str = msgspec.field(name="GroupId")
    users: Annotated[list[str], at_most(MEMBERS_AT_ONCE, least=1)] = msgspec.field(name="Members_Account", default_factory=list)
    mute_s: Int = msgspec.field(name="ShutUpTime")


class MutedMember(msgspec.Struct, kw_only=True):
    """A member who is muted until a time in server seconds."""

    user: str = msgspec.field(name="Member_Account")
    until: int = msgspec.field(name="ShuttedUntil")


class MutedMembersReply(Reply):
    """The members who are muted now."""

    members: list[MutedMember] = msgspec.field(name="ShuttedUinList", default_factory=list)


class NotifyGroupRequest(TopicBody, kw_only=True):
    """A text for some members of a group, or for all."""

    content: str = msgspec.field(name="Content")
    users: list[str] = msgspec.field(name="ToMembers_Account", default_factory=list)


class GroupMessagesRequest(TopicBody, kw_only=True):
    """The newest messages up to `ReqMsgSeq`. WithRecalledMsg 1 includes recalled ones."""

    count: Int = msgspec.field(name="ReqMsgNumber")
    seq: Int = msgspec.field(name="ReqMsgSeq", default=0)
    with_recalled: Flag = msgspec.field(name="WithRecalledMsg", default=0)


class RestGroupMessage(msgspec.Struct, kw_only=True):
    """A message of a group. IsPlaceMsg 2: it was recalled. IsSystemMsg 1: a change of the group."""

    sender: str = msgspec.field(name="From_Account")
    placeholder: int = msgspec.field(name="IsPlaceMsg")
    system: int = msgspec.field(name="IsSystemMsg")
    body: msgspec.Raw = msgspec.field(name="MsgBody")
    priority: int = msgspec.field(name="MsgPriority")
    random: int = msgspec.field(name="MsgRandom")
    seq: int = msgspec.field(name="MsgSeq")
    time: int = msgspec.field(name="MsgTimeStamp")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData")


class GroupMessagesReply(Reply):
    """Messages, newest first. IsFinished 1: there is no older one."""

    group_id: str = msgspec.field(name="GroupId", default="")
    finished: int = msgspec.field(name="IsFinished", default=1)
    messages: list[RestGroupMessage] = msgspec.field(name="RspMsgList", default_factory=list)


_GROUPS = "group_open_http_svc."
LIST_GROUPS = Command(_GROUPS + "get_appid_group_list", ListGroupsRequest, ListGroupsReply, doors=Door.REST)
GET_ROLES = Command(_GROUPS + "get_role_in_group", GetRolesRequest, GetRolesReply, doors=Door.REST)
MUTE_MEMBERS = Command(_GROUPS + "forbid_send_msg", MuteMembersRequest, Reply, doors=Door.REST, renamed=MUTES)
GET_MUTED = Command(
    _GROUPS + "get_group_shutted_uin",
    GroupIdRequest,
    MutedMembersReply,
    doors=Door.REST,
    aliases=(_GROUPS + "get_group_muted_account",),
    renamed={"ShuttedUinList": "MutedAccountList", "ShuttedUntil": "MutedUntil"},
)
NOTIFY_GROUP = Command(_GROUPS + "send_group_system_notification", NotifyGroupRequest, Reply, doors=Door.REST)
GET_MESSAGES = Command(_GROUPS + "group_msg_get_simple", GroupMessagesRequest, GroupMessagesReply, doors=Door.REST)


@HANDLERS.serve(LIST_GROUPS)
async def list_groups(context: RequestContext, body: ListGroupsRequest) -> ListGroupsReply:
    """Return a page of all groups. Next is the number of groups before the page."""
    if body.type and body.type not in KINDS:
        raise bad(f"GroupType must be one of {', '.join(KINDS)}, or empty for all, not {body.type[:40]!r}")
    types = [name for name, kind in KINDS.items() if kind == KINDS[body.type]] if body.type else []
    limit = min(body.limit, GROUPS_AT_ONCE) if body.limit > 0 else GROUPS_AT_ONCE
    begin = max(0, body.next)
    total, ids = await context.services.store.groups.page(types, begin, limit)
    end = begin + len(ids)
    items = [GroupIdItem(group_id=group_id) for group_id in ids]
    return ListGroupsReply(total=total, groups=items, next=end if ids and end < total else 0)


@HANDLERS.serve(GET_ROLES)
async def get_roles(context: RequestContext, body: GetRolesRequest) -> GetRolesReply:
    """Return the roles of users in a group."""
    _check_count(body.users, "User_Account")
    group = await context.services.entities.group(body.group_id)
    roles = {user: role_of(group, user) for user in body.users}
    return GetRolesReply(roles=[UserRole(user=user, role=_NAMES.get(role, role)) for user, role in roles.items()])


_NAMES = {STRANGER: "NotMember"}


@HANDLERS.serve(MUTE_MEMBERS)
async def mute_members(context: RequestContext, body: MuteMembersRequest) -> Reply:
    """Mute members, or end their mute. If one of them is not in the group, none is changed."""
    _check_count(body.users, "Members_Account")
    if not 0 <= body.mute_s <= MUTE_LIMIT_S:
        raise bad(f"ShutUpTime must be 0 to {MUTE_LIMIT_S} s, not {body.mute_s}")
    group = await context.services.entities.group(body.group_id)
    if not is_allowed(OWNER, group.type, Permission.MUTE):
        raise NoPermission(f"members of a {group.type} group cannot be muted", code=NO_PERMISSION)
    if strangers := [user for user in body.users if user not in group.members]:
        raise bad(f"{strangers[0]!r} is not in group {group.group_id!r}; name members only")
    for user in dict.fromkeys(body.users):
        await run_current(context, partial(_mute, context, group.group_id, user, body.mute_s))
    return Reply()


async def _mute(context: RequestContext, group_id: str, user: str, mute_s: int) -> None:
    actor = await actor_of(context)
    group = await context.services.entities.group(group_id)  # read last, because nothing may be awaited before the change
    await context.services.changesets.apply(group_rules.member_edited(actor, group, user, MemberChange(mute_s=mute_s)))


@HANDLERS.serve(GET_MUTED)
async def get_muted(context: RequestContext, body: GroupIdRequest) -> MutedMembersReply:
    """Return the members who are muted now."""
    group, now = await context.services.entities.group(body.group_id), context.services.now()
    muted = {user: member.muted_until for user, member in group.members.items() if member.muted_until > now}
    return MutedMembersReply(members=[MutedMember(user=user, until=until) for user, until in muted.items()])


@HANDLERS.serve(NOTIFY_GROUP)
async def notify_group(context: RequestContext, body: NotifyGroupRequest) -> Reply:
    """Send a notice with a text to members of a group. It is in their system conversations, not in the group."""
    if (size := len(body.content.encode())) > CONTENT_LIMIT_BYTES:
        raise bad(f"Content is {size} bytes long; the limit is {CONTENT_LIMIT_BYTES}", code=80002)
    group = await context.services.entities.group_or_topic(body.group_id)
    users = [checked_user_id(user) for user in dict.fromkeys(body.users)] or list(group.members)
    if strangers := [user for user in users if user not in group.members]:
        raise bad(f"{strangers[0]!r} of ToMembers_Account is not in group {group.group_id!r}; name members only")
    notices = [group_notice(user, group, context.user, GroupNoticeType.CUSTOM, user_field=body.content) for user in users]
    await context.services.changesets.apply(Changeset([], notices))
    return Reply()


@HANDLERS.serve(GET_MESSAGES, paged=True)
async def get_messages(context: RequestContext, body: GroupMessagesRequest) -> GroupMessagesReply:
    """Return messages of a group, newest first."""
    if not 0 < body.count <= MESSAGES_AT_ONCE:
        raise bad(f"ReqMsgNumber must be 1 to {MESSAGES_AT_ONCE}, not {body.count}")
    group = await context.services.entities.group_or_topic(body.group_id)
    last = body.seq if body.seq > 0 else 1 << 62
    page = await context.services.store.timelines.messages_before(group_timeline(group.group_id), last, 1, body.count)
    found = [_message(entry) for entry in page.entries]
    return GroupMessagesReply(
        group_id=group.group_id,
        finished=int(page.first <= page.floor),
        messages=[one for one in found if body.with_recalled or one.placeholder != PLACEHOLDER_RECALLED],
    )


def _message(entry: StoredEntry) -> RestGroupMessage:
    payload = decode_payload(entry.tail)
    return RestGroupMessage(
        sender=payload.from_account,
        placeholder=payload.placeholder,
        system=int(f'"MsgType":"{TIP}"'.encode() in bytes(payload.msg_body)[:80]),
        body=payload.msg_body,
        priority=PRIORITIES.index(payload.priority or "Normal") + 1,
        random=payload.msg_random,
        seq=entry.seq,
        time=entry.time,
        cloud_custom_data=payload.cloud_custom_data,
    )


def _check_count(users: list[str], name: str) -> None:
    if not 0 < len(users) <= MEMBERS_AT_ONCE:
        raise bad(f"{name} must have 1 to {MEMBERS_AT_ONCE} accounts, not {len(users)}", code=TOO_MANY_ACCOUNTS)
