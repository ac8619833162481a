"""Bodies of conversation settings (pinned, muted, draft) and of read positions and receipts, Tencent's and timim's."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Door, Reply
from .message_actions import SeqItem
from .numbers import Int, at_most

PIN, UNPIN = 1, 2
RECEIPTS_AT_ONCE = 30  # of C2C messages


class PinItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation: Type 1 and To_Account, or Type 2 and ToGroupId."""

    type: Int = msgspec.field(name="Type", default=1)
    to_account: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="ToGroupId", default="")


class PinRequest(Body):
    """Pin or unpin a conversation. OperationType 1 pins, 2 unpins."""

    operation: Int = msgspec.field(name="OperationType", default=PIN)
    items: list[PinItem] = msgspec.field(name="RecentContactItem", default_factory=list)


class MuteC2CRequest(Body):
    """Mute or unmute C2C conversations. Mute_Notifications 1 mutes, 0 unmutes."""

    peers: list[str] = msgspec.field(name="Peer_Account", default_factory=list)
    mute: Int = msgspec.field(name="Mute_Notifications", default=0)


NOTIFYING, MUTED = "AcceptAndNotify", "AcceptNotNotify"  # MsgFlag of a group or topic
MSG_FLAGS = (NOTIFYING, MUTED, "Discard")


class GetMutedC2CRequest(Body):
    """A query that returns the muted users among some users."""

    peers: list[str] = msgspec.field(name="Peer_Account", default_factory=list)


class MutedItem(msgspec.Struct, kw_only=True):
    peer: str = msgspec.field(name="Peer_Account")
    mute: Int = msgspec.field(name="Mute_Notifications")


class GetMutedC2CReply(Reply):
    items: list[MutedItem] = msgspec.field(name="MuteNotificationsList", default_factory=list)


class SetConversationSettingsRequest(Body, kw_only=True):
    """Settings to change (timim extension); absent ones do not change. `TimelinePinned` and `TimelineMuted` are 1 or 0.

    A change that is sent again has `TimelineAge`. It is not applied if another device has changed the setting later.
    """

    peer: str = msgspec.field(name="Peer_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    system: Int = msgspec.field(name="TimelineSystem", default=0)
    pinned: Int | msgspec.UnsetType = msgspec.field(name="TimelinePinned", default=msgspec.UNSET)
    muted: Int | msgspec.UnsetType = msgspec.field(name="TimelineMuted", default=msgspec.UNSET)
    draft: str | msgspec.UnsetType = msgspec.field(name="TimelineDraft", default=msgspec.UNSET)
    age_ms: Int = msgspec.field(name="TimelineAge", default=0)  # milliseconds since the user made the change


class SetConversationSettingsReply(Reply):
    """The settings after the change. TimelinePinned is the server time of pinning; each change raises the version."""

    pinned: Int = msgspec.field(name="TimelinePinned", default=0)
    muted: Int = msgspec.field(name="TimelineMuted", default=0)
    draft: str = msgspec.field(name="TimelineDraft", default="")
    version: Int = msgspec.field(name="TimelineSettingsVersion", default=0)


class ReadPosition(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A read position of a conversation."""

    peer: str = msgspec.field(name="Peer_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    system: Int = msgspec.field(name="TimelineSystem", default=0)
    read_seq: Int = msgspec.field(name="TimelineReadSeq", default=0)


class ReadConversationsRequest(Body):
    """Conversations that this account has read, up to 500 (timim extension)."""

    items: list[ReadPosition] = msgspec.field(name="TimelineReads", default_factory=list)


class ReadState(msgspec.Struct, kw_only=True):
    """The read position of a conversation, and the unread messages up to `TimelineUnreadSeq`."""

    read_seq: Int = msgspec.field(name="TimelineReadSeq", default=0)
    unread: Int = msgspec.field(name="TimelineUnread", default=0)
    mentioned: Int = msgspec.field(name="TimelineMentioned", default=0)
    unread_seq: Int = msgspec.field(name="TimelineUnreadSeq", default=0)


class ReadConversationsReply(Reply):
    """The read states, in the order of the request."""

    states: list[ReadState] = msgspec.field(name="TimelineReads", default_factory=list)


class UnreadQuery(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation, and the seq above which its unread messages are counted."""

    peer: str = msgspec.field(name="Peer_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    system: Int = msgspec.field(name="TimelineSystem", default=0)
    after: Int = msgspec.field(name="TimelineAfter", default=0)


class CountUnreadRequest(Body):
    """Conversations whose unread messages are to be counted, up to 500 (timim extension)."""

    items: list[UnreadQuery] = msgspec.field(name="TimelineReads", default_factory=list)


class CountUnreadReply(Reply):
    """The unread messages above the higher of `TimelineAfter` and the read position, in the order of the request."""

    states: list[ReadState] = msgspec.field(name="TimelineReads", default_factory=list)


class GroupReadSeq(msgspec.Struct, kw_only=True):
    """A group, and the seq up to which it is read."""

    group_id: str = msgspec.field(name="GroupId")
    seq: Int = msgspec.field(name="MsgSeq")


class ReadAllRequest(Body):
    """Mark all C2C conversations as read (C2CReadAllMsg 1), the newest 500, and up to 500 groups."""

    all_c2c: Int = msgspec.field(name="C2CReadAllMsg", default=0)
    groups: list[GroupReadSeq] = msgspec.field(name="GroupReadInfo", default_factory=list)


class GroupReadResult(GroupReadSeq, kw_only=True):
    """The result for one group; 0 if it is marked as read."""

    code: Int = msgspec.field(name="RetCode", default=0)


class ReadAllReply(Reply):
    """The results in the order of the request."""

    all_c2c: Int = msgspec.field(name="C2CReadAllMsg", default=0)
    groups: list[GroupReadResult] = msgspec.field(name="GroupReadInfoArray", default_factory=list)


class SendReceiptsRequest(Body, kw_only=True):
    """Up to 30 group messages that the requesting account has read."""

    group_id: str = msgspec.field(name="GroupId")
    items: list[SeqItem] = msgspec.field(name="MsgSeqList", default_factory=list)


class ReadMessage(msgspec.Struct, kw_only=True):
    """A C2C message that the receiver has read, named by its `MsgKey`, or by MsgSeq, MsgRandom and MsgTime."""

    from_account: str = msgspec.field(name="From_Account")
    to_account: str = msgspec.field(name="To_Account", default="")
    msg_key: str = msgspec.field(name="MsgKey", default="")
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    time: Int = msgspec.field(name="MsgTime", default=0)


class SendC2CReceiptsRequest(Body, kw_only=True):
    """Up to 30 messages of a user that the requesting account has read. Those that request no receipt are ignored."""

    account: str = msgspec.field(name="Operator_Account", default="")
    peer: str = msgspec.field(name="Peer_Account")
    messages: Annotated[list[ReadMessage], at_most(RECEIPTS_AT_ONCE, least=1)] = msgspec.field(
        name="C2CMsgInfo", default_factory=list
    )


class GetReceiptsRequest(Body, kw_only=True):
    """A query for the number of readers of each of the caller's messages in a group."""

    group_id: str = msgspec.field(name="GroupId")
    items: list[SeqItem] = msgspec.field(name="MsgSeqList", default_factory=list)


class ReceiptItem(msgspec.Struct, kw_only=True):
    """The number of members who have read a message, and of those who have not."""

    seq: Int = msgspec.field(name="MsgSeq")
    readers: Int = msgspec.field(name="ReadNum", default=0)
    others: Int = msgspec.field(name="UnreadNum", default=0)
    code: Int = msgspec.field(name="Code", default=0)


class GetReceiptsReply(Reply):
    receipts: list[ReceiptItem] = msgspec.field(name="GroupMsgReceiptList", default_factory=list)


class GetReadersRequest(Body, kw_only=True):
    """A query for a page, from `Cursor` on, of the members who have read the caller's message (`Flag` 0) or have not (1)."""

    group_id: str = msgspec.field(name="GroupId")
    seq: Int = msgspec.field(name="MsgSeq")
    flag: Int = msgspec.field(name="Flag", default=0)
    cursor: Int | str | None = msgspec.field(name="Cursor", default=0)  # from the last reply
    count: Int = msgspec.field(name="Num", default=100)


class ReaderItem(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="Read_Account")
    time: Int = msgspec.field(name="ReadTime", default=0)


class NonReaderItem(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="Unread_Account")


class GetReadersReply(Reply):
    """A page of readers. IsFinish is 1 on the last page."""

    read: list[ReaderItem] = msgspec.field(name="ReadList", default_factory=list)
    unread: list[NonReaderItem] = msgspec.field(name="UnreadList", default_factory=list)
    cursor: Int = msgspec.field(name="Cursor", default=0)
    finished: Int = msgspec.field(name="IsFinish", default=1)


PIN_CONVERSATIONS = Command("recentcontact.top", PinRequest, Reply)
MUTE_C2C = Command("openim.set_c2c_peer_mute_notifications", MuteC2CRequest, Reply)
GET_MUTED_C2C = Command("openim.get_c2c_peer_mute_notifications", GetMutedC2CRequest, GetMutedC2CReply)
SET_CONVERSATION_SETTINGS = Command("timeline.marks_set", SetConversationSettingsRequest, SetConversationSettingsReply)
READ_CONVERSATIONS = Command("timeline.read", ReadConversationsRequest, ReadConversationsReply)
READ_ALL = Command("openim.read_all_unread_msg", ReadAllRequest, ReadAllReply)
COUNT_UNREAD = Command("timeline.unread", CountUnreadRequest, CountUnreadReply)
SEND_C2C_RECEIPTS = Command(
    "openim.c2c_msg_read_receipt", SendC2CReceiptsRequest, Reply, doors=Door.BOTH, required=("Operator_Account",)
)
SEND_RECEIPTS = Command("group_open_http_svc.group_msg_receipt", SendReceiptsRequest, Reply)
GET_RECEIPTS = Command("group_open_http_svc.get_group_msg_receipt", GetReceiptsRequest, GetReceiptsReply)
GET_READERS = Command("group_open_http_svc.get_group_msg_receipt_detail", GetReadersRequest, GetReadersReply)
