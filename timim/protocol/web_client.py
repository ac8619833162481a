"""Bodies of commands that only Tencent's web client uses, in addition to those of REST."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply
from .groups import GroupInfoItem, ListJoinedGroupsReply, ListJoinedGroupsRequest
from .numbers import Int
from .profiles import GetProfilesReply
from .web_features import FOREVER_S, SERVED_FEATURES, purchase_bits


class UserItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A user in a query for profiles, with the versions that the client has."""

    account: str = msgspec.field(name="To_Account")
    standard_sequence: Int = msgspec.field(name="StandardSequence", default=0)
    custom_sequence: Int = msgspec.field(name="CustomSequence", default=0)


class GetFullProfilesRequest(Body):
    """A query for all fields of up to 100 profiles."""

    items: list[UserItem] = msgspec.field(name="UserItem", default_factory=list)


class OwnMemberInfo(msgspec.Struct, kw_only=True):
    """The account's own membership in a group."""

    role: str = msgspec.field(name="Role")
    name_card: str = msgspec.field(name="NameCard", default="")
    join_time: Int = msgspec.field(name="JoinTime", default=0)
    msg_flag: str = msgspec.field(name="MsgFlag", default="AcceptAndNotify")


class OwnGroupItem(GroupInfoItem, kw_only=True):
    """The properties of a group, and the account's membership in it."""

    self_info: OwnMemberInfo | msgspec.UnsetType = msgspec.field(name="SelfInfo", default=msgspec.UNSET)


class OwnGroupsRequest(Body):
    """A query for the groups of which the account is a member."""

    ids: list[str] = msgspec.field(name="GroupIdList", default_factory=list)


class OwnGroupsReply(Reply):
    """The account's groups; an inaccessible group has an ErrorCode."""

    groups: list[OwnGroupItem] = msgspec.field(name="GroupIdList", default_factory=list)


class PreSignRequest(Body):
    """A request of Tencent's upload plugin for URLs. `file_type` is 1 for a picture; for files, the plugin sends 255."""

    file_type: Int = msgspec.field(name="file_type", default=255)
    file_name: str = msgspec.field(name="file_name", default="")
    duration: Int = msgspec.field(name="Duration", default=900)


class PreSignReply(Reply):
    """The URL for the upload, and the download URL for the message."""

    upload_url: str = msgspec.field(name="uploadUrl", default="")
    download_url: str = msgspec.field(name="downloadUrl", default="")


class PurchasesReply(Reply):
    """The features of the web client that the server serves, and the seconds after which the client asks again."""

    int_error_code: Int = msgspec.field(name="int32_error_code", default=0)
    error_message: str = msgspec.field(name="str_error_message", default="")
    bits: str = msgspec.field(name="str_purchase_bits", default=purchase_bits(SERVED_FEATURES))
    expires_s: Int = msgspec.field(name="uint32_expired_time", default=FOREVER_S)


class PeerReadTimesRequest(Body):
    """A query for the times up to which some users have read this account's messages."""

    peers: list[str] = msgspec.field(name="To_Account", default_factory=list)


class PeerReadTimesReply(Reply):
    """Times up to which each user has read, in server seconds and in the order of the request; 0 if nothing was read."""

    times: list[Int] = msgspec.field(name="ReadTime", default_factory=list)


GET_FULL_PROFILES = Command("profile.portrait_get_all", GetFullProfilesRequest, GetProfilesReply)
JOINED_COMMUNITIES = Command(
    "million_group_open_http_svc.get_joined_group_list", ListJoinedGroupsRequest, ListJoinedGroupsReply
)
OWN_GROUPS = Command("group_open_http_svc.get_group_self_member_info", OwnGroupsRequest, OwnGroupsReply)
PEER_READ_TIMES = Command("openim.get_peer_read_time", PeerReadTimesRequest, PeerReadTimesReply)
FETCH_CONFIG = Command("im_sdk_config_mgr.fetch_config", Body, Reply)
FETCH_PURCHASES = Command("im_sdk_config_mgr.fetch_imsdk_purchase_bitsv2", Body, PurchasesReply)
REPORT = Command("imopenstat.tim_web_report_v2", Body, Reply)
PRE_SIGN = Command("im_cos_msg.pre_sig", PreSignRequest, PreSignReply)
