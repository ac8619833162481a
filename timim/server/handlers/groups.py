"""Handlers of groups (`group_open_http_svc`): creating, properties, attributes, dissolving, messages and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from ...errors import Blacklisted, InvalidArgument, LimitReached, NoPermission, NotAMember, TimimError
from ...ids import TOPIC_MARK, ConversationKey, ConversationType, checked_user_id
from ...protocol import groups as wire
from ...protocol import messages, tencent_events
from ...protocol.codec import Reply
from ...protocol.entries import MentionItem
from ...protocol.notices import GroupInfoChange
from ..integrations.before import DENIED_GROUP
from ..messaging.repeats import named_over_rest
from ..messaging.send_options import group_options
from ..messaging.validation import OutgoingMessage
from ..social import group_rules
from ..social.group_permissions import (
    ADMIN,
    CLOSED,
    KINDS,
    MEMBER,
    OWNER,
    Permission,
    join_option,
    require,
)
from ..social.group_rules import Actor, merged
from ..store.base import Member, StoredAccount, StoredGroup, group_timeline
from .before import before_creating
from .c2c import require_numbered, sender_of
from .group_fields import (
    COMMUNITY_ID,
    CUSTOM_LIMIT,
    GENERATED_ID,
    bad,
    checked_joining,
    checked_name,
    checked_text,
    fields_of,
    new_group,
)
from .group_state import publish
from .long_mergers import addressed_body
from .profiles import acting
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

CHOSEN_AT_ONCE = 20  # messages
ATTRIBUTES_LIMIT = 16
PRIORITIES = ("High", "Normal", "Low", "Lowest")


async def actor_of(context: RequestContext) -> Actor:
    """Return the caller as an actor for the rules of groups."""
    return Actor(await context.services.entities.account(context.user), int(context.services.now()), admin=context.admin)


async def require_unblocked(context: RequestContext, user: str) -> None:
    """Check that a user whom the caller adds to a group has not blocked the caller.

    Raises:
        Blacklisted: The user has blocked the caller (20007).
    """
    if not context.admin and context.user in (await context.services.entities.relationships(user)).blocked:
        raise Blacklisted(f"{context.user!r} is on the blacklist of {user!r}, and cannot add this user to a group")


def check_creation(context: RequestContext, body: wire.CreateGroupRequest) -> None:
    """Check the type, the id and the limits of a group that is to be created.

    Raises:
        InvalidArgument: One of them is invalid (10004, 10015, 10037).
    """
    if body.type not in KINDS:
        raise bad(f"Type must be one of {', '.join(KINDS)}, not {body.type!r}")
    if len(body.members) > wire.MEMBERS_AT_ONCE:
        raise bad(
            f"MemberList has {len(body.members)} members; the limit is {wire.MEMBERS_AT_ONCE}; add others later", code=10037
        )
    community = KINDS[body.type] == "Community"
    if body.group_id.startswith(GENERATED_ID) and not (community and body.group_id.startswith(COMMUNITY_ID)):
        raise bad("GroupId must not begin with @TGS#, which is reserved for ids that the server generates", code=10015)
    if TOPIC_MARK in body.group_id:
        raise bad(f"GroupId must not contain {TOPIC_MARK}, which is reserved for ids of topics", code=10015)
    if body.has_topics and not community:
        raise bad(f"SupportTopic is for a Community only, not for a {body.type} group; leave it out")
    if body.has_topics and body.group_id and not body.group_id.startswith(COMMUNITY_ID):
        raise bad(f"GroupId of a Community with topics must begin with {COMMUNITY_ID}", code=10015)
    limit = context.services.settings.group_members
    if not 0 <= body.max_members <= limit:
        raise bad(f"MaxMemberCount must be 0 (for the server's limit) to {limit}, not {body.max_members}")


@HANDLERS.serve(wire.CREATE_GROUP)
async def create(context: RequestContext, body: wire.CreateGroupRequest) -> wire.CreateGroupReply:
    """Create a group."""
    check_creation(context, body)
    limit = context.services.settings.group_members
    owner = body.owner if context.admin else context.user
    await before_creating(context, body, owner)
    actor = await actor_of(context)
    if not context.admin and (owned := await context.services.store.groups.owned(owner)) >= (
        quota := context.services.settings.groups_per_owner
    ):
        raise LimitReached(f"{owner!r} owns {owned} groups; the limit is {quota}; dissolve one", code=10014)
    members = {checked_user_id(owner): Member(OWNER, joined=actor.now)} if owner else {}
    asked: list[StoredAccount] = []
    for new in body.members:
        user = checked_user_id(new.account)
        account = await context.services.entities.account(user)
        await require_unblocked(context, user)
        role = new.role if context.admin and new.role else MEMBER
        if role not in (ADMIN, MEMBER):
            raise bad(f"Role must be {ADMIN} or {MEMBER}, not {role!r}")
        if account.asked_before_groups and user not in members and not context.admin:
            asked.append(account)
        else:
            members.setdefault(user, Member(role, joined=actor.now))
    if len(members) > (body.max_members or limit):
        raise LimitReached(f"the group would have {len(members)} members; its limit is {body.max_members or limit}", code=10014)
    group = new_group(context, body, owner, members, created=actor.now)
    await context.services.changesets.apply(group_rules.created(actor, group))
    if asked:
        group = await context.services.entities.group(group.group_id)
        await context.services.changesets.apply(group_rules.asked(actor, group, asked))
    return wire.CreateGroupReply(group_id=group.group_id, type=body.type)


@HANDLERS.serve(wire.GET_GROUP_INFO, paged=True)
async def get_info(context: RequestContext, body: wire.GetGroupInfoRequest) -> wire.GetGroupInfoReply:
    """Return the properties of groups that the caller is in; each group has its own code."""
    return await _infos(context, body.group_ids, lambda group: require(group, context.user, Permission.READ))


@HANDLERS.serve(wire.GET_PUBLIC_INFO)
async def get_public_info(context: RequestContext, body: wire.GetGroupInfoRequest) -> wire.GetGroupInfoReply:
    """Return the public properties of groups."""

    def demand_public(group: StoredGroup) -> None:
        if join_option(group) == CLOSED and context.user not in group.members:
            raise NoPermission(f"group {group.group_id!r} is closed; only its members can read its properties")

    reply = await _infos(context, body.group_ids, demand_public)
    for info in reply.groups:
        info.notification, info.mute_all, info.custom, info.next_msg_seq = "", "Off", [], 0
    return reply


async def _infos(
    context: RequestContext, group_ids: list[str], demanded: Callable[[StoredGroup], None], *, limit: int = wire.INFOS_AT_ONCE
) -> wire.GetGroupInfoReply:
    if len(group_ids) > limit:
        raise bad(f"GroupIdList has {len(group_ids)} groups; the limit is {limit}; split the request")
    reply = wire.GetGroupInfoReply()
    for group_id in group_ids:
        try:
            group = await context.services.entities.group(group_id)
            if not context.admin:
                demanded(group)
            reply.groups.append(await group_info(context, group))
        except TimimError as exc:
            why = NotAMember.reason if isinstance(exc, NotAMember) else ""
            info = wire.GroupInfoItem(group_id=group_id, error_code=exc.code, error_info=exc.info, error_reason=why)
            reply.groups.append(info)
    return reply


@HANDLERS.serve(wire.LIST_JOINED, paged=True)
async def list_joined(context: RequestContext, body: wire.ListJoinedGroupsRequest) -> wire.ListJoinedGroupsReply:
    """Return a page of the groups that an account is in."""
    ids = await context.services.store.groups.ids_of(acting(context, body.account), live=bool(body.with_live))
    if not isinstance(body.has_topics, msgspec.UnsetType):
        groups_ = [(group_id, await context.services.entities.group(group_id)) for group_id in ids]
        ids = [group_id for group_id, group in groups_ if group.has_topics == bool(body.has_topics)]
    page = ids[body.offset : body.offset + max(1, min(body.limit or 100, 100))]
    groups = (await _infos(context, page, lambda _: None, limit=len(page))).groups
    return wire.ListJoinedGroupsReply(total=len(ids), groups=[group for group in groups if not group.error_code])


@HANDLERS.serve(wire.MODIFY_GROUP)
async def modify(context: RequestContext, body: wire.ModifyGroupRequest) -> Reply:
    """Change the properties of a group."""
    custom = fields_of(body.custom)
    actor = await actor_of(context)
    group = after = await context.services.entities.group(body.group_id)
    news = GroupInfoChange(
        name=body.name, introduction=body.introduction, notification=body.notification, face_url=body.face_url
    )
    if not isinstance(body.name, msgspec.UnsetType):
        after = replace(after, name=checked_name(body.name))
    if not isinstance(body.introduction, msgspec.UnsetType):
        after = replace(after, introduction=checked_text("introduction", body.introduction))
    if not isinstance(body.notification, msgspec.UnsetType):
        after = replace(after, notification=checked_text("notification", body.notification))
    if not isinstance(body.face_url, msgspec.UnsetType):
        after = replace(after, face_url=checked_text("face_url", body.face_url))
    if not isinstance(body.max_members, msgspec.UnsetType):
        if not 0 < body.max_members <= context.services.settings.group_members:
            raise bad(f"MaxMemberNum must be 1 to {context.services.settings.group_members}, not {body.max_members}")
        after = replace(after, max_members=body.max_members)
    if not isinstance(body.apply_option, msgspec.UnsetType):
        news.join_option = body.apply_option
        after = replace(after, apply_option=checked_joining(group.type, body.apply_option))
    if custom:
        news.custom = merged(group.custom, custom, CUSTOM_LIMIT, "custom fields")
        after = replace(after, custom=news.custom)
    acts = [Permission.EDIT] if news != GroupInfoChange() or after != group else []
    if not isinstance(body.mute_all, msgspec.UnsetType):
        if body.mute_all not in ("On", "Off"):
            raise bad(f"ShutUpAllMember must be On or Off, not {body.mute_all!r}")
        news.muted_all = int(body.mute_all == "On")
        after = replace(after, muted_all=body.mute_all == "On")
        acts.append(Permission.MUTE)
    await context.services.changesets.apply(group_rules.edited(actor, group, after, news, acts))
    return Reply()


@HANDLERS.serve(wire.CHANGE_OWNER)
async def change_owner(context: RequestContext, body: wire.ChangeOwnerRequest) -> Reply:
    """Transfer a group to another member."""
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    await context.services.changesets.apply(group_rules.passed_on(actor, group, body.new_owner))
    return Reply()


@HANDLERS.serve(wire.DESTROY_GROUP)
async def destroy(context: RequestContext, body: wire.GroupIdRequest) -> Reply:
    """Dissolve a group."""
    actor = await actor_of(context)
    group = await context.services.entities.group(body.group_id)
    await context.services.changesets.apply(group_rules.dissolved(actor, group))
    return Reply()


@HANDLERS.serve(wire.GET_ATTRIBUTES, paged=True)
async def attributes(context: RequestContext, body: wire.GroupIdRequest) -> wire.AttributesReply:
    """Return the attributes of a group."""
    group = await context.services.entities.group(body.group_id)
    if not context.admin:
        require(group, context.user, Permission.READ)
    return _attributes_reply(group, group.attributes)


@HANDLERS.serve(wire.SET_ATTRIBUTES)
async def set_attributes(context: RequestContext, body: wire.ModifyAttributesRequest) -> wire.AttributesReply:
    """Replace all attributes of a group."""
    return await _attributes(context, body.group_id, _wanted(body), alone=True)


@HANDLERS.serve(wire.MODIFY_ATTRIBUTES)
async def modify_attributes(context: RequestContext, body: wire.ModifyAttributesRequest) -> wire.AttributesReply:
    """Set some attributes of a group."""
    return await _attributes(context, body.group_id, _wanted(body))


@HANDLERS.serve(wire.DELETE_ATTRIBUTES)
async def delete_attributes(context: RequestContext, body: wire.ModifyAttributesRequest) -> wire.AttributesReply:
    """Delete some attributes of a group."""
    return await _attributes(context, body.group_id, {one.key: "" for one in body.attributes})


@HANDLERS.serve(wire.CLEAR_ATTRIBUTES)
async def clear_attributes(context: RequestContext, body: wire.GroupIdRequest) -> wire.AttributesReply:
    """Delete all attributes of a group."""
    return await _attributes(context, body.group_id, {}, alone=True)


def _wanted(body: wire.ModifyAttributesRequest) -> dict[str, str]:
    return fields_of(wire.CustomField(key=one.key, value=one.value) for one in body.attributes)


async def _attributes(
    context: RequestContext, group_id: str, wanted: dict[str, str], *, alone: bool = False
) -> wire.AttributesReply:
    """Set attributes of a group, and remove all others if `alone`."""
    actor = await actor_of(context)
    group = await context.services.entities.group(group_id)
    after = merged({} if alone else group.attributes, wanted, ATTRIBUTES_LIMIT, "attributes")
    changed = replace(group, attributes=after, attributes_seq=group.attributes_seq + 1) if after != group.attributes else group
    changeset = group_rules.edited(actor, group, changed, GroupInfoChange(attributes=after), [Permission.EDIT])
    await context.services.changesets.apply(changeset)
    if changed is not group:
        publish(context, changed, tencent_events.attributes_event(group_id, changed.attributes_seq))
    return _attributes_reply(changed, {key: after.get(key, "") for key in wanted})


def _attributes_reply(group: StoredGroup, attributes: Mapping[str, str]) -> wire.AttributesReply:
    seq = group.attributes_seq
    items = [wire.GroupAttribute(key=key, value=value, seq=seq) for key, value in attributes.items()]
    return wire.AttributesReply(main_seq=seq, attributes=items)


async def group_info(context: RequestContext, group: StoredGroup) -> wire.GroupInfoItem:
    """Return a group's properties as its members see them."""
    page = await context.services.store.timelines.page(group_timeline(group.group_id), 1, 0, 1)
    return wire.GroupInfoItem(
        group_id=group.group_id,
        type=group.type,
        name=group.name,
        introduction=group.introduction,
        notification=group.notification,
        face_url=group.face_url,
        owner=group.owner,
        created=group.created,
        next_msg_seq=page.last_seq + 1,
        member_num=len(group.members),
        max_member_num=group.max_members or context.services.settings.group_members,
        apply_option=join_option(group),
        mute_all="On" if group.muted_all else "Off",
        custom=[wire.CustomField(key=key, value=value) for key, value in group.custom.items()],
        has_topics=int(group.has_topics),
    )


@HANDLERS.serve(messages.SEND_GROUP)
async def send(context: RequestContext, body: messages.SendGroupRequest) -> messages.SendGroupReply:
    """Send a message to a group, or look up a stored one (`TimelineAsk`)."""
    if body.priority not in PRIORITIES:
        raise InvalidArgument(f"MsgPriority must be one of {', '.join(PRIORITIES)}, not {body.priority[:40]!r}", code=10004)
    sender = sender_of(context, body.from_account)
    outgoing = OutgoingMessage(
        sender=sender,
        msg_body=await addressed_body(context, body.msg_body, sender),
        msg_seq=0,
        random=body.random,
        client_time=body.client_time,
        source=body.source,
        cloud_custom_data=body.cloud_custom_data,
        priority=body.priority,
        origin=context.session.number if context.session else 0,
        lookup_only=bool(body.ask),
        push=body.push,
        mentions=_mentions(context, body.mentions),
        receipt=bool(body.receipt),
        options=group_options(body, admin=context.admin),
        admin=context.user if context.admin else "",
    )
    if context.admin:
        outgoing = named_over_rest(outgoing, context.services.now(), group=True)
    posted = await context.services.poster.post(outgoing, ConversationKey(ConversationType.GROUP, body.group_id))
    require_numbered(context, outgoing, posted, code=DENIED_GROUP)
    return messages.SendGroupReply(msg_time=posted.time, msg_seq=posted.seq, timeline_seq=posted.seq, sender=posted.sender)


def _mentions(context: RequestContext, items: list[MentionItem]) -> tuple[str, ...]:
    """Return the mentioned users without duplicates; "" means all members."""
    limit = context.services.settings.mentions_per_message
    found = dict.fromkeys("" if item.all_flag else checked_user_id(item.account) for item in items)
    if len(found) > limit:
        raise bad(f"GroupAtInfo mentions {len(found)} users; the limit is {limit}")
    return tuple(found)


@HANDLERS.serve(messages.ROAM_GROUP, paged=True)
async def roam(context: RequestContext, body: messages.RoamGroupRequest) -> messages.RoamGroupReply:
    """Return a page of a group's history; a range in seqs is a timim extension."""
    if body.seqs:
        return await _chosen(context, body)
    limit = max(1, min(body.number, context.services.settings.history_page))
    if isinstance(body.timeline_range, tuple):
        first, last = body.timeline_range
    else:
        first, last = 1, body.seq or 1 << 62
    plain = not isinstance(body.timeline_range, tuple)
    key = ConversationKey(ConversationType.GROUP, body.group_id)
    page = await context.services.history.page(context.user, key, first, last, limit, until=body.until, plain=plain)
    return messages.RoamGroupReply(
        group_id=body.group_id,
        is_finished=int(page.first <= page.floor),
        next_seq=page.first - 1 if page.first > page.floor else 0,
        messages=page.entries,
        timeline_range=(page.first, page.last),
        timeline_floor=page.floor,
        timeline_last_seq=page.last_seq,
    )


async def _chosen(context: RequestContext, body: messages.RoamGroupRequest) -> messages.RoamGroupReply:
    """Return the messages with the seqs of the request, which the caller may see."""
    key, reply = ConversationKey(ConversationType.GROUP, body.group_id), messages.RoamGroupReply(group_id=body.group_id)
    for seq in body.seqs[:CHOSEN_AT_ONCE]:
        page = await context.services.history.page(context.user, key, seq, seq, 1, plain=True)
        reply.messages += page.entries
    return reply
