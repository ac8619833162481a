"""Bodies about the members of a group: lists, joining and leaving, applications, cards and mutes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Door, Reply
from .groups import MEMBERS_AT_ONCE, MUTES, CustomField, GroupIdRequest, NewMember
from .numbers import Flag, Int, at_most
from .topics import TopicBody

REMOVED_AT_ONCE = 500  # limit of lists in requests

JOINED, ASKED = "JoinedSuccess", "WaitAdminApproval"
FAILED, ADDED, ALREADY_MEMBER, PENDING = 0, 1, 2, 3  # Result of one member in an AddMembersReply


class GetMembersRequest(Body):
    """A query for a page of members, in the order of joining. Offset counts members of the requested roles.

    Without a Limit a user gets 100 members, an administrator 6000.
    """

    group_id: str = msgspec.field(name="GroupId")
    limit: Int = msgspec.field(name="Limit", default=0)
    offset: Int = msgspec.field(name="Offset", default=0)
    roles: list[str] = msgspec.field(name="MemberRoleFilter", default_factory=list)


class GetNamedMembersRequest(Body):
    """A query for some members; users who are not in the group are left out."""

    group_id: str = msgspec.field(name="GroupId")
    users: list[str] = msgspec.field(name="Member_List_Account", default_factory=list)


class MemberInfo(msgspec.Struct, kw_only=True):
    """A member. ShutUpUntil is in server seconds, or 0 when the member may speak."""

    account: str = msgspec.field(name="Member_Account")
    role: str = msgspec.field(name="Role", default="Member")
    name_card: str = msgspec.field(name="NameCard", default="")
    joined: Int = msgspec.field(name="JoinTime", default=0)
    muted_until: Int = msgspec.field(name="ShutUpUntil", default=0)
    nick: str = msgspec.field(name="NickName", default="")
    face_url: str = msgspec.field(name="FaceUrl", default="")
    custom: list[CustomField] = msgspec.field(name="AppMemberDefinedData", default_factory=list)


class MembersReply(Reply):
    """A page of members. A page with fewer than Limit members is the last. MemberNum counts the members of all pages."""

    member_num: Int = msgspec.field(name="MemberNum", default=0)
    members: list[MemberInfo] = msgspec.field(name="MemberList", default_factory=list)


class AddMembersRequest(Body):
    """Add up to 100 members. Silence 1 (administrators only) sends no tip and no notice."""

    group_id: str = msgspec.field(name="GroupId")
    members: Annotated[list[NewMember], at_most(MEMBERS_AT_ONCE, least=1)] = msgspec.field(
        name="MemberList", default_factory=list
    )
    silence: Int = msgspec.field(name="Silence", default=0)


class AddMemberResult(msgspec.Struct, kw_only=True):
    """The result for one user: 0 unknown account or group full, 1 added, 2 already a member, 3 pending approval."""

    account: str = msgspec.field(name="Member_Account")
    result: Int = msgspec.field(name="Result", default=FAILED)
    code: Int = msgspec.field(name="TimelineCode", default=20003)  # of a failure (timim extension), and its text
    info: str = msgspec.field(name="TimelineInfo", default="")


class AddMembersReply(Reply):
    members: list[AddMemberResult] = msgspec.field(name="MemberList", default_factory=list)


class DeleteMembersRequest(Body):
    """Remove up to 500 members; other users are ignored."""

    group_id: str = msgspec.field(name="GroupId")
    users: Annotated[list[str], at_most(REMOVED_AT_ONCE, least=1)] = msgspec.field(
        name="MemberToDel_Account", default_factory=list
    )
    reason: str = msgspec.field(name="Reason", default="")
    silence: Int = msgspec.field(name="Silence", default=0)


class ModifyMemberRequest(TopicBody, kw_only=True):
    """Properties of a member to change. ShutUpTime is in seconds from now, 0 unmutes; an empty custom value removes a key.

    With a TopicId, only ShutUpTime, which mutes the member in that topic, and MsgFlag can change.
    """

    account: str = msgspec.field(name="Member_Account")
    role: str | msgspec.UnsetType = msgspec.field(name="Role", default=msgspec.UNSET)
    name_card: str | msgspec.UnsetType = msgspec.field(name="NameCard", default=msgspec.UNSET)
    mute_s: Int | msgspec.UnsetType = msgspec.field(name="ShutUpTime", default=msgspec.UNSET)
    # AcceptAndNotify; AcceptNotNotify or Discard mute the conversation for the member
    msg_flag: str | msgspec.UnsetType = msgspec.field(name="MsgFlag", default=msgspec.UNSET)
    custom: list[CustomField] = msgspec.field(name="AppMemberDefinedData", default_factory=list)


class JoinGroupRequest(Body):
    """Join a group, or apply for it. HugeGroupHistoryMsgFlag 1 asks for the recent messages of an AVChatRoom."""

    group_id: str = msgspec.field(name="GroupId")
    wording: str = msgspec.field(name="ApplyMsg", default="")
    user_field: str = msgspec.field(name="UserDefinedField", default="")
    recent: Flag = msgspec.field(name="HugeGroupHistoryMsgFlag", default=0)
    back: Flag = msgspec.field(name="TimelineBack", default=0)  # 1: a device is in a live room again after a lost connection


class JoinGroupReply(Reply):
    """The result of joining. JoinedStatus is "JoinedSuccess" or "WaitAdminApproval".

    HugeGroupFlag 1 and AVChatRoomKey, a text without a meaning for the server, tell Tencent's client that the group is an
    AVChatRoom. RspMsgList has its recent messages, the newest first.
    """

    joined: str = msgspec.field(name="JoinedStatus", default=JOINED)
    live: Int | msgspec.UnsetType = msgspec.field(name="HugeGroupFlag", default=msgspec.UNSET)
    live_key: str | msgspec.UnsetType = msgspec.field(name="AVChatRoomKey", default=msgspec.UNSET)
    messages: list[msgspec.Raw] | msgspec.UnsetType = msgspec.field(name="RspMsgList", default=msgspec.UNSET)


class HandleApplicationRequest(Body):
    """An owner's or admin's answer to an application. HandleMsg is "Agree" or "Reject"."""

    group_id: str = msgspec.field(name="GroupId")
    applicant: str = msgspec.field(name="Applicant_Account")
    action: str = msgspec.field(name="HandleMsg")
    wording: str = msgspec.field(name="ApprovalMsg", default="")
    authentication: str = msgspec.field(name="Authentication", default="")
    msg_key: Int = msgspec.field(name="MsgKey", default=0)


class HandleInvitationRequest(Body, kw_only=True):
    """An answer to an invitation: the member Applicant_Account invited the user Invited_Account."""

    group_id: str = msgspec.field(name="GroupId")
    applicant: str = msgspec.field(name="Applicant_Account", default="")
    invited: str = msgspec.field(name="Invited_Account")
    action: str = msgspec.field(name="HandleMsg")
    wording: str = msgspec.field(name="ApprovalMsg", default="")


GET_MEMBERS = Command(
    "group_open_http_svc.get_group_member_info", GetMembersRequest, MembersReply, doors=Door.BOTH, renamed=MUTES
)
GET_NAMED_MEMBERS = Command(
    "group_open_http_svc.get_specified_group_member_info", GetNamedMembersRequest, MembersReply, doors=Door.BOTH, renamed=MUTES
)
ADD_MEMBERS = Command("group_open_http_svc.add_group_member", AddMembersRequest, AddMembersReply, doors=Door.BOTH)
DELETE_MEMBERS = Command("group_open_http_svc.delete_group_member", DeleteMembersRequest, Reply, doors=Door.BOTH)
MODIFY_MEMBER = Command(
    "group_open_http_svc.modify_group_member_info", ModifyMemberRequest, Reply, doors=Door.BOTH, renamed=MUTES
)
JOIN_GROUP = Command("group_open_http_svc.apply_join_group", JoinGroupRequest, JoinGroupReply)
HANDLE_APPLICATION = Command("group_open_http_svc.handle_apply_join_group", HandleApplicationRequest, Reply)
HANDLE_INVITATION = Command("group_open_http_svc.handle_invite_join_permission_group", HandleInvitationRequest, Reply)
QUIT_GROUP = Command("group_open_http_svc.quit_group", GroupIdRequest, Reply)
