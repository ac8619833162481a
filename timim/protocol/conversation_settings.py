"""Bodies about an account's settings of a conversation (pinned, muted, draft) and about reading, Tencent's and timim's."""

from __future__ import annotations

from typing import Any

import msgspec

from .codec import Body, Command, Reply
from .message_actions import SeqItem
from .session import ReceiptNotice

PIN, UNPIN = 1, 2


class PinItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation: Type 1 and To_Account, or Type 2 and ToGroupId."""

    type: int = msgspec.field(name="Type", default=1)
    to_account: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="ToGroupId", default="")


class PinRequest(Body):
    """OperationType 1 pins, 2 ends it."""

    operation: int = msgspec.field(name="OperationType", default=PIN)
    items: list[PinItem] = msgspec.field(name="RecentContactItem", default_factory=list)


class MuteC2CRequest(Body):
    """Mute_Notifications 1: messages of these users come without a notification; 0 ends it."""

    peers: list[str] = msgspec.field(name="Peer_Account", default_factory=list)
    mute: int = msgspec.field(name="Mute_Notifications", default=0)


class GetMutedC2CRequest(Body):
    """Users, to learn whose messages come without a notification."""

    peers: list[str] = msgspec.field(name="Peer_Account", default_factory=list)


class MutedItem(msgspec.Struct, kw_only=True):
    peer: str = msgspec.field(name="Peer_Account")
    mute: int = msgspec.field(name="Mute_Notifications")


class GetMutedC2CReply(Reply):
    items: list[MutedItem] = msgspec.field(name="MuteNotificationsList", default_factory=list)


class SetConversationSettingsRequest(Body, kw_only=True):
    """Settings to change (timim extension); absent ones stay. `TimelinePinned`, `TimelineMuted`: 1 or 0."""

    peer: str = msgspec.field(name="Peer_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    system: int = msgspec.field(name="TimelineSystem", default=0)
    pinned: int | msgspec.UnsetType = msgspec.field(name="TimelinePinned", default=msgspec.UNSET)
    muted: int | msgspec.UnsetType = msgspec.field(name="TimelineMuted", default=msgspec.UNSET)
    draft: str | msgspec.UnsetType = msgspec.field(name="TimelineDraft", default=msgspec.UNSET)


class SetConversationSettingsReply(Reply):
    """The settings after the change; TimelinePinned is the server's time of the pinning."""

    pinned: int = msgspec.field(name="TimelinePinned", default=0)
    muted: int = msgspec.field(name="TimelineMuted", default=0)
    draft: str = msgspec.field(name="TimelineDraft", default="")


class ReadPosition(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation, read up to a seq."""

    peer: str = msgspec.field(name="Peer_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    system: int = msgspec.field(name="TimelineSystem", default=0)
    read_seq: int = msgspec.field(name="TimelineReadSeq", default=0)


class ReadConversationsRequest(Body):
    """Conversations that this account has read, up to 500 (timim extension)."""

    items: list[ReadPosition] = msgspec.field(name="TimelineReads", default_factory=list)


class ReadState(msgspec.Struct, kw_only=True):
    """The read position of a conversation, and the unread messages up to `TimelineUnreadSeq`."""

    read_seq: int = msgspec.field(name="TimelineReadSeq", default=0)
    unread: int = msgspec.field(name="TimelineUnread", default=0)
    mentioned: int = msgspec.field(name="TimelineMentioned", default=0)
    unread_seq: int = msgspec.field(name="TimelineUnreadSeq", default=0)


class ReadConversationsReply(Reply):
    """In the order asked."""

    states: list[ReadState] = msgspec.field(name="TimelineReads", default_factory=list)


class SendReceiptsRequest(Body, kw_only=True):
    """Group messages that the asker has read, up to 30."""

    group_id: str = msgspec.field(name="GroupId")
    items: list[SeqItem] = msgspec.field(name="MsgSeqList", default_factory=list)


class GetReceiptsRequest(Body, kw_only=True):
    """Group messages of the asker, to count their readers."""

    group_id: str = msgspec.field(name="GroupId")
    items: list[SeqItem] = msgspec.field(name="MsgSeqList", default_factory=list)


class GetReceiptsReply(Reply):
    receipts: list[ReceiptNotice] = msgspec.field(name="GroupMsgReceiptList", default_factory=list)


class GetReadersRequest(Body, kw_only=True):
    """A group message of the asker, to list its readers (`Flag` 0) or the others (1), a page from `Cursor` on."""

    group_id: str = msgspec.field(name="GroupId")
    seq: int = msgspec.field(name="MsgSeq")
    flag: int = msgspec.field(name="Flag", default=0)
    cursor: Any = msgspec.field(name="Cursor", default=0)  # text or number: what the last reply said
    count: int = msgspec.field(name="Num", default=100)


class ReaderItem(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="Read_Account")
    time: int = msgspec.field(name="ReadTime", default=0)


class NonReaderItem(msgspec.Struct, kw_only=True):
    account: str = msgspec.field(name="Unread_Account")


class GetReadersReply(Reply):
    """IsFinish 1: the last page."""

    read: list[ReaderItem] = msgspec.field(name="ReadList", default_factory=list)
    unread: list[NonReaderItem] = msgspec.field(name="UnreadList", default_factory=list)
    cursor: int = msgspec.field(name="Cursor", default=0)
    finished: int = msgspec.field(name="IsFinish", default=1)


PIN_CONVERSATIONS = Command("recentcontact.top", PinRequest, Reply)
MUTE_C2C = Command("openim.set_c2c_peer_mute_notifications", MuteC2CRequest, Reply)
GET_MUTED_C2C = Command("openim.get_c2c_peer_mute_notifications", GetMutedC2CRequest, GetMutedC2CReply)
SET_CONVERSATION_SETTINGS = Command("timeline.marks_set", SetConversationSettingsRequest, SetConversationSettingsReply)
READ_CONVERSATIONS = Command("timeline.read", ReadConversationsRequest, ReadConversationsReply)
SEND_RECEIPTS = Command("group_open_http_svc.group_msg_receipt", SendReceiptsRequest, Reply)
GET_RECEIPTS = Command("group_open_http_svc.get_group_msg_receipt", GetReceiptsRequest, GetReceiptsReply)
GET_READERS = Command("group_open_http_svc.get_group_msg_receipt_detail", GetReadersRequest, GetReadersReply)
