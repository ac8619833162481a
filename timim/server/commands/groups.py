"""Groups (`group_open_http_svc`): creating one, speaking in it, reading it."""

from __future__ import annotations

import secrets

from ...errors import InvalidArgument
from ...ids import checked_group_id, checked_user_id
from ...wire import groups as wire
from ...wire import messages
from ..store.base import Group, Member
from ..timeline import Draft
from .openim import sender_of
from .table import TABLE, Call

GROUP_TYPES = ("Private", "Work", "Public", "ChatRoom", "Meeting", "AVChatRoom", "Community")
NAME_LIMIT_BYTES = 30
MEMBERS_AT_ONCE = 100
PRIORITIES = ("High", "Normal", "Low", "Lowest")


@TABLE.serve(wire.CREATE_GROUP)
async def create(call: Call, body: wire.CreateGroup) -> wire.CreateGroupReply:
    if body.type not in GROUP_TYPES:
        raise InvalidArgument(f"Type must be one of {', '.join(GROUP_TYPES)}, not {body.type!r}", code=10004)
    if not 0 < len(body.name.encode()) <= NAME_LIMIT_BYTES:
        raise InvalidArgument(f"Name must be 1 to {NAME_LIMIT_BYTES} bytes long", code=10004)
    if len(body.members) > MEMBERS_AT_ONCE:
        raise InvalidArgument(f"at most {MEMBERS_AT_ONCE} members at once, not {len(body.members)}", code=10037)
    owner = body.owner if call.admin else call.user
    members = {checked_user_id(owner): Member("Owner")} if owner else {}
    for new in body.members:
        user = checked_user_id(new.account)
        await call.services.directory.account(user)
        members.setdefault(user, Member(new.role if call.admin and new.role else "Member"))
    group_id = checked_group_id(body.group_id) if body.group_id else f"@TGS#{secrets.token_hex(8).upper()}"
    if body.group_id.startswith("@TGS#"):
        raise InvalidArgument("GroupId must not begin with @TGS#: those are the server's", code=10015)
    created = int(call.services.now())
    await call.services.directory.create_group(Group(group_id, body.type, body.name, owner, created, members))
    return wire.CreateGroupReply(group_id=group_id, type=body.type)


@TABLE.serve(messages.SEND_GROUP)
async def send(call: Call, body: messages.SendGroup) -> messages.SendGroupReply:
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
    )
    posted = await call.services.timelines.post_group(draft, body.group_id)
    return messages.SendGroupReply(msg_time=posted.time, msg_seq=posted.seq, timeline_seq=posted.seq, sender=posted.sender)


@TABLE.serve(messages.ROAM_GROUP)
async def roam(call: Call, body: messages.RoamGroup) -> messages.RoamGroupReply:
    limit = max(1, min(body.number, call.services.settings.history_page))
    if isinstance(body.timeline_range, tuple):
        first, last = body.timeline_range
    else:
        first, last = 1, body.seq or 1 << 62
    page = await call.services.timelines.read_group(call.user, body.group_id, first, last, limit, until=body.until)
    return messages.RoamGroupReply(
        group_id=body.group_id,
        is_finished=int(page.first <= page.floor),
        next_seq=page.first - 1 if page.first > page.floor else 0,
        messages=page.entries,
        timeline_range=(page.first, page.last),
        timeline_floor=page.floor,
        timeline_last_seq=page.last_seq,
    )
