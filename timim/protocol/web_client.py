"""Bodies that only Tencent's web client uses, besides those of REST."""

from __future__ import annotations

from typing import Any

import msgspec

from .codec import Body, Command, Reply
from .groups import GroupInfoItem, ListJoinedGroupsReply, ListJoinedGroupsRequest
from .profiles import GetProfilesReply


class UserItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A user whose profile is asked for, and the versions that the client has."""

    account: str = msgspec.field(name="To_Account")
    standard_sequence: int = msgspec.field(name="StandardSequence", default=0)
    custom_sequence: int = msgspec.field(name="CustomSequence", default=0)


class GetFullProfilesRequest(Body):
    """Profiles of up to 100 users, all fields."""

    items: list[UserItem] = msgspec.field(name="UserItem", default_factory=list)


class OwnMemberInfo(msgspec.Struct, kw_only=True):
    """The asker's own membership in a group."""

    role: str = msgspec.field(name="Role")
    name_card: str = msgspec.field(name="NameCard", default="")
    join_time: int = msgspec.field(name="JoinTime", default=0)
    msg_flag: str = msgspec.field(name="MsgFlag", default="AcceptAndNotify")


class OwnGroupItem(GroupInfoItem, kw_only=True):
    """A group's properties, and the asker's membership in it."""

    self_info: OwnMemberInfo | msgspec.UnsetType = msgspec.field(name="SelfInfo", default=msgspec.UNSET)


class OwnGroupsRequest(Body):
    """Groups that the asker is a member of."""

    ids: list[str] = msgspec.field(name="GroupIdList", default_factory=list)


class OwnGroupsReply(Reply):
    """The groups; one that cannot be shown has an ErrorCode of its own."""

    groups: list[OwnGroupItem] = msgspec.field(name="GroupIdList", default_factory=list)


class PreSignRequest(Body):
    """A request of the web client's upload plugin for an address. `file_type` 1 is a picture, 255 was seen for a file."""

    file_type: int = msgspec.field(name="file_type", default=255)
    file_name: str = msgspec.field(name="file_name", default="")
    duration: int = msgspec.field(name="Duration", default=900)


class PreSignReply(Reply):
    """The addresses to upload to and, for the message, to download from."""

    upload_url: str = msgspec.field(name="uploadUrl", default="")
    download_url: str = msgspec.field(name="downloadUrl", default="")


class ConversationGroupsReply(Reply):
    """Groups of conversations, which a user may make in the web client."""

    items: list[dict[str, Any]] = msgspec.field(name="ContactGroupItem", default_factory=list)
    complete_flag: int = msgspec.field(name="CompleteFlag", default=1)
    start_index: int = msgspec.field(name="StartIndex", default=0)


class SearchConversationGroupsReply(Reply):
    """Marks and groups of conversations."""

    conversations: list[dict[str, Any]] = msgspec.field(name="ContactItem", default_factory=list)
    groups: list[dict[str, Any]] = msgspec.field(name="GroupItem", default_factory=list)


class PeerReadTimesRequest(Body):
    """Users, to learn up to which time they have read this account's messages."""

    peers: list[str] = msgspec.field(name="To_Account", default_factory=list)


class PeerReadTimesReply(Reply):
    """Server seconds, in the order asked; 0: nothing is read."""

    times: list[int] = msgspec.field(name="ReadTime", default_factory=list)


GET_FULL_PROFILES = Command("profile.portrait_get_all", GetFullProfilesRequest, GetProfilesReply)
JOINED_COMMUNITIES = Command(
    "million_group_open_http_svc.get_joined_group_list", ListJoinedGroupsRequest, ListJoinedGroupsReply
)
OWN_GROUPS = Command("group_open_http_svc.get_group_self_member_info", OwnGroupsRequest, OwnGroupsReply)
LIST_CONVERSATION_GROUPS = Command("recentcontact.get_contact_group", Body, ConversationGroupsReply)
SEARCH_CONVERSATION_GROUPS = Command("recentcontact.search_contact_group", Body, SearchConversationGroupsReply)
PEER_READ_TIMES = Command("openim.get_peer_read_time", PeerReadTimesRequest, PeerReadTimesReply)
FETCH_CONFIG = Command("im_sdk_config_mgr.fetch_config", Body, Reply)
FETCH_PURCHASES = Command("im_sdk_config_mgr.fetch_imsdk_purchase_bitsv2", Body, Reply)
REPORT = Command("imopenstat.tim_web_report_v2", Body, Reply)
PRE_SIGN = Command("im_cos_msg.pre_sig", PreSignRequest, PreSignReply)
