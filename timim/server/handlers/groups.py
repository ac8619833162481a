"""Groups (`group_open_http_svc`): making one, its facts and attributes, its end; speaking in it, reading it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import msgspec

from ...errors import InvalidArgument, LimitReached, NoPermission, NotAMember, TimimError
from ...ids import checked_group_id, checked_user_id
from ...protocol import groups as wire
from ...protocol import messages
from ...protocol.codec import Reply
from ...protocol.entries import MentionItem
from ...protocol.notices import GroupInfoChange
from ..messaging.validation import Draft
from ..social import group_rules
from ..social.group_permissions import (
    ADMIN,
    BY_APPROVAL,
    CLOSED,
    FREE,
    JOINING_FIXED,
    KINDS,
    MEMBER,
    OWNER,
    Act,
    demand,
    joining,
)
from ..social.group_rules import Actor, merged
from ..store.base import Group, Member, group_timeline
from .c2c import sender_of
from .profiles import acting
from .registry import TABLE, Call

NAME_LIMIT_BYTES = 30
TEXT_LIMITS_BYTES = {"introduction": 240, "notification": 300, "face_url": 500}
MEMBERS_AT_ONCE = 100
INFOS_AT_ONCE = 50
CUSTOM_LIMIT = 20
ATTRIBUTES_LIMIT = 16
KEY_LIMIT_BYTES = 32
VALUE_LIMIT_BYTES = 4000
PRIORITIES = ("High", "Normal", "Low", "Lowest")


async def actor_of(call: Call) -> Actor:
    """The caller as one who acts in groups."""
    return Actor(await call.services.directory.account(call.user), int(call.services.now()), admin=call.admin)


def bad(text: str, code: int = 10004) -> InvalidArgument:
    return InvalidArgument(text, code=code)


def fields_of(fields: Iterable[wire.CustomField]) -> dict[str, str]:
    """Custom fields as a dictionary. Raises InvalidArgument past the limits of a key and a value."""
    found = {field.key: field.value for field in fields}
    for key, value in found.items():
        if not 0 < len(key.encode()) <= KEY_LIMIT_BYTES or len(value.encode()) > VALUE_LIMIT_BYTES:
            raise bad(f"a field's key is 1 to {KEY_LIMIT_BYTES} bytes, its value at most {VALUE_LIMIT_BYTES}: {key[:40]!r}")
    return found


def _name(name: str) -> str:
    if not 0 < len(name.encode()) <= NAME_LIMIT_BYTES:
        raise bad(f"Name must be 1 to {NAME_LIMIT_BYTES} bytes long")
    return name


def _text(field: str, text: str) -> str:
    if (size := len(text.encode())) > TEXT_LIMITS_BYTES[field]:
        raise bad(f"{field} is {size} bytes long, the limit is {TEXT_LIMITS_BYTES[field]}")
    return text


def _joining(type: str, option: str) -> str:
    if option and option not in (FREE, BY_APPROVAL, CLOSED):
        raise bad(f"ApplyJoinOption must be one of {FREE}, {BY_APPROVAL}, {CLOSED}, not {option!r}")
    if option and KINDS[type] in JOINING_FIXED:
        raise bad(f"how one joins a {type} group is fixed: it has no ApplyJoinOption")
    return option


@TABLE.serve(wire.CREATE_GROUP)
async def create(call: Call, body: wire.CreateGroupRequest) -> wire.CreateGroupReply:
    if body.type not in KINDS:
        raise bad(f"Type must be one of {', '.join(KINDS)}, not {body.type!r}")
    if len(body.members) > MEMBERS_AT_ONCE:
        raise bad(f"at most {MEMBERS_AT_ONCE} members at once, not {len(body.members)}", code=10037)
    if body.group_id.startswith("@TGS#"):
        raise bad("GroupId must not begin with @TGS#: those are the server's", code=10015)
    limit = call.services.settings.group_members
    if not 0 <= body.max_members <= limit:
        raise bad(f"MaxMemberCount must be 1 to {limit}, not {body.max_members}")
    actor = await actor_of(call)
    owner = body.owner if call.admin else call.user
    members = {checked_user_id(owner): Member(OWNER, joined=actor.now)} if owner else {}
    for new in body.members:
        user = checked_user_id(new.account)
        await call.services.directory.account(user)
        role = new.role if call.admin and new.role else MEMBER
        if role not in (ADMIN, MEMBER):
            raise bad(f"Role must be {ADMIN} or {MEMBER}, not {role!r}")
        members.setdefault(user, Member(role, joined=actor.now))
    if len(members) > (body.max_members or limit):
        raise LimitReached(f"{len(members)} members are more than the group may have", code=10014)
    try:
        group_id = checked_group_id(body.group_id) if body.group_id else f"@TGS#{secrets.token_hex(8).upper()}"
    except InvalidArgument as exc:
        raise bad(exc.info, code=10015) from exc
    group = Group(
        group_id,
        body.type,
        _name(body.name),
        owner,
        actor.now,
        members,
        introduction=_text("introduction", body.introduction),
        notification=_text("notification", body.notification),
        face_url=_text("face_url", body.face_url),
        apply_option=_joining(body.type, body.apply_option),
        max_members=body.max_members,
        custom=merged({}, fields_of(body.custom), CUSTOM_LIMIT, "custom fields"),
    )
    await call.services.plans.carry_out(group_rules.created(actor, group))
    return wire.CreateGroupReply(group_id=group_id, type=body.type)


@TABLE.serve(wire.GET_GROUP_INFO)
async def get_info(call: Call, body: wire.GetGroupInfoRequest) -> wire.GetGroupInfoReply:
    return await _infos(call, body.group_ids, lambda group: demand(group, call.user, Act.READ))


@TABLE.serve(wire.GET_PUBLIC_INFO)
async def get_public_info(call: Call, body: wire.GetGroupInfoRequest) -> wire.GetGroupInfoReply:
    def demand_public(group: Group) -> None:
        if joining(group) == CLOSED and call.user not in group.members:
            raise NoPermission(f"group {group.group_id!r} is by invitation only")

    reply = await _infos(call, body.group_ids, demand_public)
    for info in reply.groups:
        info.notification, info.mute_all, info.custom, info.next_msg_seq = "", "Off", [], 0
    return reply


async def _infos(
    call: Call, group_ids: list[str], demanded: Callable[[Group], None], *, limit: int = INFOS_AT_ONCE
) -> wire.GetGroupInfoReply:
    if len(group_ids) > limit:
        raise bad(f"at most {limit} groups at once, not {len(group_ids)}")
    reply = wire.GetGroupInfoReply()
    for group_id in group_ids:
        try:
            group = await call.services.directory.group(group_id)
            if not call.admin:
                demanded(group)
            reply.groups.append(await group_info(call, group))
        except TimimError as exc:
            why = NotAMember.reason if isinstance(exc, NotAMember) else ""
            info = wire.GroupInfoItem(group_id=group_id, error_code=exc.code, error_info=exc.info, error_reason=why)
            reply.groups.append(info)
    return reply


@TABLE.serve(wire.LIST_JOINED)
async def list_joined(call: Call, body: wire.ListJoinedGroupsRequest) -> wire.ListJoinedGroupsReply:
    ids = await call.services.store.group_ids_of(acting(call, body.account))
    page = ids[body.offset : body.offset + max(1, min(body.limit or 100, 100))]
    groups = (await _infos(call, page, lambda _: None, limit=len(page))).groups
    return wire.ListJoinedGroupsReply(total=len(ids), groups=[group for group in groups if not group.error_code])


@TABLE.serve(wire.MODIFY_GROUP)
async def modify(call: Call, body: wire.ModifyGroupRequest) -> Reply:
    custom = fields_of(body.custom)
    actor = await actor_of(call)
    group = after = await call.services.directory.group(body.group_id)
    news = GroupInfoChange(
        name=body.name, introduction=body.introduction, notification=body.notification, face_url=body.face_url
    )
    if not isinstance(body.name, msgspec.UnsetType):
        after = replace(after, name=_name(body.name))
    if not isinstance(body.introduction, msgspec.UnsetType):
        after = replace(after, introduction=_text("introduction", body.introduction))
    if not isinstance(body.notification, msgspec.UnsetType):
        after = replace(after, notification=_text("notification", body.notification))
    if not isinstance(body.face_url, msgspec.UnsetType):
        after = replace(after, face_url=_text("face_url", body.face_url))
    if not isinstance(body.max_members, msgspec.UnsetType):
        if not 0 < body.max_members <= call.services.settings.group_members:
            raise bad(f"MaxMemberNum must be 1 to {call.services.settings.group_members}")
        after = replace(after, max_members=body.max_members)
    if not isinstance(body.apply_option, msgspec.UnsetType):
        news.join_option = body.apply_option
        after = replace(after, apply_option=_joining(group.type, body.apply_option))
    if custom:
        news.custom = merged(group.custom, custom, CUSTOM_LIMIT, "custom fields")
        after = replace(after, custom=news.custom)
    acts = [Act.EDIT] if news != GroupInfoChange() or after != group else []
    if not isinstance(body.mute_all, msgspec.UnsetType):
        if body.mute_all not in ("On", "Off"):
            raise bad(f"ShutUpAllMember must be On or Off, not {body.mute_all!r}")
        news.muted_all = int(body.mute_all == "On")
        after = replace(after, muted_all=body.mute_all == "On")
        acts.append(Act.MUTE)
    await call.services.plans.carry_out(group_rules.edited(actor, group, after, news, acts))
    return Reply()


@TABLE.serve(wire.CHANGE_OWNER)
async def change_owner(call: Call, body: wire.ChangeOwnerRequest) -> Reply:
    actor = await actor_of(call)
    group = await call.services.directory.group(body.group_id)
    await call.services.plans.carry_out(group_rules.passed_on(actor, group, body.new_owner))
    return Reply()


@TABLE.serve(wire.DESTROY_GROUP)
async def destroy(call: Call, body: wire.GroupIdRequest) -> Reply:
    actor = await actor_of(call)
    group = await call.services.directory.group(body.group_id)
    await call.services.plans.carry_out(group_rules.dissolved(actor, group))
    return Reply()


@TABLE.serve(wire.GET_ATTRIBUTES)
async def attributes(call: Call, body: wire.GroupIdRequest) -> wire.AttributesReply:
    group = await call.services.directory.group(body.group_id)
    if not call.admin:
        demand(group, call.user, Act.READ)
    return _told(group, group.attributes)


@TABLE.serve(wire.SET_ATTRIBUTES)
async def set_attributes(call: Call, body: wire.ModifyAttributesRequest) -> wire.AttributesReply:
    return await _attributes(call, body.group_id, _wanted(body), alone=True)


@TABLE.serve(wire.MODIFY_ATTRIBUTES)
async def modify_attributes(call: Call, body: wire.ModifyAttributesRequest) -> wire.AttributesReply:
    return await _attributes(call, body.group_id, _wanted(body))


@TABLE.serve(wire.DELETE_ATTRIBUTES)
async def delete_attributes(call: Call, body: wire.ModifyAttributesRequest) -> wire.AttributesReply:
    return await _attributes(call, body.group_id, {one.key: "" for one in body.attributes})


@TABLE.serve(wire.CLEAR_ATTRIBUTES)
async def clear_attributes(call: Call, body: wire.GroupIdRequest) -> wire.AttributesReply:
    return await _attributes(call, body.group_id, {}, alone=True)


def _wanted(body: wire.ModifyAttributesRequest) -> dict[str, str]:
    return fields_of(wire.CustomField(key=one.key, value=one.value) for one in body.attributes)


async def _attributes(call: Call, group_id: str, wanted: dict[str, str], *, alone: bool = False) -> wire.AttributesReply:
    """Set these; `alone`: and remove all others."""
    actor = await actor_of(call)
    group = await call.services.directory.group(group_id)
    after = merged({} if alone else group.attributes, wanted, ATTRIBUTES_LIMIT, "attributes")
    changed = replace(group, attributes=after, attributes_seq=group.attributes_seq + 1) if after != group.attributes else group
    plan = group_rules.edited(actor, group, changed, GroupInfoChange(attributes=after), [Act.EDIT])
    await call.services.plans.carry_out(plan)
    return _told(changed, {key: after.get(key, "") for key in wanted})


def _told(group: Group, attributes: Mapping[str, str]) -> wire.AttributesReply:
    seq = group.attributes_seq
    told = [wire.GroupAttribute(key=key, value=value, seq=seq) for key, value in attributes.items()]
    return wire.AttributesReply(main_seq=seq, attributes=told)


async def group_info(call: Call, group: Group) -> wire.GroupInfoItem:
    """A group's facts, as its members are told them."""
    page = await call.services.store.timeline_page(group_timeline(group.group_id), 1, 0, 1)
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
        max_member_num=group.max_members or call.services.settings.group_members,
        apply_option=joining(group),
        mute_all="On" if group.muted_all else "Off",
        custom=[wire.CustomField(key=key, value=value) for key, value in group.custom.items()],
    )


@TABLE.serve(messages.SEND_GROUP)
async def send(call: Call, body: messages.SendGroupRequest) -> messages.SendGroupReply:
    if body.priority not in PRIORITIES:
        raise InvalidArgument(f"MsgPriority must be one of {', '.join(PRIORITIES)}", code=10004)
    draft = Draft(
        sender=sender_of(call, body.from_account),
        msg_body=body.msg_body,
        msg_seq=0,
        random=body.random,
        client_time=body.client_time,
        cloud_custom_data=body.cloud_custom_data,
        priority=body.priority,
        origin=call.session.number if call.session else 0,
        ask=bool(body.ask),
        push=body.push,
        mentions=_mentions(call, body.mentions),
        receipt=bool(body.receipt),
    )
    posted = await call.services.timelines.post_group(draft, body.group_id)
    return messages.SendGroupReply(msg_time=posted.time, msg_seq=posted.seq, timeline_seq=posted.seq, sender=posted.sender)


def _mentions(call: Call, items: list[MentionItem]) -> tuple[str, ...]:
    """Who is mentioned, each once; "": everybody."""
    limit = call.services.settings.mentions_per_message
    found = dict.fromkeys("" if item.all_flag else checked_user_id(item.account) for item in items)
    if len(found) > limit:
        raise bad(f"a message mentions at most {limit} users, not {len(found)}")
    return tuple(found)


@TABLE.serve(messages.ROAM_GROUP)
async def roam(call: Call, body: messages.RoamGroupRequest) -> messages.RoamGroupReply:
    limit = max(1, min(body.number, call.services.settings.history_page))
    if isinstance(body.timeline_range, tuple):
        first, last = body.timeline_range
    else:
        first, last = 1, body.seq or 1 << 62
    plain = not isinstance(body.timeline_range, tuple)
    pages = call.services.pages
    page = await pages.group(call.user, body.group_id, first, last, limit, until=body.until, plain=plain)
    return messages.RoamGroupReply(
        group_id=body.group_id,
        is_finished=int(page.first <= page.floor),
        next_seq=page.first - 1 if page.first > page.floor else 0,
        messages=page.entries,
        timeline_range=(page.first, page.last),
        timeline_floor=page.floor,
        timeline_last_seq=page.last_seq,
    )
