"""Bodies of groups: creating, fetching and changing them. Lists of members are in group_members.py."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Door, Reply
from .numbers import Flag, Int, at_most

MEMBERS_AT_ONCE, INFOS_AT_ONCE = 100, 50  # limits of lists in requests

MUTES = {"ShutUpTime": "MuteTime", "ShutUpUntil": "MuteUntil", "ShutUpAllMember": "MuteAllMember"}  # old and new names


class CustomField(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A custom field of a group or a member: a key and a text."""

    key: str = msgspec.field(name="Key")
    value: str = msgspec.field(name="Value", default="")


class NewMember(msgspec.Struct, kw_only=True, omit_defaults=True):
    account: str = msgspec.field(name="Member_Account")
    role: str = msgspec.field(name="Role", default="")


class CreateGroupRequest(Body):
    """Create a group. Without a GroupId the server assigns one (`@TGS#…`)."""

    type: str = msgspec.field(name="Type")
    name: str = msgspec.field(name="Name")
    group_id: str = msgspec.field(name="GroupId", default="")
    owner: str = msgspec.field(name="Owner_Account", default="")
    members: Annotated[list[NewMember], at_most(MEMBERS_AT_ONCE)] = msgspec.field(name="MemberList", default_factory=list)
    introduction: str = msgspec.field(name="Introduction", default="")
    notification: str = msgspec.field(name="Notification", default="")
    face_url: str = msgspec.field(name="FaceUrl", default="")
    max_members: Int = msgspec.field(name="MaxMemberCount", default=0)
    apply_option: str = msgspec.field(name="ApplyJoinOption", default="")
    custom: list[CustomField] = msgspec.field(name="AppDefinedData", default_factory=list)
    has_topics: Int = msgspec.field(name="SupportTopic", default=0)  # 1: a Community whose messages are in topics


class CreateGroupReply(Reply):
    group_id: str = msgspec.field(name="GroupId", default="")
    type: str = msgspec.field(name="Type", default="")


class GroupIdRequest(Body):
    """A command about one group without further parameters."""

    group_id: str = msgspec.field(name="GroupId")


class GetGroupInfoRequest(Body):
    """A query for the properties of up to 50 groups, by one of their members."""

    group_ids: Annotated[list[str], at_most(INFOS_AT_ONCE)] = msgspec.field(name="GroupIdList", default_factory=list)


class GroupInfoItem(msgspec.Struct, kw_only=True):
    """The properties of a group, or the error of fetching them."""

    error_code: Int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")
    error_reason: str = msgspec.field(name="ErrorReason", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    type: str = msgspec.field(name="Type", default="")
    name: str = msgspec.field(name="Name", default="")
    introduction: str = msgspec.field(name="Introduction", default="")
    notification: str = msgspec.field(name="Notification", default="")
    face_url: str = msgspec.field(name="FaceUrl", default="")
    owner: str = msgspec.field(name="Owner_Account", default="")
    created: Int = msgspec.field(name="CreateTime", default=0)
    next_msg_seq: Int = msgspec.field(name="NextMsgSeq", default=0)
    member_num: Int = msgspec.field(name="MemberNum", default=0)
    max_member_num: Int = msgspec.field(name="MaxMemberNum", default=0)
    apply_option: str = msgspec.field(name="ApplyJoinOption", default="")
    mute_all: str = msgspec.field(name="ShutUpAllMember", default="Off")
    custom: list[CustomField] = msgspec.field(name="AppDefinedData", default_factory=list)
    has_topics: Int = msgspec.field(name="SupportTopic", default=0)


class GetGroupInfoReply(Reply):
    groups: list[GroupInfoItem] = msgspec.field(name="GroupInfo", default_factory=list)


class ListJoinedGroupsRequest(Body):
    """A query for a page of at most `Limit` groups that an account is in. WithHugeGroups 1 includes AVChatRooms.

    SupportTopic 1 asks for the Communities that have topics, 0 for the other groups; without it, all groups are listed.
    """

    account: str = msgspec.field(name="Member_Account", default="")
    limit: Int = msgspec.field(name="Limit", default=100)
    offset: Int = msgspec.field(name="Offset", default=0)
    has_topics: Int | msgspec.UnsetType = msgspec.field(name="SupportTopic", default=msgspec.UNSET)
    with_live: Flag = msgspec.field(name="WithHugeGroups", default=0)


class ListJoinedGroupsReply(Reply):
    total: Int = msgspec.field(name="TotalCount", default=0)
    groups: list[GroupInfoItem] = msgspec.field(name="GroupIdList", default_factory=list)


class ModifyGroupRequest(Body):
    """Properties of a group to change. ShutUpAllMember is "On" or "Off"; an empty Value in AppDefinedData removes the key."""

    group_id: str = msgspec.field(name="GroupId")
    name: str | msgspec.UnsetType = msgspec.field(name="Name", default=msgspec.UNSET)
    introduction: str | msgspec.UnsetType = msgspec.field(name="Introduction", default=msgspec.UNSET)
    notification: str | msgspec.UnsetType = msgspec.field(name="Notification", default=msgspec.UNSET)
    face_url: str | msgspec.UnsetType = msgspec.field(name="FaceUrl", default=msgspec.UNSET)
    max_members: Int | msgspec.UnsetType = msgspec.field(name="MaxMemberNum", default=msgspec.UNSET)
    apply_option: str | msgspec.UnsetType = msgspec.field(name="ApplyJoinOption", default=msgspec.UNSET)
    mute_all: str | msgspec.UnsetType = msgspec.field(name="ShutUpAllMember", default=msgspec.UNSET)
    custom: list[CustomField] = msgspec.field(name="AppDefinedData", default_factory=list)


class ChangeOwnerRequest(Body):
    group_id: str = msgspec.field(name="GroupId")
    new_owner: str = msgspec.field(name="NewOwner_Account")


class GroupAttribute(msgspec.Struct, kw_only=True):
    """An attribute of a group: a key and a text that every client may read."""

    key: str
    value: str = ""
    seq: Int = 0


class ModifyAttributesRequest(Body):
    """Set attributes; an empty value removes one. `set_group_attr` also removes all attributes that are not named."""

    group_id: str = msgspec.field(name="GroupId")
    attributes: list[GroupAttribute] = msgspec.field(name="GroupAttr", default_factory=list)


class AttributesReply(Reply):
    """The requested or changed attributes. AttrMainSeq increases with each change of an attribute."""

    main_seq: Int = msgspec.field(name="AttrMainSeq", default=0)
    attributes: list[GroupAttribute] = msgspec.field(name="GroupAttrAry", default_factory=list)


CREATE_GROUP = Command("group_open_http_svc.create_group", CreateGroupRequest, CreateGroupReply, doors=Door.BOTH, renamed=MUTES)
GET_GROUP_INFO = Command(
    "group_open_http_svc.get_group_info", GetGroupInfoRequest, GetGroupInfoReply, doors=Door.BOTH, renamed=MUTES
)
GET_PUBLIC_INFO = Command("group_open_http_svc.get_group_public_info", GetGroupInfoRequest, GetGroupInfoReply)
LIST_JOINED = Command(
    "group_open_http_svc.get_joined_group_list", ListJoinedGroupsRequest, ListJoinedGroupsReply, doors=Door.BOTH, renamed=MUTES
)
MODIFY_GROUP = Command("group_open_http_svc.modify_group_base_info", ModifyGroupRequest, Reply, doors=Door.BOTH, renamed=MUTES)
CHANGE_OWNER = Command("group_open_http_svc.change_group_owner", ChangeOwnerRequest, Reply, doors=Door.BOTH)
DESTROY_GROUP = Command("group_open_http_svc.destroy_group", GroupIdRequest, Reply, doors=Door.BOTH)
GET_ATTRIBUTES = Command("group_open_attr_http_svc.get_group_attr", GroupIdRequest, AttributesReply, doors=Door.BOTH)
SET_ATTRIBUTES = Command("group_open_http_svc.set_group_attr", ModifyAttributesRequest, AttributesReply, doors=Door.BOTH)
MODIFY_ATTRIBUTES = Command("group_open_http_svc.modify_group_attr", ModifyAttributesRequest, AttributesReply, doors=Door.BOTH)
DELETE_ATTRIBUTES = Command("group_open_http_svc.delete_group_attr", ModifyAttributesRequest, AttributesReply, doors=Door.BOTH)
CLEAR_ATTRIBUTES = Command("group_open_http_svc.clear_group_attr", GroupIdRequest, AttributesReply, doors=Door.BOTH)
