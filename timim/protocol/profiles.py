"""Bodies of profiles (`profile`). A profile is a set of tags with Tencent's names; timim adds a version to each profile."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Door, Reply
from .numbers import Int

NICK = "Tag_Profile_IM_Nick"
FACE = "Tag_Profile_IM_Image"
ALLOW = "Tag_Profile_IM_AllowType"
GROUP_INVITES = "Tag_Profile_IM_GroupInviteType"  # timim extension: AllowAny, or NeedConfirm to be asked before being added
DETAILS = (
    GROUP_INVITES,
    "Tag_Profile_IM_Gender",
    "Tag_Profile_IM_BirthDay",
    "Tag_Profile_IM_Location",
    "Tag_Profile_IM_SelfSignature",
    "Tag_Profile_IM_Language",
    "Tag_Profile_IM_Level",
    "Tag_Profile_IM_Role",
    "Tag_Profile_IM_MsgSettings",
    "Tag_Profile_IM_AdminForbidType",
)
CUSTOM = "Tag_Profile_Custom_"
ALLOW_ANY, NEED_CONFIRM, DENY_ANY = "AllowType_Type_AllowAny", "AllowType_Type_NeedConfirm", "AllowType_Type_DenyAny"
USERS_AT_ONCE = 100


class ProfileItem(msgspec.Struct, kw_only=True):
    """A field of a profile. The server sends numbers as text and accepts both."""

    tag: str = msgspec.field(name="Tag")
    value: str | Int = msgspec.field(name="Value", default="")


class SetProfileRequest(Body):
    """Fields of a profile to change; an empty Value removes a field. REST requests name the account."""

    account: str = msgspec.field(name="From_Account", default="")
    items: list[ProfileItem] = msgspec.field(name="ProfileItem", default_factory=list)


class GetProfilesRequest(Body):
    """A query for up to 100 profiles. `TimelineVersions` has the versions that the client has, in the same order."""

    accounts: list[str] = msgspec.field(name="To_Account", default_factory=list)
    tags: list[str] = msgspec.field(name="TagList", default_factory=list)
    versions: list[Int] = msgspec.field(name="TimelineVersions", default_factory=list)


class UserProfile(msgspec.Struct, kw_only=True):
    """An account's profile, without items if the client has this version."""

    account: str = msgspec.field(name="To_Account")
    result: Int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")
    items: list[ProfileItem] = msgspec.field(name="ProfileItem", default_factory=list)
    version: Int = msgspec.field(name="TimelineVersion", default=0)


class GetProfilesReply(Reply):
    users: list[UserProfile] = msgspec.field(name="UserProfileItem", default_factory=list)
    failed: list[str] = msgspec.field(name="Fail_Account", default_factory=list)  # users without an account


SET_PROFILE = Command("profile.portrait_set", SetProfileRequest, Reply, doors=Door.BOTH)
GET_PROFILES = Command("profile.portrait_get", GetProfilesRequest, GetProfilesReply, doors=Door.BOTH)
