"""Decoding of elems that only the server sends. An unknown subtype is kept as a number.

Missing members are empty and unknown members are ignored, because servers of other versions send more or fewer members.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeVar

from ..elem_base import GroupNoticeType, GroupTipType, RelationType
from ..elems import GroupNoticeElem, GroupTipElem, RelationElem

TIP = GroupTipElem.wire_type
GROUP_NOTICE = GroupNoticeElem.wire_type
RELATION = RelationElem.wire_type
E = TypeVar("E", bound=IntEnum)


def decode_tip(content: dict[str, Any]) -> GroupTipElem:
    return GroupTipElem.received(
        type=_kind(GroupTipType, content["OpType"]),
        operator=content.get("Operator_Account", ""),
        users=tuple(content.get("List_Account", ())),
        member_count=content.get("MemberNum", 0),
        changes=content.get("MsgGroupNewInfo") or content.get("MsgTopicNewInfo", {}),
        member_changes={
            news["User_Account"]: {name: value for name, value in news.items() if name != "User_Account"}
            for news in content.get("MsgMemberInfo", ())
        },
        reason=content.get("TimelineReason", ""),
    )


def decode_group_notice(content: dict[str, Any]) -> GroupNoticeElem:
    return GroupNoticeElem.received(
        type=_kind(GroupNoticeType, content["ReportType"]),
        group_id=content.get("GroupId", ""),
        group_name=content.get("GroupName", ""),
        operator=content.get("Operator_Account", ""),
        users=tuple(content.get("TimelineUsers", ())),
        text=content.get("RemarkInfo", ""),
        user_field=content.get("UserDefinedField", ""),
    )


def decode_relation(content: dict[str, Any]) -> RelationElem:
    asked = content.get("PendencyAdd", ())
    users = [
        *content.get("FriendAdd_Account", ()),
        *content.get("FriendDel_Account", ()),
        *(one["PendencyAdd_Account"] for one in asked),
        *content.get("FrienPencydDel_Account", ()),
        *content.get("BlackListAdd_Account", ()),
        *content.get("BlackListDel_Account", ()),
        *content.get("TimelineChanged_Account", ()),
    ]
    if profile := content.get("Profile_Account"):
        users.append(profile)
    return RelationElem.received(
        type=_kind(RelationType, content["PushType"]),
        users=tuple(users),
        wording=asked[0].get("AddWording", "") if asked else "",
        source=asked[0].get("AddSource", "") if asked else "",
        profile={field["Tag"]: field.get("ValueBytes", "") for field in content.get("ProfileList", ())},
        profile_version=content.get("TimelineVersion", 0),
    )


def _kind(kinds: type[E], number: int) -> E | int:
    try:
        return kinds(number)
    except ValueError:
        return number
