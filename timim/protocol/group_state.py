"""Bodies of the state of a group that is no property: counters, pinned messages, members online, applications to join."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import BIG_GROUPS, Body, Command, Door, Reply
from .groups import GroupIdRequest
from .numbers import Int, Int64, at_most
from .topics import TopicBody

COUNTERS_LIMIT = 20  # of a group
SET, INCREASE, DECREASE = "Set", "Increase", "Decrease"


class Counter(msgspec.Struct, kw_only=True):
    """A counter of a group, a whole number of 64 bits."""

    key: str = msgspec.field(name="Key")
    value: Int64 = msgspec.field(name="Value", default=0)


class UpdateCountersRequest(Body, kw_only=True):
    """Set counters, or change them by their values. `Mode` is Set, Increase or Decrease."""

    group_id: str = msgspec.field(name="GroupId")
    mode: str = msgspec.field(name="Mode", default=SET)
    counters: Annotated[list[Counter], at_most(COUNTERS_LIMIT)] = msgspec.field(name="GroupCounter", default_factory=list)


class GetCountersRequest(Body, kw_only=True):
    """A query for counters; all counters of the group if no key is given."""

    group_id: str = msgspec.field(name="GroupId")
    keys: Annotated[list[str], at_most(COUNTERS_LIMIT)] = msgspec.field(name="GroupCounterKeys", default_factory=list)


class CountersReply(Reply):
    """The requested or changed counters. GroupCounterSeq increases with each change of a counter."""

    counters: list[Counter] = msgspec.field(name="GroupCounter", default_factory=list)
    seq: Int = msgspec.field(name="GroupCounterSeq", default=0)


class PinMessageRequest(TopicBody, kw_only=True):
    """Pin a message of a group for all members, or unpin it."""

    seq: Int = msgspec.field(name="MsgSeq")


class GetPinnedRequest(TopicBody, kw_only=True):
    """A query for the pinned messages of a group."""


class PinnedItem(msgspec.Struct, kw_only=True):
    """The members of a pinned message that name it, and the user who pinned it; the whole message has more."""

    seq: Int = msgspec.field(name="MsgSeq")
    user: str = msgspec.field(name="Pinner_Account", default="")


class PinnedMessagesReply(Reply):
    """The pinned messages that the asking account may see, in the order in which they were pinned."""

    messages: list[msgspec.Raw] = msgspec.field(name="PinnedMsgList", default_factory=list)


class OnlineMembersReply(Reply):
    """The number of members who have a device online."""

    count: int = msgspec.field(name="OnlineMemberNum", default=0)


class JoinApplicationsRequest(Body):
    """A query for the applications that the asking account may answer, in all its groups."""

    limit: Int = msgspec.field(name="Limit", default=100)


class JoinApplicationItem(msgspec.Struct, kw_only=True):
    """An application to join a group, by the user, or by a member who invites the user. `Time` is in server seconds."""

    from_account: str = msgspec.field(name="From_Account")  # the applicant, or the member who invites
    to_account: str = msgspec.field(name="To_Account", default="")  # the user who would join
    group_id: str = msgspec.field(name="GroupId")
    group_name: str = msgspec.field(name="GroupName", default="")
    nick: str = msgspec.field(name="FromUserNickName", default="")
    wording: str = msgspec.field(name="ApplyInviteMsg", default="")
    kind: Int = msgspec.field(name="ApplicationType", default=0)  # 0: of the user, 2: an invitation
    handled: Int = msgspec.field(name="Handled", default=0)
    authentication: str = msgspec.field(name="Authentication", default="")  # the web client sends it back with the answer
    time: Int = msgspec.field(name="Time", default=0)


class JoinApplicationsReply(Reply):
    """The applications, oldest first. NextStartTime is always 0: one reply has all."""

    items: list[JoinApplicationItem] = msgspec.field(name="PendencyList", default_factory=list)
    next: Int = msgspec.field(name="NextStartTime", default=0)


class GroupStateNotice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A change of counters or of a pinned message, for members who are online (timim extension)."""

    group_id: str = msgspec.field(name="GroupId")
    user: str = msgspec.field(name="Operator_Account", default="")
    counters: list[Counter] = msgspec.field(name="GroupCounter", default_factory=list)
    pinned: Int = msgspec.field(name="TimelinePinnedSeq", default=0)
    unpinned: Int = msgspec.field(name="TimelineUnpinnedSeq", default=0)


_GROUPS = "group_open_http_svc."
UPDATE_COUNTERS = Command(_GROUPS + "update_group_counter", UpdateCountersRequest, CountersReply, doors=Door.BOTH)
GET_COUNTERS = Command(_GROUPS + "get_group_counter", GetCountersRequest, CountersReply, doors=Door.BOTH)
PIN_MESSAGE = Command(_GROUPS + "pin_message", PinMessageRequest, Reply)
UNPIN_MESSAGE = Command(_GROUPS + "unpin_message", PinMessageRequest, Reply)
GET_PINNED = Command(_GROUPS + "get_pinned_messages", GetPinnedRequest, PinnedMessagesReply)
COUNT_ONLINE = Command(_GROUPS + "get_online_member_num", GroupIdRequest, OnlineMembersReply, doors=Door.BOTH)
LIST_JOIN_APPLICATIONS = Command(_GROUPS + "get_pendency", JoinApplicationsRequest, JoinApplicationsReply)
LIST_COMMUNITY_APPLICATIONS = Command(f"{BIG_GROUPS}.get_pendency", JoinApplicationsRequest, JoinApplicationsReply)
