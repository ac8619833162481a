"""Bodies of searches at the server: messages, users, groups and members. A request has 1 to 5 keywords."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Reply
from .numbers import Int, at_most

KEYWORDS_LIMIT = 5
GROUPS_LIMIT = 50
KINDS_LIMIT = 16


class SearchMessagesRequest(Body):
    """A query for messages, of one conversation or of all. `MatchType` is `and` or `or`; times are in server seconds."""

    keywords: Annotated[list[str], at_most(KEYWORDS_LIMIT)] = msgspec.field(name="KeywordList", default_factory=list)
    match: str = msgspec.field(name="MatchType", default="or")
    peer: str = msgspec.field(name="PeerAccount", default="")
    group_id: str = msgspec.field(name="GroupID", default="")
    kinds: Annotated[list[str], at_most(KINDS_LIMIT)] = msgspec.field(name="MsgTypeList", default_factory=list)
    senders: Annotated[list[str], at_most(KEYWORDS_LIMIT)] = msgspec.field(name="SendUserIDList", default_factory=list)
    since: Int = msgspec.field(name="StartTime", default=0)
    until: Int = msgspec.field(name="EndTime", default=0)
    count: Int = msgspec.field(name="Count", default=100)
    cursor: str = msgspec.field(name="Cursor", default="")


class FoundConversation(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation with found messages: their number, and the newest ones."""

    user_id: str = msgspec.field(name="UserID", default="")
    group_id: str = msgspec.field(name="GroupID", default="")
    count: Int = msgspec.field(name="Count", default=0)
    messages: list[msgspec.Raw] = msgspec.field(name="MsgList", default_factory=list)


class SearchReply(Reply):
    """`TotalCount` results, of which the reply has a page; the next one begins at `Cursor`, which is empty on the last page."""

    total: Int = msgspec.field(name="TotalCount", default=0)
    cursor: str = msgspec.field(name="Cursor", default="")


class SearchMessagesReply(SearchReply):
    """A page of conversations, or of the messages of the one conversation that was searched."""

    conversations: list[FoundConversation] = msgspec.field(name="ConversationMsgs", default_factory=list)


class KeywordsRequest(Body):
    """A query by keywords. `KeywordMatchType` is 1 for all keywords, 0 for one of them."""

    keywords: Annotated[list[str], at_most(KEYWORDS_LIMIT)] = msgspec.field(name="Keywords", default_factory=list)
    every: Int = msgspec.field(name="KeywordMatchType", default=0)
    count: Int = msgspec.field(name="Count", default=20)
    cursor: str = msgspec.field(name="Cursor", default="")


class SearchUsersRequest(KeywordsRequest):
    """A query for users by their id or nickname; `UserBirthStart` and `UserBirthEnd` are numbers like 20001231."""

    gender: str = msgspec.field(name="UserGenderType", default="")
    born_from: Int = msgspec.field(name="UserBirthStart", default=0)
    born_until: Int = msgspec.field(name="UserBirthEnd", default=0)


class ProfileValue(msgspec.Struct, kw_only=True):
    """A field of a profile."""

    tag: str = msgspec.field(name="Tag")
    value: str = msgspec.field(name="StrValue", default="")


class FoundUserItem(msgspec.Struct, kw_only=True):
    """A found user with the profile."""

    user_id: str = msgspec.field(name="UserID")
    profile: list[ProfileValue] = msgspec.field(name="ProfileItems", default_factory=list)


class SearchUsersReply(SearchReply):
    """A page of users."""

    users: list[FoundUserItem] = msgspec.field(name="Users", default_factory=list)


class SearchGroupsRequest(KeywordsRequest):
    """A query for groups of the caller by their id or name, of some types or of all."""

    types: Annotated[list[str], at_most(KINDS_LIMIT)] = msgspec.field(name="GroupType", default_factory=list)


class FoundGroupItem(msgspec.Struct, kw_only=True):
    """A found group."""

    group_id: str = msgspec.field(name="GroupID")
    type: str = msgspec.field(name="GroupType")
    name: str = msgspec.field(name="GroupName", default="")
    face_url: str = msgspec.field(name="GroupFaceUrl", default="")
    introduction: str = msgspec.field(name="GroupIntroduction", default="")
    owner: str = msgspec.field(name="GroupOwnerUserID", default="")
    members: Int = msgspec.field(name="GroupMemberNum", default=0)
    join_option: str = msgspec.field(name="GroupAddOption", default="")


class SearchGroupsReply(SearchReply):
    """A page of groups."""

    groups: list[FoundGroupItem] = msgspec.field(name="Groups", default_factory=list)


class SearchMembersRequest(SearchGroupsRequest):
    """A query for members of the caller's groups by their id, card or nickname, in up to 50 groups or in all."""

    group_ids: Annotated[list[str], at_most(GROUPS_LIMIT)] = msgspec.field(name="GroupIdList", default_factory=list)


class FoundMemberItem(msgspec.Struct, kw_only=True):
    """A found member, with the group."""

    group_id: str = msgspec.field(name="GroupID")
    type: str = msgspec.field(name="GroupType", default="")
    name: str = msgspec.field(name="GroupName", default="")
    face_url: str = msgspec.field(name="GroupFaceUrl", default="")
    user_id: str = msgspec.field(name="GroupMemberUserID")
    nick: str = msgspec.field(name="GroupMemberUserName", default="")
    name_card: str = msgspec.field(name="GroupMemberNameCard", default="")
    member_face_url: str = msgspec.field(name="GroupMemberAvatar", default="")


class SearchMembersReply(SearchReply):
    """A page of members."""

    members: list[FoundMemberItem] = msgspec.field(name="GroupMembers", default_factory=list)


SEARCH_MESSAGES = Command("message_search.query", SearchMessagesRequest, SearchMessagesReply)
SEARCH_USERS = Command("user_search.query", SearchUsersRequest, SearchUsersReply)
SEARCH_GROUPS = Command("group_search.query", SearchGroupsRequest, SearchGroupsReply)
SEARCH_MEMBERS = Command("group_member_search.query", SearchMembersRequest, SearchMembersReply)
