"""Messages that the server writes (group tips, notices to users, changes of relations), and their forms in a push.

An entry of the server has one elem, `TIMGroupTipElem`, `TIMGroupSystemNoticeElem` or `TIMRelationElem`. In a push of Event 4
or 5, `MsgBody` is the content of that elem. In a push of Event 7 or 8, the entry is a member of the content
(`TimelineEntry`). Tencent's web client finds its own format there, and timim's client the same entry as in history.
"""

from __future__ import annotations

import msgspec

from . import session
from .codec import decode
from .entries import Entry
from .notice_elems import GROUP_NOTICE, RELATION, TIP
from .numbers import Int

__all__ = [
    "GROUP_NOTICE",
    "RELATION",
    "SERVER_ELEMS",
    "SYSTEM_ACCOUNT",
    "TIP",
    "FriendApplicationItem",
    "GroupInfoChange",
    "GroupNoticeContent",
    "GroupTipContent",
    "MemberInfoChange",
    "ProfileTag",
    "RelationContent",
    "TipMember",
    "TopicInfoChange",
    "as_push_item",
    "entry_from_push",
    "server_elem_body",
]

SERVER_ELEMS = frozenset((TIP, GROUP_NOTICE, RELATION))  # only the server may send these
SYSTEM_ACCOUNT = "@TIM#SYSTEM"


class TipMember(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A user named in a tip."""

    account: str = msgspec.field(name="UserId")
    nick: str = msgspec.field(name="NickName", default="")
    face_url: str = msgspec.field(name="ImageUrl", default="")


class MemberInfoChange(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The changed properties of a member. ShutupTime is in seconds, or 0 if the member may speak again."""

    account: str = msgspec.field(name="User_Account")
    muted_s: Int | msgspec.UnsetType = msgspec.field(name="ShutupTime", default=msgspec.UNSET)
    name_card: str | msgspec.UnsetType = msgspec.field(name="NameCard", default=msgspec.UNSET)
    custom: dict[str, str] | msgspec.UnsetType = msgspec.field(name="TimelineMemberCustom", default=msgspec.UNSET)


class GroupInfoChange(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The changed properties of a group."""

    name: str | msgspec.UnsetType = msgspec.field(name="GroupName", default=msgspec.UNSET)
    introduction: str | msgspec.UnsetType = msgspec.field(name="GroupIntroduction", default=msgspec.UNSET)
    notification: str | msgspec.UnsetType = msgspec.field(name="GroupNotification", default=msgspec.UNSET)
    face_url: str | msgspec.UnsetType = msgspec.field(name="GroupFaceUrl", default=msgspec.UNSET)
    owner: str | msgspec.UnsetType = msgspec.field(name="Owner_Account", default=msgspec.UNSET)
    join_option: str | msgspec.UnsetType = msgspec.field(name="GroupApplyJoinOption", default=msgspec.UNSET)
    muted_all: Int | msgspec.UnsetType = msgspec.field(name="ShutupAll", default=msgspec.UNSET)
    custom: dict[str, str] | msgspec.UnsetType = msgspec.field(name="TimelineCustom", default=msgspec.UNSET)
    attributes: dict[str, str] | msgspec.UnsetType = msgspec.field(name="TimelineAttributes", default=msgspec.UNSET)


class TopicInfoChange(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The changed properties of a topic."""

    name: str | msgspec.UnsetType = msgspec.field(name="TopicName", default=msgspec.UNSET)
    introduction: str | msgspec.UnsetType = msgspec.field(name="TopicIntroduction", default=msgspec.UNSET)
    notification: str | msgspec.UnsetType = msgspec.field(name="TopicNotification", default=msgspec.UNSET)
    face_url: str | msgspec.UnsetType = msgspec.field(name="TopicFaceUrl", default=msgspec.UNSET)
    custom: str | msgspec.UnsetType = msgspec.field(name="CustomString", default=msgspec.UNSET)
    muted_all: Int | msgspec.UnsetType = msgspec.field(name="ShutupAll", default=msgspec.UNSET)


class GroupTipContent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A change of a group or a topic.

    OpType: 1 join, 2 quit, 3 kick, 4 admin set, 5 admin unset, 6 group changed, 7 member changed, 8 topic changed.
    """

    op_type: Int = msgspec.field(name="OpType")
    operator: str = msgspec.field(name="Operator_Account", default="")
    users: list[str] = msgspec.field(name="List_Account", default_factory=list)
    member_info: list[TipMember] = msgspec.field(name="MsgMemberExtraInfo", default_factory=list)
    member_num: Int = msgspec.field(name="MemberNum", default=0)
    group: GroupInfoChange | msgspec.UnsetType = msgspec.field(name="MsgGroupNewInfo", default=msgspec.UNSET)
    members: list[MemberInfoChange] = msgspec.field(name="MsgMemberInfo", default_factory=list)
    topic: TopicInfoChange | msgspec.UnsetType = msgspec.field(name="MsgTopicNewInfo", default=msgspec.UNSET)
    reason: str = msgspec.field(name="TimelineReason", default="")


class GroupNoticeContent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A notice to one user, by ReportType. `TimelineUsers` names the affected users if they are not the receiver."""

    report_type: Int = msgspec.field(name="ReportType")
    group_id: str = msgspec.field(name="GroupId", default="")
    group_name: str = msgspec.field(name="GroupName", default="")
    operator: str = msgspec.field(name="Operator_Account", default="")
    remark: str = msgspec.field(name="RemarkInfo", default="")
    authentication: str = msgspec.field(name="Authentication", default="")
    msg_key: Int = msgspec.field(name="MsgKey", default=0)
    user_field: str = msgspec.field(name="UserDefinedField", default="")
    users: list[str] = msgspec.field(name="TimelineUsers", default_factory=list)


class FriendApplicationItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A friend application."""

    account: str = msgspec.field(name="PendencyAdd_Account")
    nick: str = msgspec.field(name="ProfileImNick", default="")
    source: str = msgspec.field(name="AddSource", default="")
    wording: str = msgspec.field(name="AddWording", default="")
    time: Int = msgspec.field(name="AddTime", default=0)


class ProfileTag(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A field of a profile in a notice to others."""

    tag: str = msgspec.field(name="Tag")
    value: str = msgspec.field(name="ValueBytes", default="")


class RelationContent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A change of relations, by PushType: 1 and 2 friends, 3 and 4 applications, 5 and 6 blacklist, 7 read, 8 profile.

    9 is a timim extension: a remark or the friend groups of a friend changed.
    """

    push_type: Int = msgspec.field(name="PushType")
    added: list[str] = msgspec.field(name="FriendAdd_Account", default_factory=list)
    deleted: list[str] = msgspec.field(name="FriendDel_Account", default_factory=list)
    asked: list[FriendApplicationItem] = msgspec.field(name="PendencyAdd", default_factory=list)
    answered: list[str] = msgspec.field(name="FrienPencydDel_Account", default_factory=list)  # Tencent's own spelling
    blocked: list[str] = msgspec.field(name="BlackListAdd_Account", default_factory=list)
    unblocked: list[str] = msgspec.field(name="BlackListDel_Account", default_factory=list)
    changed: list[str] = msgspec.field(name="TimelineChanged_Account", default_factory=list)
    profile: str = msgspec.field(name="Profile_Account", default="")
    profile_fields: list[ProfileTag] = msgspec.field(name="ProfileList", default_factory=list)
    version: Int = msgspec.field(name="TimelineVersion", default=0)


def server_elem_body(msg_type: str, content: bytes) -> bytes:
    """Return the `MsgBody` of an entry that the server writes."""
    return b'[{"MsgType":"%b","MsgContent":%b}]' % (msg_type.encode(), content)


def as_push_item(kind: int, entry: bytes, content: bytes, body: bytes) -> msgspec.Raw:
    """Convert a rendered entry, which ends with `body`, to the form of a push of this Event number."""
    if kind in (session.EVENT_GROUP_TIP, session.EVENT_GROUP_NOTICE):
        return msgspec.Raw(entry[: -len(body) - 1] + content + b"}")
    return msgspec.Raw(b'%b,"TimelineEntry":%b}' % (content[:-1], entry))


class _Wrapped(msgspec.Struct):
    entry: Entry = msgspec.field(name="TimelineEntry")


def entry_from_push(kind: int, raw: msgspec.Raw) -> Entry:
    """Decode the entry in a member of a push of this Event number. Raises ProtocolError."""
    if kind in (session.EVENT_GROUP_TIP, session.EVENT_GROUP_NOTICE):
        entry = decode(Entry, raw)
        msg_type = TIP if kind == session.EVENT_GROUP_TIP else GROUP_NOTICE
        entry.msg_body = msgspec.Raw(server_elem_body(msg_type, bytes(entry.msg_body)))
        return entry
    return decode(_Wrapped, raw).entry
