"""What Tencent's web client asks at login besides messages and conversations. Names and shapes are its own."""

from __future__ import annotations

from typing import Any

import msgspec

from .codec import Body, Command, Reply


class UserItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Whose profile, and which versions of it the client has."""

    to_account: str = msgspec.field(name="To_Account")
    standard_sequence: int = msgspec.field(name="StandardSequence", default=0)
    custom_sequence: int = msgspec.field(name="CustomSequence", default=0)


class GetProfiles(Body):
    """Profiles of these users, all fields."""

    items: list[UserItem] = msgspec.field(name="UserItem", default_factory=list)


class ProfileItem(msgspec.Struct, kw_only=True):
    """One field of a profile: `Tag_Profile_IM_Nick`, `Tag_Profile_IM_Image`, …"""

    tag: str = msgspec.field(name="Tag")
    value: str | int = msgspec.field(name="Value")


class UserProfile(msgspec.Struct, kw_only=True):
    to_account: str = msgspec.field(name="To_Account")
    items: list[ProfileItem] = msgspec.field(name="ProfileItem", default_factory=list)
    code: int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class GetProfilesReply(Reply):
    """A user that does not exist is left out."""

    items: list[UserProfile] = msgspec.field(name="UserProfileItem", default_factory=list)


class ListPage(Body):
    """A page of a list of one's own: who is refused, friends."""

    from_account: str = msgspec.field(name="From_Account", default="")
    start_index: int = msgspec.field(name="StartIndex", default=0)
    limit: int = msgspec.field(name="MaxLimited", default=100)


class BlackListReply(Reply):
    """StartIndex 0: there is no other page; without it the client asks for ever."""

    items: list[dict[str, Any]] = msgspec.field(name="BlackListItem", default_factory=list)
    start_index: int = msgspec.field(name="StartIndex", default=0)


class FriendsReply(Reply):
    """CompleteFlag 1: the last page."""

    items: list[dict[str, Any]] = msgspec.field(name="UserDataItem", default_factory=list)
    complete_flag: int = msgspec.field(name="CompleteFlag", default=1)
    next_start_index: int = msgspec.field(name="NextStartIndex", default=0)
    friend_num: int = msgspec.field(name="FriendNum", default=0)


class FriendGroupsReply(Reply):
    items: list[dict[str, Any]] = msgspec.field(name="ResultItem", default_factory=list)
    current_sequence: int = msgspec.field(name="CurrentSequence", default=0)


class PendencyReply(Reply):
    """Applications for friendship."""

    items: list[dict[str, Any]] = msgspec.field(name="PendencyItem", default_factory=list)
    start_time: int = msgspec.field(name="StartTime", default=0)
    unread: int = msgspec.field(name="UnreadPendencyCount", default=0)
    current_sequence: int = msgspec.field(name="CurrentPendencySequence", default=0)


class ContactGroupsReply(Reply):
    """Groups of conversations, which a user may make in the web client."""

    items: list[dict[str, Any]] = msgspec.field(name="ContactGroupItem", default_factory=list)
    complete_flag: int = msgspec.field(name="CompleteFlag", default=1)
    start_index: int = msgspec.field(name="StartIndex", default=0)


class JoinedGroups(Body):
    """A page of the groups that one is in."""

    member: str = msgspec.field(name="Member_Account", default="")
    limit: int = msgspec.field(name="Limit", default=200)
    offset: int = msgspec.field(name="Offset", default=0)


class SelfInfo(msgspec.Struct, kw_only=True):
    """What one is in a group."""

    role: str = msgspec.field(name="Role")
    join_time: int = msgspec.field(name="JoinTime", default=0)
    msg_seq: int = msgspec.field(name="MsgSeq", default=0)
    msg_flag: str = msgspec.field(name="MsgFlag", default="AcceptAndNotify")
    unread: int = msgspec.field(name="UnreadMsgNum", default=0)


class GroupProfile(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A group, as its members see it."""

    group_id: str = msgspec.field(name="GroupId")
    type: str = msgspec.field(name="Type")
    name: str = msgspec.field(name="Name")
    owner: str = msgspec.field(name="Owner_Account", default="")
    created: int = msgspec.field(name="CreateTime", default=0)
    member_num: int = msgspec.field(name="MemberNum", default=0)
    last_msg_time: int = msgspec.field(name="LastMsgTime", default=0)
    next_msg_seq: int = msgspec.field(name="NextMsgSeq", default=1)
    self_info: SelfInfo | msgspec.UnsetType = msgspec.field(name="SelfInfo", default=msgspec.UNSET)
    error_code: int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")


class JoinedGroupsReply(Reply):
    total: int = msgspec.field(name="TotalCount", default=0)
    items: list[GroupProfile] = msgspec.field(name="GroupIdList", default_factory=list)


class GroupInfo(Body):
    """Of these groups."""

    ids: list[str] = msgspec.field(name="GroupIdList", default_factory=list)


class GroupInfoReply(Reply):
    """A group that cannot be told of has an ErrorCode of its own."""

    items: list[GroupProfile] = msgspec.field(name="GroupInfo", default_factory=list)


class OwnGroupsReply(Reply):
    """The same, with what the asker is in each."""

    items: list[GroupProfile] = msgspec.field(name="GroupIdList", default_factory=list)


class OneGroup(Body):
    """A page of a group's members."""

    group_id: str = msgspec.field(name="GroupId")
    limit: int = msgspec.field(name="Limit", default=100)
    offset: int = msgspec.field(name="Offset", default=0)


class MemberProfile(msgspec.Struct, kw_only=True, omit_defaults=True):
    account: str = msgspec.field(name="Member_Account")
    role: str = msgspec.field(name="Role")
    name_card: str = msgspec.field(name="NameCard", default="")
    join_time: int = msgspec.field(name="JoinTime", default=0)


class MembersReply(Reply):
    member_num: int = msgspec.field(name="MemberNum", default=0)
    items: list[MemberProfile] = msgspec.field(name="MemberList", default_factory=list)


class SearchContacts(Body):
    """What is known of some conversations besides their messages: marks, groups of conversations."""


class SearchContactsReply(Reply):
    contacts: list[dict[str, Any]] = msgspec.field(name="ContactItem", default_factory=list)
    groups: list[dict[str, Any]] = msgspec.field(name="GroupItem", default_factory=list)


class PeerReadTimes(Body):
    """Up to when these users have read what this account wrote to them."""

    peers: list[str] = msgspec.field(name="To_Account", default_factory=list)


class PeerReadTimesReply(Reply):
    """Server seconds, in the order asked; 0: nothing is read."""

    times: list[int] = msgspec.field(name="ReadTime", default_factory=list)


GET_PROFILES = Command("profile.portrait_get_all", GetProfiles, GetProfilesReply)
BLACK_LIST = Command("sns.black_list_get", ListPage, BlackListReply)
FRIENDS = Command("sns.friend_get", ListPage, FriendsReply)
FRIEND_GROUPS = Command("sns.group_get", Body, FriendGroupsReply)
PENDENCY = Command("sns.pendency_get", Body, PendencyReply)
CONTACT_GROUPS = Command("recentcontact.get_contact_group", Body, ContactGroupsReply)
JOINED_GROUPS = Command("group_open_http_svc.get_joined_group_list", JoinedGroups, JoinedGroupsReply)
JOINED_COMMUNITIES = Command("million_group_open_http_svc.get_joined_group_list", JoinedGroups, JoinedGroupsReply)
GROUP_INFO = Command("group_open_http_svc.get_group_info", GroupInfo, GroupInfoReply)
OWN_GROUPS = Command("group_open_http_svc.get_group_self_member_info", GroupInfo, OwnGroupsReply)
GROUP_MEMBERS = Command("group_open_http_svc.get_group_member_info", OneGroup, MembersReply)
SEARCH_CONTACTS = Command("recentcontact.search_contact_group", SearchContacts, SearchContactsReply)
PEER_READ_TIMES = Command("openim.get_peer_read_time", PeerReadTimes, PeerReadTimesReply)
FETCH_CONFIG = Command("im_sdk_config_mgr.fetch_config", Body, Reply)
FETCH_PURCHASES = Command("im_sdk_config_mgr.fetch_imsdk_purchase_bitsv2", Body, Reply)
REPORT = Command("imopenstat.tim_web_report_v2", Body, Reply)
