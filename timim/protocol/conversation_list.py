"""Bodies of the conversation list (`recentcontact`)."""

from __future__ import annotations

import msgspec

from .codec import Body, Command, Reply
from .numbers import Int
from .session import ReceiptNotice

__all__ = [
    "LIST_CONVERSATIONS",
    "TYPE_C2C",
    "TYPE_GROUP",
    "TYPE_SYSTEM",
    "ConversationItem",
    "LastMsg",
    "ListConversationsReply",
    "ListConversationsRequest",
    "ReceiptNotice",
]

TYPE_C2C = 1
TYPE_GROUP = 2
TYPE_SYSTEM = 3  # timim extension: sent only to timim clients (TimelineMessages)


class ListConversationsRequest(Body):
    """A page of conversations, newest first. StartIndex or TimeStamp is that of the last reply, or 0 for the first page."""

    time_stamp: Int = msgspec.field(name="TimeStamp", default=0)
    start_index: Int = msgspec.field(name="StartIndex", default=0)
    count: Int = msgspec.field(name="Count", default=100)
    messages: Int = msgspec.field(name="TimelineMessages", default=0)  # 1: with the whole last message of each conversation
    since: Int = msgspec.field(name="TimelineSince", default=0)  # only conversations that changed since that reply; 0: all


class ConversationItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation: its peer, a summary of its last message, and the state of its timeline (timim extension)."""

    type: Int = msgspec.field(name="Type")
    to_account: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="ToGroupId", default="")
    msg_time: Int = msgspec.field(name="MsgTimeStamp", default=0)
    last_seq: Int = msgspec.field(name="TimelineLastSeq", default=0)
    read_seq: Int = msgspec.field(name="TimelineReadSeq", default=0)
    first_visible_seq: Int = msgspec.field(name="TimelineFloor", default=0)
    message: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="TimelineMessage", default=msgspec.UNSET)
    action_seq: Int = msgspec.field(name="TimelineActSeq", default=0)  # seq of the last message action
    peer_read_seq: Int = msgspec.field(name="TimelinePeerReadSeq", default=0)
    unread_now: Int = msgspec.field(name="TimelineUnread", default=0)
    mentioned: Int = msgspec.field(name="TimelineMentioned", default=0)
    unread_seq: Int = msgspec.field(name="TimelineUnreadSeq", default=0)  # seq up to which the server counted unread messages
    pinned: Int = msgspec.field(name="TimelinePinned", default=0)  # time of pinning
    muted: Int = msgspec.field(name="TimelineMuted", default=0)
    draft: str = msgspec.field(name="TimelineDraft", default="")
    settings_version: Int = msgspec.field(name="TimelineSettingsVersion", default=0)  # of pinned, muted and draft
    # TimelineSettingsVersion at which an administrator set the read seq back the last time
    read_reset: Int = msgspec.field(name="TimelineReadReset", default=0)
    # fields that Tencent's web client expects when TimelineMessages was not requested
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    last_c2c_from: str = msgspec.field(name="LastC2CMsgFrom_Account", default="")
    last_group_from: str = msgspec.field(name="MsgGroupFrom_Account", default="")
    last_msg: LastMsg | msgspec.UnsetType = msgspec.field(name="LastMsg", default=msgspec.UNSET)
    peer_nick: str = msgspec.field(name="PeerNick", default="")
    peer_image: str = msgspec.field(name="PeerAvatar", default="")
    group_account: str = msgspec.field(name="ToAccount", default="")
    group_name: str = msgspec.field(name="GroupNick", default="")
    group_type: str = msgspec.field(name="GroupType", default="")
    sender_nick: str = msgspec.field(name="SenderNick", default="")
    sender_card: str = msgspec.field(name="SenderNameCard", default="")
    next_seq: Int = msgspec.field(name="GroupNextMsgSeq", default=0)
    group_read_seq: Int = msgspec.field(name="MsgGroupReadedSeq", default=0)
    peer_read_time: Int = msgspec.field(name="C2cPeerReadTime", default=0)
    unread: Int = msgspec.field(name="UnreadMsgCount", default=0)
    last_msg_flags: Int = msgspec.field(name="LastMsgFlags", default=0)  # 8 in C2C, 2 in a group: recalled
    not_unread: Int = msgspec.field(name="GroupIgnoredUnreadSeqCount", default=0)
    top_flags: Int = msgspec.field(name="TopFlags", default=0)  # 1: pinned
    top_time: Int = msgspec.field(name="TopTimeStamp", default=0)
    marks: str = msgspec.field(name="StandardMark", default="")  # see labels.py
    custom: str = msgspec.field(name="CustomMark", default="")
    label_groups: list[Int] = msgspec.field(name="ContactGroupId", default_factory=list)


class LastMsg(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of a conversation's last message, for the conversation list."""

    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")


class ListConversationsReply(Reply):
    """A page of conversations. CompleteFlag is 1 on the last page; without it, the web client requests pages forever."""

    complete_flag: Int = msgspec.field(name="CompleteFlag", default=1)
    start_index: Int = msgspec.field(name="StartIndex", default=0)
    time_stamp: Int = msgspec.field(name="TimeStamp", default=0)
    since: Int = msgspec.field(name="TimelineSince", default=0)  # `TimelineSince` of the next request
    items: list[ConversationItem] = msgspec.field(name="SessionItem", default_factory=list)
    receipts: list[ReceiptNotice] = msgspec.field(
        name="TimelineReceipts", default_factory=list
    )  # receipts that changed since the last sync
    deletions: Int = msgspec.field(name="TimelineDeletions", default=0)  # the last number of the log of deletions


class RawConversationsReply(Reply):
    """ListConversationsReply as a client decodes it, so that one malformed item does not hide the others."""

    complete_flag: Int = msgspec.field(name="CompleteFlag", default=1)
    start_index: Int = msgspec.field(name="StartIndex", default=0)
    since: Int = msgspec.field(name="TimelineSince", default=0)
    items: list[msgspec.Raw] = msgspec.field(name="SessionItem", default_factory=list)
    receipts: list[msgspec.Raw] = msgspec.field(name="TimelineReceipts", default_factory=list)
    deletions: Int = msgspec.field(name="TimelineDeletions", default=0)


class ConversationName(msgspec.Struct, kw_only=True):
    """The members of a ConversationItem that name the conversation."""

    type: Int = msgspec.field(name="Type")
    to_account: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="ToGroupId", default="")


FETCH_CONVERSATIONS = Command("recentcontact.page_get", ListConversationsRequest, RawConversationsReply)
LIST_CONVERSATIONS = Command("recentcontact.page_get", ListConversationsRequest, ListConversationsReply)
