"""Bodies of followed users (`follow`), and of the notice that a list of them has changed."""

from __future__ import annotations

import enum

import msgspec

from .codec import Body, Command, Reply
from .friends import FriendResult
from .numbers import Int


class FollowList(enum.IntEnum):
    """The lists of a user: of followers, of followed users, and of those in both. NONE is the tie of strangers."""

    NONE = 0
    FOLLOWERS = 1
    FOLLOWING = 2
    MUTUAL = 3


class FollowItem(msgspec.Struct, kw_only=True):
    """A user to follow."""

    account: str = msgspec.field(name="To_Account")


class FollowRequest(Body):
    """Users to follow, up to 100."""

    account: str = msgspec.field(name="From_Account", default="")
    items: list[FollowItem] = msgspec.field(name="FollowItem", default_factory=list)


class FollowUsersRequest(Body):
    """Users to unfollow, to compare with, or whose numbers of followers are asked for, up to 100."""

    account: str = msgspec.field(name="From_Account", default="")
    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class FollowResultsReply(Reply):
    """The results in the order of the request."""

    items: list[FriendResult] = msgspec.field(name="ResultItem", default_factory=list)


class FollowCountsItem(FriendResult, kw_only=True):
    """The numbers of followers, followed users and users in both lists."""

    followers: Int = msgspec.field(name="FollowerCount", default=0)
    following: Int = msgspec.field(name="FollowingCount", default=0)
    mutual: Int = msgspec.field(name="MutualFollowingCount", default=0)


class FollowCountsReply(Reply):
    """The numbers in the order of the request."""

    items: list[FollowCountsItem] = msgspec.field(name="FollowInfo", default_factory=list)


class FollowTieItem(FriendResult, kw_only=True):
    """The list of the asking account in which a user is, a FollowList."""

    list: Int = msgspec.field(name="FollowType", default=0)


class CheckFollowsReply(Reply):
    """The lists in the order of the request."""

    items: list[FollowTieItem] = msgspec.field(name="ResultItem", default_factory=list)


class ListFollowsRequest(Body):
    """A query for a page of one of the lists of the asking account, from `StartCursor` on."""

    account: str = msgspec.field(name="From_Account", default="")
    list: Int = msgspec.field(name="FollowType", default=1)
    cursor: str = msgspec.field(name="StartCursor", default="")
    count: Int = msgspec.field(name="WantNum", default=100)


class FollowProfileField(msgspec.Struct, kw_only=True):
    """A field of a profile."""

    tag: str = msgspec.field(name="Tag")
    value: str = msgspec.field(name="Value", default="")


class FollowedUser(msgspec.Struct, kw_only=True):
    """A user of a list, with nickname and picture. `FollowTime` is in server seconds."""

    account: str = msgspec.field(name="To_Account")
    time: Int = msgspec.field(name="FollowTime", default=0)
    profile: list[FollowProfileField] = msgspec.field(name="ProfileItem", default_factory=list)


class ListFollowsReply(Reply):
    """A page of users. `NextCursor` is empty on the last page."""

    items: list[FollowedUser] = msgspec.field(name="FollowItem", default_factory=list)
    next: str = msgspec.field(name="NextCursor", default="")


class FollowNotice(msgspec.Struct, kw_only=True):
    """A user who was added to a list of the account, or removed from it (timim extension)."""

    account: str = msgspec.field(name="From_Account")
    list: Int = msgspec.field(name="FollowType", default=1)
    added: Int = msgspec.field(name="IsAdd", default=1)


FOLLOW = Command("follow.follow_add", FollowRequest, FollowResultsReply)
UNFOLLOW = Command("follow.follow_delete", FollowUsersRequest, FollowResultsReply)
LIST_FOLLOWS = Command("follow.follow_get", ListFollowsRequest, ListFollowsReply)
COUNT_FOLLOWS = Command("follow.follow_get_info", FollowUsersRequest, FollowCountsReply)
CHECK_FOLLOWS = Command("follow.follow_check", FollowUsersRequest, CheckFollowsReply)
