"""Bodies of message actions: recalling, editing and reacting. Each action is an entry of the message's timeline.

The entry of an action names its target (`TimelineAct`) and has the new values that this kind changes. From then on, the
entry of the message has the same values (`TimelineState`). Of two actions of one kind the one with the higher seq wins, so
the order in which a device receives them does not matter.
"""

from __future__ import annotations

import msgspec

from ..ids import MsgId
from .codec import Body, Command, Door, Reply, Request
from .messages import Address, SeqRange
from .numbers import Int, Int64
from .topics import topic_of


class MessageActionRequest(Body):
    """The sender's id of an action, like that of a message (timim extension); a retry with the same id is the same action."""

    client_time: Int = msgspec.field(name="MsgClientTime", default=0)
    random: Int64 = msgspec.field(name="TimelineRandom", default=0)


class RecallInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A C2C message, identified by MsgSeq, MsgRandom and time, or by timim's `TimelineSeq`."""

    from_account: str = msgspec.field(name="From_Account", default="")
    to_account: str = msgspec.field(name="To_Account", default="")
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    time: Int = msgspec.field(name="MsgTimeStamp", default=0)
    seq: Int = msgspec.field(name="TimelineSeq", default=0)


class RecallC2CRequest(MessageActionRequest, kw_only=True):
    """Recall a C2C message."""

    info: RecallInfo = msgspec.field(name="MsgInfo")


class MessageActionReply(Reply):
    """The entry of the action, `TimelineEntry` (timim extension); absent if nothing changed."""

    entry: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="TimelineEntry", default=msgspec.UNSET)


class SeqItem(msgspec.Struct, kw_only=True):
    seq: Int = msgspec.field(name="MsgSeq")


class RecallGroupRequest(MessageActionRequest, kw_only=True):
    """Recall up to 10 messages of a group, or of its topic `TopicId`."""

    group_id: str = msgspec.field(name="GroupId")
    topic_id: str = msgspec.field(name="TopicId", default="")
    items: list[SeqItem] = msgspec.field(name="MsgSeqList", default_factory=list)

    def __post_init__(self) -> None:
        self.group_id = topic_of(self.group_id, self.topic_id)


class RecallResult(msgspec.Struct, kw_only=True):
    """The result for one message; 0 if it was recalled."""

    seq: Int = msgspec.field(name="MsgSeq")
    code: Int = msgspec.field(name="RetCode", default=0)


class RecallGroupReply(MessageActionReply):
    results: list[RecallResult] = msgspec.field(name="RecallRetList", default_factory=list)


class EditC2CRequest(MessageActionRequest, kw_only=True):
    """A new body of a C2C message, identified by From, To, MsgSeq, MsgRandom and MsgTime, or by timim's `TimelineSeq`."""

    from_account: str = msgspec.field(name="From_Account", default="")
    to_account: str = msgspec.field(name="To_Account", default="")
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    time: Int = msgspec.field(name="MsgTime", default=0)
    seq: Int = msgspec.field(name="TimelineSeq", default=0)
    version: Int = msgspec.field(name="MsgVersion", default=0)
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")


class EditGroupRequest(MessageActionRequest, kw_only=True):
    """A new body of a message of a group, or of its topic `TopicId`."""

    group_id: str = msgspec.field(name="GroupId")
    topic_id: str = msgspec.field(name="TopicId", default="")
    seq: Int = msgspec.field(name="MsgSeq")
    version: Int = msgspec.field(name="MsgVersion", default=0)
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")

    def __post_init__(self) -> None:
        self.group_id = topic_of(self.group_id, self.topic_id)


class EditReply(MessageActionReply):
    """The number of edits, `MsgVersion`, and the new content, which the web client expects."""

    version: Int = msgspec.field(name="MsgVersion", default=0)
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody", default=msgspec.Raw(b"[]"))
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")


class ReactRequest(MessageActionRequest, kw_only=True):
    """Add or remove the sender's reaction to a message of a C2C conversation or of a group (timim extension)."""

    peer: str = msgspec.field(name="Peer_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    seq: Int = msgspec.field(name="TimelineSeq")
    reaction: str = msgspec.field(name="Reaction")
    removed: Int = msgspec.field(name="Removed", default=0)


class GetMessageActionsRequest(Body, kw_only=True):
    """A query for the actions in a `TimelineRange` of a group's timeline, oldest first (timim extension)."""

    group_id: str = msgspec.field(name="GroupId")
    timeline_range: SeqRange = msgspec.field(name="TimelineRange")


class GetMessageActionsReply(Reply):
    """All actions in `TimelineRange`, a part of the requested range."""

    actions: list[msgspec.Raw] = msgspec.field(name="TimelineActs", default_factory=list)
    timeline_range: SeqRange = msgspec.field(name="TimelineRange", default=(1, 0))


RECALL_C2C = Command("openim.msgwithdraw", RecallC2CRequest, MessageActionReply)
RECALL_GROUP = Command("group_open_http_svc.group_msg_recall", RecallGroupRequest, RecallGroupReply, doors=Door.BOTH)
EDIT_C2C = Command("openim.modify_c2c_msg", EditC2CRequest, EditReply)
EDIT_GROUP = Command("openim.modify_group_msg", EditGroupRequest, EditReply)
REACT_TO = Command("timeline.react", ReactRequest, MessageActionReply)
GET_MESSAGE_ACTIONS = Command("timeline.acts_get", GetMessageActionsRequest, GetMessageActionsReply)


def recall_request(address: Address, seq: int, name: MsgId, sender: str) -> Request[MessageActionReply]:
    """Return the request that recalls the message `seq`; `name` identifies retries of the same recall."""
    if address.group_id:
        group = RecallGroupRequest(group_id=address.group_id, items=[SeqItem(seq=seq)])
        group.client_time, group.random = name.client_time, name.number
        return RECALL_GROUP.request(group)
    info = RecallInfo(from_account=sender, to_account=address.peer, seq=seq)
    return RECALL_C2C.request(RecallC2CRequest(info=info, client_time=name.client_time, random=name.number))


def edit_request(
    address: Address, seq: int, name: MsgId, sender: str, body: bytes, cloud_custom_data: str
) -> Request[MessageActionReply]:
    """Return the request that replaces the content of the message `seq`; `body` has the encoded elems."""
    if address.group_id:
        group = EditGroupRequest(group_id=address.group_id, seq=seq, msg_body=msgspec.Raw(body))
        group.cloud_custom_data = cloud_custom_data
        group.client_time, group.random = name.client_time, name.number
        return EDIT_GROUP.request(group)
    c2c = EditC2CRequest(from_account=sender, to_account=address.peer, seq=seq, msg_body=msgspec.Raw(body))
    c2c.cloud_custom_data = cloud_custom_data
    c2c.client_time, c2c.random = name.client_time, name.number
    return EDIT_C2C.request(c2c)
