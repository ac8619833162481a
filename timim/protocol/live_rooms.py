"""Bodies about live rooms (AVChatRooms): bans, marks of members, and the members who are there now."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Door, Reply
from .numbers import Int, at_most

BANNED_AT_ONCE = 20
BANS_PAGE = 100
MARKED_AT_ONCE = 500
LIVE_PAGE = 500
SET_MARKS, CLEAR_MARKS = 1, 2


class BanMembersRequest(Body, kw_only=True):
    """Remove up to 20 users from a live room for `Duration` seconds, in which they cannot come back."""

    group_id: str = msgspec.field(name="GroupId")
    users: Annotated[list[str], at_most(BANNED_AT_ONCE, least=1)] = msgspec.field(name="Members_Account", default_factory=list)
    ban_s: Int = msgspec.field(name="Duration")
    reason: str = msgspec.field(name="Description", default="")


class UnbanMembersRequest(Body):
    """Let up to 20 users join a live room again; users who are not banned are ignored."""

    group_id: str = msgspec.field(name="GroupId")
    users: Annotated[list[str], at_most(BANNED_AT_ONCE, least=1)] = msgspec.field(name="Members_Account", default_factory=list)


class ListBansRequest(Body):
    """A page of the bans of a live room, 100 at most."""

    group_id: str = msgspec.field(name="GroupId")
    limit: Int = msgspec.field(name="Limit", default=0)
    offset: Int = msgspec.field(name="Offset", default=0)


class Ban(msgspec.Struct, kw_only=True):
    """A user who cannot join a live room until a time in server seconds."""

    user: str = msgspec.field(name="Member_Account")
    until: Int = msgspec.field(name="BannedUntil")


class ListBansReply(Reply):
    """Bans in the order in which they were made. NextOffset is 0 on the last page."""

    bans: list[Ban] = msgspec.field(name="BannedAccountList", default_factory=list)
    next: Int = msgspec.field(name="NextOffset", default=0)


class MarkedMember(msgspec.Struct, kw_only=True):
    """A member with marks: numbers from 1000 whose meaning the app gives."""

    user: str = msgspec.field(name="Member_Account")
    marks: list[Int] = msgspec.field(name="Marks", default_factory=list)


class MarkMembersRequest(Body, kw_only=True):
    """Set (CommandType 1) or clear (2) marks of up to 500 members."""

    group_id: str = msgspec.field(name="GroupId")
    kind: Int = msgspec.field(name="CommandType", default=SET_MARKS)
    members: Annotated[list[MarkedMember], at_most(MARKED_AT_ONCE, least=1)] = msgspec.field(
        name="MemberList", default_factory=list
    )


class MarkMembersReply(Reply):
    """Those of the users who are in the room, with all their marks now."""

    kind: Int = msgspec.field(name="CommandType", default=SET_MARKS)
    members: list[MarkedMember] = msgspec.field(name="MemberList", default_factory=list)


class LiveMembersRequest(Body):
    """A page of the members of a live room: all, or those with a mark. Timestamp is the NextTimestamp of the page before."""

    group_id: str = msgspec.field(name="GroupId")
    after: Int = msgspec.field(name="Timestamp", default=0)
    mark: Int = msgspec.field(name="Mark", default=0)


class LiveMemberItem(msgspec.Struct, kw_only=True):
    """A member of a live room."""

    user: str = msgspec.field(name="Member_Account")
    joined: Int = msgspec.field(name="JoinTime", default=0)
    nick: str = msgspec.field(name="NickName", default="")
    face_url: str = msgspec.field(name="Avatar", default="")
    marks: list[Int] = msgspec.field(name="Marks", default_factory=list)


class LiveMembersReply(Reply):
    """Members in the order of joining. NextTimestamp is 0 on the last page."""

    members: list[LiveMemberItem] = msgspec.field(name="MemberList", default_factory=list)
    next: Int = msgspec.field(name="NextTimestamp", default=0)


class JoinAsGuestRequest(Body):
    """A live room that a connection without a login joins."""

    group_id: str = msgspec.field(name="GroupId")


class JoinAsGuestReply(Reply):
    """LongPollingKey is the Key of requests for the messages of the room."""

    status: str = msgspec.field(name="JoinedStatus", default="JoinedSuccess")
    live: Int = msgspec.field(name="HugeGroupFlag", default=1)
    key: str = msgspec.field(name="LongPollingKey", default="")


class ReadAsGuestRequest(Body):
    """A request for the messages of a live room from StartSeq on (0: since joining), which waits up to HoldTime seconds.

    The server waits 10 s at most. A guest can get the newest 100 entries of a room.
    """

    key: str = msgspec.field(name="Key", default="")
    start_seq: Int = msgspec.field(name="StartSeq", default=0)
    hold_s: Int = msgspec.field(name="HoldTime", default=0)


class ReadAsGuestReply(Reply):
    """Messages, the oldest first, or none after the time to wait. NextSeq is the StartSeq of the next request."""

    key: str = msgspec.field(name="Key", default="")
    next_seq: Int = msgspec.field(name="NextSeq", default=0)
    messages: list[msgspec.Raw] = msgspec.field(name="RspMsgList", default_factory=list)


_GROUPS, _LIVE = "group_open_http_svc.", "group_open_avchatroom_http_svc."
BAN_MEMBERS = Command(_GROUPS + "ban_group_member", BanMembersRequest, Reply, doors=Door.BOTH)
UNBAN_MEMBERS = Command(_GROUPS + "unban_group_member", UnbanMembersRequest, Reply, doors=Door.BOTH)
LIST_BANS = Command(_GROUPS + "get_group_ban_member", ListBansRequest, ListBansReply, doors=Door.BOTH)
MARK_MEMBERS = Command(_LIVE + "modify_user_info", MarkMembersRequest, MarkMembersReply, doors=Door.BOTH)
LIVE_MEMBERS = Command(_LIVE + "get_members", LiveMembersRequest, LiveMembersReply, doors=Door.BOTH)
JOIN_AS_GUEST = Command("group_open_http_noauth_svc.apply_join_group", JoinAsGuestRequest, JoinAsGuestReply)
READ_AS_GUEST = Command("group_open_long_polling_http_noauth_svc.get_msg", ReadAsGuestRequest, ReadAsGuestReply)
