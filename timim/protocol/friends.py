"""Bodies of relations (`sns`): friends, applications to be one, friend groups, the blacklist."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply

BOTH, SINGLE = "Add_Type_Both", "Add_Type_Single"
DELETE_BOTH, DELETE_SINGLE = "Delete_Type_Both", "Delete_Type_Single"
AGREE, AGREE_AND_ADD, REJECT = "Response_Action_Agree", "Response_Action_AgreeAndAdd", "Response_Action_Reject"
COME_IN, SENT = "Pendency_Type_ComeIn", "Pendency_Type_SendOut"
WAITS = 30539  # ResultCode of an application that waits for its answer


class NewFriend(msgspec.Struct, kw_only=True, omit_defaults=True):
    account: str = msgspec.field(name="To_Account")
    remark: str = msgspec.field(name="Remark", default="")
    group: str = msgspec.field(name="GroupName", default="")
    source: str = msgspec.field(name="AddSource", default="")
    wording: str = msgspec.field(name="AddWording", default="")


class AddFriends(Body):
    """Add friends, or ask to be one where their profile wants that. AddType: "Add_Type_Both" or "Add_Type_Single"."""

    account: str = msgspec.field(name="From_Account", default="")
    friends: list[NewFriend] = msgspec.field(name="AddFriendItem", default_factory=list)
    type: str = msgspec.field(name="AddType", default=BOTH)
    force: int = msgspec.field(name="ForceAddFlags", default=0)  # administrators: without asking


class Result(msgspec.Struct, kw_only=True):
    """What became of one account."""

    account: str = msgspec.field(name="To_Account")
    code: int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class Results(Reply):
    items: list[Result] = msgspec.field(name="ResultItem", default_factory=list)
    failed: list[str] = msgspec.field(name="Fail_Account", default_factory=list)


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    account: str = msgspec.field(name="To_Account")
    action: str = msgspec.field(name="ResponseAction")
    remark: str = msgspec.field(name="Remark", default="")
    tag: str = msgspec.field(name="TagName", default="")


class AnswerApplications(Body):
    """Answers to applications: agree (one way), agree and add back, or reject."""

    account: str = msgspec.field(name="From_Account", default="")
    answers: list[Answer] = msgspec.field(name="ResponseFriendItem", default_factory=list)


class DeleteFriends(Body):
    """DeleteType: "Delete_Type_Single" (they keep me) or "Delete_Type_Both"."""

    account: str = msgspec.field(name="From_Account", default="")
    friends: list[str] = msgspec.field(name="To_Account", default_factory=list)
    type: str = msgspec.field(name="DeleteType", default=DELETE_SINGLE)


class SnsItem(msgspec.Struct, kw_only=True):
    """One field of a friend: `Tag_SNS_IM_Remark` (text) or `Tag_SNS_IM_Group` (a list of names)."""

    tag: str = msgspec.field(name="Tag")
    value: str | int | list[str] = msgspec.field(name="Value", default="")


class FriendUpdate(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="To_Account")
    items: list[SnsItem] = msgspec.field(name="SnsItem", default_factory=list)


class UpdateFriends(Body):
    account: str = msgspec.field(name="From_Account", default="")
    updates: list[FriendUpdate] = msgspec.field(name="UpdateItem", default_factory=list)


class ListFriends(Body):
    """The friend list, in pages of 100."""

    account: str = msgspec.field(name="From_Account", default="")
    start_index: int = msgspec.field(name="StartIndex", default=0)


class ValueItem(msgspec.Struct, kw_only=True):
    tag: str = msgspec.field(name="Tag")
    value: str | int | list[str] = msgspec.field(name="Value", default="")


class FriendInfo(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="To_Account")
    values: list[ValueItem] = msgspec.field(name="ValueItem", default_factory=list)


class FriendsReply(Reply):
    """CompleteFlag 1: the last page; StartIndex goes into the next request."""

    friends: list[FriendInfo] = msgspec.field(name="UserDataItem", default_factory=list)
    complete: int = msgspec.field(name="CompleteFlag", default=1)
    start_index: int = msgspec.field(name="NextStartIndex", default=0)
    total: int = msgspec.field(name="FriendNum", default=0)


class ListApplications(Body):
    """PendencyType: "Pendency_Type_ComeIn" or "Pendency_Type_SendOut"."""

    account: str = msgspec.field(name="From_Account", default="")
    type: str = msgspec.field(name="PendencyType", default=COME_IN)


class Pendency(msgspec.Struct, kw_only=True):
    """One application. AddTime in server seconds."""

    account: str = msgspec.field(name="To_Account")
    type: str = msgspec.field(name="PendencyType", default=COME_IN)
    time: int = msgspec.field(name="AddTime", default=0)
    source: str = msgspec.field(name="AddSource", default="")
    wording: str = msgspec.field(name="AddWording", default="")
    nick: str = msgspec.field(name="Nick", default="")
    face_url: str = msgspec.field(name="Image", default="")


class ApplicationsReply(Reply):
    items: list[Pendency] = msgspec.field(name="PendencyItem", default_factory=list)
    unread: int = msgspec.field(name="UnreadPendencyCount", default=0)


class SomeAccounts(Body):
    """A command about some accounts."""

    account: str = msgspec.field(name="From_Account", default="")
    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class DeleteApplications(Body):
    """Applications are no more, without an answer. PendencyType says whose: others' or one's own."""

    account: str = msgspec.field(name="From_Account", default="")
    type: str = msgspec.field(name="PendencyType", default=COME_IN)
    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class ReportApplications(Body):
    """All applications up to now are read."""

    account: str = msgspec.field(name="From_Account", default="")
    latest: int = msgspec.field(name="LatestPendencyTimeStamp", default=0)


class Blocked(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="To_Account")
    time: int = msgspec.field(name="AddBlackTimeStamp", default=0)


class ListBlocked(Body):
    account: str = msgspec.field(name="From_Account", default="")
    start_index: int = msgspec.field(name="StartIndex", default=0)
    max_limited: int = msgspec.field(name="MaxLimited", default=100)


class BlockedReply(Reply):
    """StartIndex 0: the last page; without it the web client asks for ever."""

    items: list[Blocked] = msgspec.field(name="BlackListItem", default_factory=list)
    start_index: int = msgspec.field(name="StartIndex", default=0)


class FriendGroups(Body):
    """Make or delete friend groups; REST may name friends to put in."""

    account: str = msgspec.field(name="From_Account", default="")
    names: list[str] = msgspec.field(name="GroupName", default_factory=list)
    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class FriendGroup(msgspec.Struct, kw_only=True):
    name: str = msgspec.field(name="GroupName")
    number: int = msgspec.field(name="FriendNumber", default=0)
    friends: list[str] = msgspec.field(name="To_Account", default_factory=list)


class FriendGroupsReply(Reply):
    groups: list[FriendGroup] = msgspec.field(name="ResultItem", default_factory=list)


ADD_FRIENDS = Command("sns.friend_add", AddFriends, Results)
ANSWER_APPLICATIONS = Command("sns.friend_response", AnswerApplications, Results)
DELETE_FRIENDS = Command("sns.friend_delete", DeleteFriends, Results)
UPDATE_FRIENDS = Command("sns.friend_update", UpdateFriends, Results)
LIST_FRIENDS = Command("sns.friend_get", ListFriends, FriendsReply)
LIST_APPLICATIONS = Command("sns.pendency_get", ListApplications, ApplicationsReply)
DELETE_APPLICATIONS = Command("sns.pendency_delete", DeleteApplications, Results)
REPORT_APPLICATIONS = Command("sns.pendency_report", ReportApplications, Reply)
ADD_BLOCKED = Command("sns.black_list_add", SomeAccounts, Results)
DELETE_BLOCKED = Command("sns.black_list_delete", SomeAccounts, Results)
LIST_BLOCKED = Command("sns.black_list_get", ListBlocked, BlockedReply)
ADD_FRIEND_GROUPS = Command("sns.group_add", FriendGroups, Results)
DELETE_FRIEND_GROUPS = Command("sns.group_delete", FriendGroups, Results)
LIST_FRIEND_GROUPS = Command("sns.group_get", FriendGroups, FriendGroupsReply)
