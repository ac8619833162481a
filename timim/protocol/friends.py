"""Bodies of relations (`sns`): friends, friend applications, friend groups, the blacklist."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Door, Reply
from .numbers import Int, at_most

BOTH, SINGLE = "Add_Type_Both", "Add_Type_Single"
DELETE_BOTH, DELETE_SINGLE = "Delete_Type_Both", "Delete_Type_Single"
AGREE, AGREE_AND_ADD, REJECT = "Response_Action_Agree", "Response_Action_AgreeAndAdd", "Response_Action_Reject"
RECEIVED, SENT = "Pendency_Type_ComeIn", "Pendency_Type_SendOut"
CHECKED = "CheckResult_Type_"  # before each relation
CHECK_BOTH = CHECKED + "Both"
ADD_TO_GROUP, DELETE_FROM_GROUP = "Update_Type_Add", "Update_Type_Delete"
CHECKED_AT_ONCE, NAMED_AT_ONCE = 1000, 100  # accounts in a check, and in other requests
PENDING = 30539  # ResultCode of an application that is pending


class NewFriend(msgspec.Struct, kw_only=True, omit_defaults=True):
    account: str = msgspec.field(name="To_Account")
    remark: str = msgspec.field(name="Remark", default="")
    group: str = msgspec.field(name="GroupName", default="")
    source: str = msgspec.field(name="AddSource", default="")
    wording: str = msgspec.field(name="AddWording", default="")


class AddFriendsRequest(Body):
    """Add friends, or apply if their profile requires it. AddType is "Add_Type_Both" or "Add_Type_Single"."""

    account: str = msgspec.field(name="From_Account", default="")
    friends: list[NewFriend] = msgspec.field(name="AddFriendItem", default_factory=list)
    type: str = msgspec.field(name="AddType", default=BOTH)
    force: Int = msgspec.field(name="ForceAddFlags", default=0)  # administrators only: without an application


class FriendResult(msgspec.Struct, kw_only=True):
    """The result for one account."""

    account: str = msgspec.field(name="To_Account")
    code: Int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class FriendResultsReply(Reply):
    items: list[FriendResult] = msgspec.field(name="ResultItem", default_factory=list)
    failed: list[str] = msgspec.field(name="Fail_Account", default_factory=list)


class ApplicationAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    account: str = msgspec.field(name="To_Account")
    action: str = msgspec.field(name="ResponseAction")
    remark: str = msgspec.field(name="Remark", default="")
    tag: str = msgspec.field(name="TagName", default="")


class AnswerApplicationsRequest(Body):
    """Answers to applications: agree (one way), agree and add back, or reject."""

    account: str = msgspec.field(name="From_Account", default="")
    answers: list[ApplicationAnswer] = msgspec.field(name="ResponseFriendItem", default_factory=list)


class DeleteFriendsRequest(Body):
    """Delete friends. DeleteType is "Delete_Type_Single" (only from this account's list) or "Delete_Type_Both"."""

    account: str = msgspec.field(name="From_Account", default="")
    friends: list[str] = msgspec.field(name="To_Account", default_factory=list)
    type: str = msgspec.field(name="DeleteType", default=DELETE_SINGLE)


class FriendField(msgspec.Struct, kw_only=True):
    """A field of a friend: `Tag_SNS_IM_Remark` (text) or `Tag_SNS_IM_Group` (a list of names)."""

    tag: str = msgspec.field(name="Tag")
    value: str | Int | list[str] = msgspec.field(name="Value", default="")


class FriendUpdate(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="To_Account")
    items: list[FriendField] = msgspec.field(name="SnsItem", default_factory=list)


class UpdateFriendsRequest(Body):
    account: str = msgspec.field(name="From_Account", default="")
    updates: list[FriendUpdate] = msgspec.field(name="UpdateItem", default_factory=list)


class ListFriendsRequest(Body):
    """A query for a page of 100 friends."""

    account: str = msgspec.field(name="From_Account", default="")
    start_index: Int = msgspec.field(name="StartIndex", default=0)


class FriendValueItem(msgspec.Struct, kw_only=True):
    tag: str = msgspec.field(name="Tag")
    value: str | Int | list[str] = msgspec.field(name="Value", default="")


class FriendInfo(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="To_Account")
    values: list[FriendValueItem] = msgspec.field(name="ValueItem", default_factory=list)


class ListFriendsReply(Reply):
    """A page of friends. CompleteFlag is 1 on the last page; StartIndex is for the next request."""

    friends: list[FriendInfo] = msgspec.field(name="UserDataItem", default_factory=list)
    complete: Int = msgspec.field(name="CompleteFlag", default=1)
    start_index: Int = msgspec.field(name="NextStartIndex", default=0)
    total: Int = msgspec.field(name="FriendNum", default=0)


class ListApplicationsRequest(Body):
    """A query for pending applications. PendencyType is "Pendency_Type_ComeIn" or "Pendency_Type_SendOut"."""

    account: str = msgspec.field(name="From_Account", default="")
    type: str = msgspec.field(name="PendencyType", default=RECEIVED)


class PendingApplication(msgspec.Struct, kw_only=True):
    """A pending application. AddTime is in server seconds."""

    account: str = msgspec.field(name="To_Account")
    type: str = msgspec.field(name="PendencyType", default=RECEIVED)
    time: Int = msgspec.field(name="AddTime", default=0)
    source: str = msgspec.field(name="AddSource", default="")
    wording: str = msgspec.field(name="AddWording", default="")
    nick: str = msgspec.field(name="Nick", default="")
    face_url: str = msgspec.field(name="Image", default="")


class ListApplicationsReply(Reply):
    items: list[PendingApplication] = msgspec.field(name="PendencyItem", default_factory=list)
    unread: Int = msgspec.field(name="UnreadPendencyCount", default=0)


class AccountsRequest(Body):
    """A command about some accounts."""

    account: str = msgspec.field(name="From_Account", default="")
    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class DeleteApplicationsRequest(Body):
    """Delete pending applications without answering them. PendencyType selects received or sent applications."""

    account: str = msgspec.field(name="From_Account", default="")
    type: str = msgspec.field(name="PendencyType", default=RECEIVED)
    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class ReportApplicationsRequest(Body):
    """Mark all applications up to now as read."""

    account: str = msgspec.field(name="From_Account", default="")
    latest: Int = msgspec.field(name="LatestPendencyTimeStamp", default=0)


class BlockedItem(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="To_Account")
    time: Int = msgspec.field(name="AddBlackTimeStamp", default=0)


class ListBlockedRequest(Body):
    account: str = msgspec.field(name="From_Account", default="")
    start_index: Int = msgspec.field(name="StartIndex", default=0)
    max_limited: Int = msgspec.field(name="MaxLimited", default=100)


class ListBlockedReply(Reply):
    """A page of the blacklist. StartIndex is 0 on the last page; without it, the web client requests pages forever."""

    items: list[BlockedItem] = msgspec.field(name="BlackListItem", default_factory=list)
    start_index: Int = msgspec.field(name="StartIndex", default=0)


class FriendGroupsRequest(Body):
    """Create or delete friend groups; REST requests may name friends to add."""

    account: str = msgspec.field(name="From_Account", default="")
    names: list[str] = msgspec.field(name="GroupName", default_factory=list)
    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class FriendGroupItem(msgspec.Struct, kw_only=True):
    name: str = msgspec.field(name="GroupName")
    number: Int = msgspec.field(name="FriendNumber", default=0)
    friends: list[str] = msgspec.field(name="To_Account", default_factory=list)


class FriendGroupsReply(Reply):
    groups: list[FriendGroupItem] = msgspec.field(name="ResultItem", default_factory=list)


class CheckRequest(Body):
    """Accounts whose relation to `From_Account` is asked for. CheckType ends with Single or Both."""

    account: str = msgspec.field(name="From_Account", default="")
    users: Annotated[list[str], at_most(CHECKED_AT_ONCE, least=1)] = msgspec.field(name="To_Account", default_factory=list)
    type: str = msgspec.field(name="CheckType", default="")


class CheckedRelation(msgspec.Struct, kw_only=True):
    """A relation: NoRelation or NO, AWithB, BWithA or BothWay, after the prefix of the command; A is `From_Account`."""

    account: str = msgspec.field(name="To_Account")
    relation: str = msgspec.field(name="Relation", default="")
    code: Int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class CheckFriendsReply(Reply):
    """The relations in the order of the request."""

    items: list[CheckedRelation] = msgspec.field(name="InfoItem", default_factory=list)
    failed: list[str] = msgspec.field(name="Fail_Account", default_factory=list)


class CheckBlockedReply(Reply):
    """The relations in the order of the request."""

    items: list[CheckedRelation] = msgspec.field(name="BlackListCheckItem", default_factory=list)
    failed: list[str] = msgspec.field(name="Fail_Account", default_factory=list)


class GetFriendsRequest(Body):
    """Friends of an account, and the tags that are asked for; all tags if there are none."""

    account: str = msgspec.field(name="From_Account", default="")
    users: Annotated[list[str], at_most(NAMED_AT_ONCE, least=1)] = msgspec.field(name="To_Account", default_factory=list)
    tags: list[str] = msgspec.field(name="TagList", default_factory=list)


class FriendItem(msgspec.Struct, kw_only=True):
    """A friend with the values of its tags, or the reason why there are none."""

    account: str = msgspec.field(name="To_Account")
    values: list[FriendValueItem] = msgspec.field(name="SnsProfileItem", default_factory=list)
    code: Int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class GetFriendsReply(Reply):
    """The friends in the order of the request."""

    items: list[FriendItem] = msgspec.field(name="InfoItem", default_factory=list)
    failed: list[str] = msgspec.field(name="Fail_Account", default_factory=list)


class FriendGroupChange(msgspec.Struct, kw_only=True):
    """A friend who is put into a friend group, or taken out of it. UpdateType is Update_Type_Add or Update_Type_Delete."""

    account: str = msgspec.field(name="To_Account")
    type: str = msgspec.field(name="UpdateType", default=ADD_TO_GROUP)


class UpdateFriendGroupRequest(Body):
    """A new name of a friend group, and changes of its friends."""

    account: str = msgspec.field(name="From_Account", default="")
    old_name: str = msgspec.field(name="GroupOldName", default="")
    new_name: str = msgspec.field(name="GroupNewName", default="")
    changes: Annotated[list[FriendGroupChange], at_most(NAMED_AT_ONCE)] = msgspec.field(
        name="UpdateGroupItem", default_factory=list
    )


class FriendGroupResult(FriendResult, kw_only=True):
    """The result for one friend, with the kind of the change."""

    type: str = msgspec.field(name="UpdateType", default=ADD_TO_GROUP)


class UpdateFriendGroupReply(Reply):
    """The results in the order of the request."""

    items: list[FriendGroupResult] = msgspec.field(name="ResultItem", default_factory=list)


ADD_FRIENDS = Command("sns.friend_add", AddFriendsRequest, FriendResultsReply, doors=Door.BOTH)
ANSWER_APPLICATIONS = Command("sns.friend_response", AnswerApplicationsRequest, FriendResultsReply)
DELETE_FRIENDS = Command("sns.friend_delete", DeleteFriendsRequest, FriendResultsReply, doors=Door.BOTH)
UPDATE_FRIENDS = Command("sns.friend_update", UpdateFriendsRequest, FriendResultsReply, doors=Door.BOTH)
LIST_FRIENDS = Command("sns.friend_get", ListFriendsRequest, ListFriendsReply, doors=Door.BOTH)
LIST_APPLICATIONS = Command("sns.pendency_get", ListApplicationsRequest, ListApplicationsReply)
DELETE_APPLICATIONS = Command("sns.pendency_delete", DeleteApplicationsRequest, FriendResultsReply)
REPORT_APPLICATIONS = Command("sns.pendency_report", ReportApplicationsRequest, Reply)
ADD_BLOCKED = Command("sns.black_list_add", AccountsRequest, FriendResultsReply, doors=Door.BOTH)
DELETE_BLOCKED = Command("sns.black_list_delete", AccountsRequest, FriendResultsReply, doors=Door.BOTH)
LIST_BLOCKED = Command("sns.black_list_get", ListBlockedRequest, ListBlockedReply, doors=Door.BOTH)
ADD_FRIEND_GROUPS = Command("sns.group_add", FriendGroupsRequest, FriendResultsReply, doors=Door.BOTH)
DELETE_FRIEND_GROUPS = Command("sns.group_delete", FriendGroupsRequest, FriendResultsReply, doors=Door.BOTH)
LIST_FRIEND_GROUPS = Command("sns.group_get", FriendGroupsRequest, FriendGroupsReply, doors=Door.BOTH)
UPDATE_FRIEND_GROUP = Command("sns.group_update", UpdateFriendGroupRequest, UpdateFriendGroupReply, doors=Door.BOTH)
CHECK_FRIENDS = Command("sns.friend_check", CheckRequest, CheckFriendsReply, doors=Door.BOTH, required=("From_Account",))
CHECK_BLOCKED = Command("sns.black_list_check", CheckRequest, CheckBlockedReply, doors=Door.REST, required=("From_Account",))
GET_FRIENDS = Command(
    "sns.friend_get_list",
    GetFriendsRequest,
    GetFriendsReply,
    doors=Door.BOTH,
    aliases=("sns.friend_get_specified",),  # the web client's name
    required=("From_Account",),
)
