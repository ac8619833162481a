"""Handlers of group members (`group_open_http_svc`): lists, joining, inviting, applications, cards, mutes, leaving."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from ...errors import Blacklisted, NoPermission, TimimError, UnknownUser
from ...ids import checked_user_id, community_of
from ...protocol import group_members as wire
from ...protocol.codec import Reply
from ...protocol.conversation_settings import MSG_FLAGS, NOTIFYING
from ...protocol.groups import MEMBERS_AT_ONCE, CustomField, GroupIdRequest
from ..social import group_rules, topic_rules
from ..social.group_permissions import Permission, is_live, require
from ..social.group_rules import MemberChange, merged
from ..store.base import ConversationChange, StoredAccount, StoredGroup
from .before import before_inviting, before_joining
from .conversation_settings import change as change_settings
from .group_fields import CUSTOM_LIMIT, bad, fields_of
from .groups import actor_of, require_unblocked
from .live_rooms import live_reply
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

PAGE = 100
ADMIN_PAGE = 6000
CARD_LIMIT_BYTES = 50
WORDING_LIMIT_BYTES = 300
MUTE_LIMIT_S = (1 << 32) - 1  # Tencent's value for a permanent mute


@HANDLERS.serve(wire.GET_MEMBERS, paged=True)
async def members(context: RequestContext, body: wire.GetMembersRequest) -> wire.MembersReply:
    """Return a page of a group's members, optionally of some roles only."""
    group = await _readable(context, body.group_id)
    users = [user for user, member in group.members.items() if not body.roles or member.role in body.roles]
    most = ADMIN_PAGE if context.admin else PAGE
    limit = min(body.limit, most) if body.limit > 0 else most
    page = users[max(0, body.offset) :][:limit]
    count = len(group.members) if context.admin else len(users)
    return wire.MembersReply(member_num=count, members=await _infos(context, group, page))


@HANDLERS.serve(wire.GET_NAMED_MEMBERS, paged=True)
async def named_members(context: RequestContext, body: wire.GetNamedMembersRequest) -> wire.MembersReply:
    """Return those of the given users who are members of a group."""
    group = await _readable(context, body.group_id)
    users = [user for user in body.users[: wire.REMOVED_AT_ONCE] if user in group.members]
    return wire.MembersReply(member_num=len(users), members=await _infos(context, group, users))


@HANDLERS.serve(wire.ADD_MEMBERS)
async def add(context: RequestContext, body: wire.AddMembersRequest) -> wire.AddMembersReply:
    """Add members to a group, or request the admins' approval."""
    if not 0 < len(body.members) <= MEMBERS_AT_ONCE:
        raise bad(f"MemberList must have 1 to {MEMBERS_AT_ONCE} members, not {len(body.members)}", code=10037)
    accounts: dict[str, StoredAccount] = {}
    failed: dict[str, TimimError] = {}
    failed |= await before_inviting(context, body.group_id, (new.account for new in body.members))
    for new in body.members:
        if new.account in failed:
            continue
        try:
            account = await context.services.entities.account(checked_user_id(new.account))
            await require_unblocked(context, account.user_id)
            accounts[new.account] = account
        except (UnknownUser, Blacklisted) as exc:
            failed[new.account] = exc
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    there = {user for user in accounts if user in group.members}
    limit = context.services.settings.group_members
    silent = context.admin and bool(body.silence)
    changeset, at_once = group_rules.invited(actor, group, list(accounts.values()), limit, silent=silent)
    await context.services.changesets.apply(changeset)
    results: dict[str, wire.AddMemberResult] = {}
    for new in body.members:
        result = results[new.account] = wire.AddMemberResult(account=new.account)
        if (error := failed.get(new.account)) is not None:
            result.code, result.info = error.code, error.info
        elif new.account in there:
            result.result = wire.ALREADY_MEMBER
        elif at_once and (context.admin or not accounts[new.account].asked_before_groups):
            result.result = wire.ADDED
        else:
            result.result = wire.PENDING
    return wire.AddMembersReply(members=list(results.values()))


@HANDLERS.serve(wire.DELETE_MEMBERS)
async def delete(context: RequestContext, body: wire.DeleteMembersRequest) -> Reply:
    """Remove members from a group."""
    if not 0 < len(body.users) <= wire.REMOVED_AT_ONCE:
        raise bad(f"MemberToDel_Account must have 1 to {wire.REMOVED_AT_ONCE} members, not {len(body.users)}", code=10038)
    reason = _wording(body.reason)
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    changeset = group_rules.kicked(actor, group, body.users, reason, silent=context.admin and bool(body.silence))
    await context.services.changesets.apply(changeset)
    return Reply()


@HANDLERS.serve(wire.MODIFY_MEMBER)
async def modify(context: RequestContext, body: wire.ModifyMemberRequest) -> Reply:
    """Change a member's role, name card, mute or custom fields, or whether the member is notified of messages."""
    card = None if isinstance(body.name_card, msgspec.UnsetType) else body.name_card
    if card is not None and (size := len(card.encode())) > CARD_LIMIT_BYTES:
        raise bad(f"NameCard is {size} bytes long; the limit is {CARD_LIMIT_BYTES}")
    mute_s = None if isinstance(body.mute_s, msgspec.UnsetType) else body.mute_s
    if mute_s is not None and not 0 <= mute_s <= MUTE_LIMIT_S:
        raise bad(f"ShutUpTime must be 0 to {MUTE_LIMIT_S} s, not {mute_s}")
    custom = fields_of(body.custom)
    has_role = not isinstance(body.role, msgspec.UnsetType)
    if not isinstance(body.msg_flag, msgspec.UnsetType):
        await _set_msg_flag(context, body.group_id, body.account, body.msg_flag)
        if card is None and mute_s is None and not custom and not has_role:
            return Reply()
    actor = await actor_of(context)
    if community_of(body.group_id):
        in_topic = await context.services.entities.group_or_topic(body.group_id)
        if mute_s is None or card is not None or custom or has_role:
            raise bad("a member has no role, name card or custom fields in a topic; leave TopicId out")
        await context.services.changesets.apply(topic_rules.member_muted(actor, in_topic, body.account, mute_s))
        return Reply()
    group = await context.services.entities.group(body.group_id)
    member = group.members.get(body.account)
    change = MemberChange(
        role=None if isinstance(body.role, msgspec.UnsetType) else body.role,
        name_card=card,
        mute_s=mute_s,
        custom=merged(member.custom, custom, CUSTOM_LIMIT, "custom fields") if custom and member else None,
    )
    await context.services.changesets.apply(group_rules.member_edited(actor, group, body.account, change))
    return Reply()


async def _set_msg_flag(context: RequestContext, group_id: str, user: str, flag: str) -> None:
    """Mute or unmute the conversation of a group or topic for a member: an administrator for any, a user for the own account.

    Raises:
        NotAMember: The user is not in the group.
        NoPermission: The user is another one.
        InvalidArgument: There is no such flag (10004).
    """
    if flag not in MSG_FLAGS:
        raise bad(f"MsgFlag must be one of {', '.join(MSG_FLAGS)}, not {flag[:40]!r}")
    if user != context.user and not context.admin:
        raise NoPermission(f"{context.user!r} may not change how {user!r} is notified")
    await context.services.entities.group_for(checked_user_id(user), group_id)
    wanted = ConversationChange(muted=flag != NOTIFYING)
    await change_settings(replace(context, user=user), wanted, group_id=group_id)


@HANDLERS.serve(wire.JOIN_GROUP, paged=True)
async def apply(context: RequestContext, body: wire.JoinGroupRequest) -> wire.JoinGroupReply:
    """Join a group, or apply to join."""
    wording = _wording(body.wording)
    group = await context.services.entities.group(body.group_id)
    if is_live(group) and context.user in group.members:  # Tencent's client joins at each login
        return await live_reply(context, group, recent=bool(body.recent))
    await before_joining(context, body.group_id)
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    limit = context.services.settings.group_members
    changeset, inside = group_rules.joined(actor, group, wording, limit, _wording(body.user_field))
    changeset.by_connection = bool(body.back) and is_live(group)
    await context.services.changesets.apply(changeset)
    if is_live(group):
        return await live_reply(context, group, recent=bool(body.recent))
    return wire.JoinGroupReply(joined=wire.JOINED if inside else wire.ASKED)


@HANDLERS.serve(wire.HANDLE_APPLICATION)
async def handle_apply(context: RequestContext, body: wire.HandleApplicationRequest) -> Reply:
    """Accept or reject an application to join a group."""
    await _answer_application(context, body.group_id, body.applicant, body.action, body.wording, inviting=False)
    return Reply()


@HANDLERS.serve(wire.HANDLE_INVITATION)
async def handle_invite(context: RequestContext, body: wire.HandleInvitationRequest) -> Reply:
    """Accept or reject an invitation that needs the admins' approval."""
    await _answer_application(context, body.group_id, body.invited, body.action, body.wording, inviting=True)
    return Reply()


@HANDLERS.serve(wire.QUIT_GROUP)
async def quit_group(context: RequestContext, body: GroupIdRequest) -> Reply:
    """Leave a group."""
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    await context.services.changesets.apply(group_rules.left(actor, group))
    return Reply()


async def _answer_application(
    context: RequestContext, group_id: str, user: str, action: str, wording: str, *, inviting: bool
) -> None:
    if action not in ("Agree", "Reject"):
        raise bad(f"HandleMsg must be Agree or Reject, not {action!r}")
    applicant = await context.services.entities.account(checked_user_id(user))
    actor = await actor_of(context)
    group = await context.services.entities.group(group_id)
    limit = context.services.settings.group_members
    changeset = group_rules.answered(
        actor, group, applicant, agree=action == "Agree", wording=_wording(wording), limit=limit, inviting=inviting
    )
    await context.services.changesets.apply(changeset)


async def _readable(context: RequestContext, group_id: str) -> StoredGroup:
    group = await context.services.entities.group(group_id)
    if not context.admin:
        require(group, context.user, Permission.READ)
    return group


async def _infos(context: RequestContext, group: StoredGroup, users: list[str]) -> list[wire.MemberInfo]:
    infos = []
    now = context.services.now()
    for user in users:
        account = await context.services.entities.account(user)
        member = group.members.get(user)
        if member is None:
            continue  # left while this page was read
        infos.append(
            wire.MemberInfo(
                account=user,
                role=member.role,
                name_card=member.name_card,
                joined=member.joined,
                muted_until=member.muted_until if member.muted_until > now else 0,
                nick=account.nickname,
                face_url=account.face_url,
                custom=[CustomField(key=key, value=value) for key, value in member.custom.items()],
            )
        )
    return infos


def _wording(text: str) -> str:
    if (size := len(text.encode())) > WORDING_LIMIT_BYTES:
        raise bad(f"the text of the application, answer or removal is {size} bytes long; the limit is {WORDING_LIMIT_BYTES}")
    return text
