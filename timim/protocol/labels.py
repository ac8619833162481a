"""Bodies of labels of conversations (`recentcontact`): marks, custom data, and conversation groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from ..ids import ConversationKey, ConversationType
from .codec import Body, Command, Door, Reply
from .conversation_list import ConversationName
from .numbers import Int, at_most

AT_ONCE = 100
MARKS = 64
STANDARD, CUSTOM = 1, 2
NAME, MEMBERS = 1, 2  # of UpdateGroupType
BY_GROUP = 1
ADD, REMOVE = 1, 2


class MarkItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A change of a conversation: `OptType` 1 sets and clears marks, by their numbers; 2 replaces the custom data; 3 both."""

    operation: Int = msgspec.field(name="OptType", default=STANDARD)
    conversation: ConversationName = msgspec.field(name="ContactItem")
    cleared: Annotated[list[Int], at_most(MARKS)] = msgspec.field(name="ClearMark", default_factory=list)
    set: Annotated[list[Int], at_most(MARKS)] = msgspec.field(name="SetMark", default_factory=list)
    custom: str = msgspec.field(name="CustomMark", default="")


class MarkRequest(Body):
    """Changes of up to 100 conversations."""

    account: str = msgspec.field(name="From_Account", default="")
    items: Annotated[list[MarkItem], at_most(AT_ONCE, least=1)] = msgspec.field(name="MarkItem", default_factory=list)


class LabelResult(msgspec.Struct, kw_only=True):
    """The result for a conversation; 0 if it was changed."""

    conversation: ConversationName = msgspec.field(name="ContactItem")
    code: Int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class MarkReply(Reply):
    """The results in the order of the request."""

    items: list[LabelResult] = msgspec.field(name="ResultItem", default_factory=list)


class ConversationGroup(msgspec.Struct, kw_only=True):
    """A conversation group, with its number and name."""

    number: Int = msgspec.field(name="GroupId", default=0)
    name: str = msgspec.field(name="GroupName", default="")


class NewConversationGroup(msgspec.Struct, kw_only=True):
    """A name for a group, and up to 100 conversations in it."""

    name: str = msgspec.field(name="GroupName")
    conversations: Annotated[list[ConversationName], at_most(AT_ONCE)] = msgspec.field(name="ContactItem", default_factory=list)


class CreateConversationGroupsRequest(Body):
    """Conversation groups to create."""

    account: str = msgspec.field(name="From_Account", default="")
    items: Annotated[list[NewConversationGroup], at_most(AT_ONCE, least=1)] = msgspec.field(
        name="GroupContactItem", default_factory=list
    )


class CreatedConversationGroup(msgspec.Struct, kw_only=True):
    """A new group, and the results of its conversations."""

    group: ConversationGroup = msgspec.field(name="GroupItem")
    results: list[LabelResult] = msgspec.field(name="ResultItem", default_factory=list)


class CreateConversationGroupsReply(Reply):
    """The new groups."""

    items: list[CreatedConversationGroup] = msgspec.field(name="GroupResultItem", default_factory=list)


class DeleteConversationGroupsRequest(Body):
    """Names of groups to delete."""

    account: str = msgspec.field(name="From_Account", default="")
    names: Annotated[list[str], at_most(AT_ONCE, least=1)] = msgspec.field(name="GroupName", default_factory=list)


class ConversationGroupsReply(Reply):
    """Deleted groups."""

    groups: list[ConversationGroup] = msgspec.field(name="GroupItem", default_factory=list)


class GroupMemberChange(msgspec.Struct, kw_only=True):
    """A conversation to put into a group (`ContactOptType` 1), or to take out (2)."""

    operation: Int = msgspec.field(name="ContactOptType", default=ADD)
    conversation: ConversationName = msgspec.field(name="ContactItem")


class ConversationGroupChange(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A change of a group: `UpdateGroupType` 1 renames it, 2 changes up to 100 conversations of it."""

    type: Int = msgspec.field(name="UpdateGroupType", default=NAME)
    name: str = msgspec.field(name="OldGroupName", default="")
    new_name: str = msgspec.field(name="NewGroupName", default="")
    members: Annotated[list[GroupMemberChange], at_most(AT_ONCE)] = msgspec.field(
        name="ContactUpdateItem", default_factory=list
    )


class UpdateConversationGroupRequest(Body, kw_only=True):
    """A change of a group. Only `UpdateType` 1, a change by the name of the group, is served."""

    account: str = msgspec.field(name="From_Account", default="")
    type: Int = msgspec.field(name="UpdateType", default=BY_GROUP)
    change: ConversationGroupChange = msgspec.field(name="UpdateGroup")


class ConversationGroupResult(msgspec.Struct, kw_only=True):
    """A group after a change, and the results of its conversations."""

    number: Int = msgspec.field(name="GroupId", default=0)
    name: str = msgspec.field(name="GroupName", default="")
    results: list[LabelResult] = msgspec.field(name="ContactResultItem", default_factory=list)


class UpdateConversationGroupReply(Reply):
    """The group after the change."""

    result: ConversationGroupResult = msgspec.field(name="UpdateGroupResult", default_factory=ConversationGroupResult)


class LabelsItem(ConversationName, kw_only=True):
    """A conversation with labels: marks as bits, the last character is mark 0; custom data; numbers of groups."""

    marks: str = msgspec.field(name="StandardMark", default="")
    custom: str = msgspec.field(name="CustomMark", default="")
    groups: list[Int] = msgspec.field(name="ContactGroupId", default_factory=list)
    code: Int = msgspec.field(name="ResultCode", default=0)

    @property
    def key(self) -> ConversationKey:
        """The conversation."""
        if self.type == ConversationType.GROUP:
            return ConversationKey(ConversationType.GROUP, self.group_id)
        return ConversationKey(ConversationType.C2C, self.to_account)

    def group_names(self, groups: Sequence[ConversationGroup]) -> frozenset[str]:
        """Return the names of the groups in which the conversation is."""
        return frozenset(group.name for group in groups if group.number in self.groups)


class ListLabelsRequest(Body):
    """A query for a page of conversations with labels, from `StartIndex` on, and for all groups."""

    account: str = msgspec.field(name="From_Account", default="")
    start: Int = msgspec.field(name="StartIndex", default=0)


class ListLabelsReply(Reply):
    """A page of conversations with labels, and all groups. CompleteFlag is 1 on the last page."""

    groups: list[ConversationGroup] = msgspec.field(name="GroupItem", default_factory=list)
    items: list[LabelsItem] = msgspec.field(name="ContactItem", default_factory=list)
    complete_flag: Int = msgspec.field(name="CompleteFlag", default=1)
    next_start: Int = msgspec.field(name="NextStartIndex", default=0)


class SearchLabelsRequest(Body):
    """A query for the labels of up to 100 conversations."""

    account: str = msgspec.field(name="From_Account", default="")
    conversations: Annotated[list[ConversationName], at_most(AT_ONCE)] = msgspec.field(name="ContactItem", default_factory=list)


class SearchLabelsReply(Reply):
    """The labels in the order of the request, and all groups."""

    groups: list[ConversationGroup] = msgspec.field(name="GroupItem", default_factory=list)
    items: list[LabelsItem] = msgspec.field(name="ContactResultItem", default_factory=list)


class LabelsNotice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Labels that another device of this account has changed (timim extension); `TimelineGroups` is 1 if it changed groups."""

    groups_changed: Int = msgspec.field(name="TimelineGroups", default=0)
    groups: list[ConversationGroup] = msgspec.field(name="GroupItem", default_factory=list)
    items: list[LabelsItem] = msgspec.field(name="ContactItem", default_factory=list)


def bits_of(marks: frozenset[int]) -> str:
    """Return marks as bits, "" for none."""
    return f"{sum(1 << mark for mark in marks):b}" if marks else ""


def marks_of(bits: str) -> frozenset[int]:
    """Return the marks of bits."""
    return frozenset(place for place, bit in enumerate(reversed(bits)) if bit == "1")


_SERVICE = "recentcontact."
MARK = Command(_SERVICE + "mark_contact", MarkRequest, MarkReply, doors=Door.BOTH, required=("From_Account",))
CREATE_GROUPS = Command(
    _SERVICE + "create_contact_group",
    CreateConversationGroupsRequest,
    CreateConversationGroupsReply,
    doors=Door.BOTH,
    required=("From_Account",),
)
DELETE_GROUPS = Command(
    _SERVICE + "del_contact_group",
    DeleteConversationGroupsRequest,
    ConversationGroupsReply,
    doors=Door.BOTH,
    required=("From_Account",),
)
UPDATE_GROUP = Command(
    _SERVICE + "update_contact_group",
    UpdateConversationGroupRequest,
    UpdateConversationGroupReply,
    doors=Door.BOTH,
    required=("From_Account",),
)
LIST_LABELS = Command(
    _SERVICE + "get_contact_group", ListLabelsRequest, ListLabelsReply, doors=Door.BOTH, required=("From_Account",)
)
SEARCH_LABELS = Command(
    _SERVICE + "search_contact_group", SearchLabelsRequest, SearchLabelsReply, doors=Door.BOTH, required=("From_Account",)
)
