"""Bodies of messages and history: C2C, group and system. See Tencent Chat's v4 REST documents of the same names.

Each history command has two forms: Tencent's, by time or by count, and the timim extension, by seq. The latter has
`TimelineRange: [first, last]`; the reply has its newest `MaxCnt` entries, and names the interval that they cover: it
has a message or a tombstone for each seq of this interval.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..ids import SYSTEM_CONVERSATION, ConversationKey, ConversationType
from .codec import Body, Command, Door, Reply, Request
from .entries import MentionItem, MessageControl, PushInfo
from .numbers import Flag, Int
from .topics import TopicBody

SeqRange = tuple[Int, Int]
ControlField = list[str] | MessageControl  # REST clients send the names, the web client an object
NO_CONTROL = MessageControl()
NEWER = 1  # a GetDirection
REPLY_TOO_LONG = 10018  # the code of a refusal that replaces a reply which is too long for one websocket message


class SendC2CRequest(Body, kw_only=True):
    """A C2C message. `MsgLifeTime: 0` is an online message, which is not stored and gets no seq.

    A longer `MsgLifeTime`, in seconds, ends the time in which devices get the message as new. It stays in the history.
    """

    to_account: str = msgspec.field(name="To_Account")
    from_account: str = msgspec.field(name="From_Account", default="")
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    client_time: Int = msgspec.field(name="MsgClientTime", default=0)
    source: Int = msgspec.field(name="TimelineMsgSource", default=0)  # third part of the msg_id (timim extension)
    msg_life_time: Int | msgspec.UnsetType = msgspec.field(name="MsgLifeTime", default=msgspec.UNSET)
    online_only: Flag = msgspec.field(name="OnlineOnlyFlag", default=0)  # 1 is the same as a MsgLifeTime of 0
    control: ControlField = msgspec.field(name="SendMsgControl", default=NO_CONTROL)
    sync_other_machine: Int = msgspec.field(name="SyncOtherMachine", default=1)  # 2, over REST only: no copy for the sender
    receipt: Flag = msgspec.field(name="IsNeedReadReceipt", default=0)  # 1: request a receipt
    extensible: Flag = msgspec.field(name="SupportMessageExtension", default=0)  # 1: users may set extensions
    without_callbacks: list[str] = msgspec.field(name="ForbidCallbackControl", default_factory=list)  # must be empty
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")
    push: PushInfo | msgspec.UnsetType = msgspec.field(name="OfflinePushInfo", default=msgspec.UNSET)
    ask: Int = msgspec.field(
        name="TimelineAsk", default=0
    )  # 1: store nothing, return the seq of this msg_id, or 0 if it is unknown


class SenderInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The server's data about a message's sender (timim extension)."""

    nick: str = msgspec.field(name="From_AccountNick", default="")
    face_url: str = msgspec.field(name="From_AccountHeadurl", default="")
    custom: dict[str, str] = msgspec.field(name="TimelineCustom", default_factory=dict)
    name_card: str = msgspec.field(name="From_AccountNameCard", default="")
    role: str = msgspec.field(name="TimelineRole", default="")
    member_custom: dict[str, str] = msgspec.field(name="TimelineMemberCustom", default_factory=dict)


class SendC2CReply(Reply):
    """The reply to a C2C message. TimelineSeq is 0 for an online message."""

    msg_time: Int = msgspec.field(name="MsgTime", default=0)
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    msg_key: str = msgspec.field(name="MsgKey", default="")
    timeline_seq: Int = msgspec.field(name="TimelineSeq", default=0)
    sender: SenderInfo | msgspec.UnsetType = msgspec.field(name="TimelineSender", default=msgspec.UNSET)


class SendGroupRequest(TopicBody, kw_only=True):
    """A group message. REST requests name the sender as `From_Account`."""

    from_account: str = msgspec.field(name="From_Account", default="")
    random: Int = msgspec.field(name="Random", default=0)
    client_seq: Int = msgspec.field(name="ClientSeq", default=0)
    client_time: Int = msgspec.field(name="MsgClientTime", default=0)
    source: Int = msgspec.field(name="TimelineMsgSource", default=0)  # third part of the msg_id (timim extension)
    priority: str = msgspec.field(name="MsgPriority", default="Normal")
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")
    mentions: list[MentionItem] = msgspec.field(name="GroupAtInfo", default_factory=list)
    receipt: Int = msgspec.field(name="NeedReadReceipt", default=0)  # 1: request a receipt
    receivers: list[str] = msgspec.field(name="To_Account", default_factory=list)  # the only members who get the message
    online_only: Flag = msgspec.field(name="OnlineOnlyFlag", default=0)  # 1: to devices online now; not stored, no seq
    control: ControlField = msgspec.field(name="SendMsgControl", default=NO_CONTROL)
    extensible: Flag = msgspec.field(name="SupportMessageExtension", default=0)  # 1: users may set extensions
    without_callbacks: list[str] = msgspec.field(name="ForbidCallbackControl", default_factory=list)  # must be empty
    push: PushInfo | msgspec.UnsetType = msgspec.field(name="OfflinePushInfo", default=msgspec.UNSET)
    ask: Int = msgspec.field(
        name="TimelineAsk", default=0
    )  # 1: store nothing, return the seq of this msg_id, or 0 if it is unknown


class SendGroupReply(Reply):
    """The reply to a group message. MsgSeq is the timeline's seq."""

    msg_time: Int = msgspec.field(name="MsgTime", default=0)
    msg_seq: Int = msgspec.field(name="MsgSeq", default=0)
    timeline_seq: Int = msgspec.field(name="TimelineSeq", default=0)
    sender: SenderInfo | msgspec.UnsetType = msgspec.field(name="TimelineSender", default=msgspec.UNSET)


class RangeReply(Reply):
    """The proof in each history reply (timim extension): the covered interval, and the first and last seq of the timeline."""

    timeline_range: SeqRange | msgspec.UnsetType = msgspec.field(name="TimelineRange", default=msgspec.UNSET)
    timeline_floor: Int = msgspec.field(name="TimelineFloor", default=0)
    timeline_last_seq: Int = msgspec.field(name="TimelineLastSeq", default=0)


class RoamC2CRequest(Body):
    """A query for C2C history: up to MaxCnt messages before `LastMsgTime` and `MsgKey`, or the newest of `TimelineRange`.

    With GetDirection 1: the oldest ones from `LastMsgTime` on, or after the message with `MsgKey`.
    """

    peer: str = msgspec.field(name="Peer_Account")
    max_cnt: Int = msgspec.field(name="MaxCnt", default=20)
    last_msg_time: Int = msgspec.field(name="LastMsgTime", default=0)
    msg_key: str = msgspec.field(name="MsgKey", default="")
    direction: Int = msgspec.field(name="GetDirection", default=0)
    timeline_range: SeqRange | msgspec.UnsetType = msgspec.field(name="TimelineRange", default=msgspec.UNSET)
    until: Int = msgspec.field(name="TimelineUntil", default=0)  # only entries at or before this server time


class RoamC2CReply(RangeReply):
    """A page of C2C history, oldest first as the web client expects. `Complete` is 1 at the beginning of the history.

    The web client reads the key of the next page from `MsgKey`, REST clients from `LastMsgKey`.
    """

    complete: Int = msgspec.field(name="Complete", default=1)
    msg_cnt: Int = msgspec.field(name="MsgCnt", default=0)
    last_msg_time: Int = msgspec.field(name="LastMsgTime", default=0)
    last_msg_key: str = msgspec.field(name="LastMsgKey", default="")
    msg_key: str = msgspec.field(name="MsgKey", default="")
    messages: list[msgspec.Raw] = msgspec.field(name="MsgList", default_factory=list)


class RoamGroupRequest(TopicBody, kw_only=True):
    """A query for group history: ReqMsgNumber messages up to ReqMsgSeq, or some by seq, or the newest of `TimelineRange`."""

    seq: Int = msgspec.field(name="ReqMsgSeq", default=0)
    number: Int = msgspec.field(name="ReqMsgNumber", default=20)
    seqs: list[Int] = msgspec.field(name="ReqMsgSeqList", default_factory=list)  # up to 20
    timeline_range: SeqRange | msgspec.UnsetType = msgspec.field(name="TimelineRange", default=msgspec.UNSET)
    until: Int = msgspec.field(name="TimelineUntil", default=0)  # only entries at or before this server time


class RoamGroupReply(RangeReply):
    """A page of group history, newest first. `IsFinished` is 1 at the beginning of the history.

    `NextReqMsgSeq` is the ReqMsgSeq of the web client's next request, or 0 if nothing is left.
    """

    group_id: str = msgspec.field(name="GroupId", default="")
    next_seq: Int = msgspec.field(name="NextReqMsgSeq", default=0)
    is_finished: Int = msgspec.field(name="IsFinished", default=1)
    messages: list[msgspec.Raw] = msgspec.field(name="RspMsgList", default_factory=list)


class OfflineC2CRequest(Body):
    """The web client's query for missed C2C messages. `SyncFlag` is 0 in the first request, 1 in the next ones."""

    cookie: str = msgspec.field(name="Cookie", default="")
    sync_flag: Int = msgspec.field(name="SyncFlag", default=0)
    online_sync: Int = msgspec.field(name="IsOnlineSync", default=0)


class PairUnread(msgspec.Struct, kw_only=True):
    """The number of unread messages of one peer."""

    from_account: str = msgspec.field(name="From_Account")
    unread: Int = msgspec.field(name="UnreadCount")


class OfflineC2CReply(Reply):
    """Missed C2C messages. SyncFlag 1: more follow, 2: the last reply. The client ignores unread counts of the last one."""

    cookie: str = msgspec.field(name="Cookie", default="")
    sync_flag: Int = msgspec.field(name="SyncFlag", default=2)
    messages: list[msgspec.Raw] = msgspec.field(name="MsgList", default_factory=list)
    unread: list[PairUnread] = msgspec.field(name="C2CPairUnreadCount", default_factory=list)


class ReadItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation that is read up to a time (Tencent) or a seq (timim extension)."""

    to_account: str = msgspec.field(name="To_Account")
    last_time: Int = msgspec.field(name="LastedMsgTime", default=0)
    read_seq: Int = msgspec.field(name="TimelineReadSeq", default=0)


class ReadItems(msgspec.Struct, kw_only=True, omit_defaults=True):
    cookie: str = msgspec.field(name="Cookie", default="")
    items: list[ReadItem] = msgspec.field(name="C2CMsgReadedItem", default_factory=list)


class ReadC2CRequest(Body):
    """C2C conversations that this account has read."""

    read: ReadItems = msgspec.field(name="C2CMsgReaded")


class ReadGroupRequest(TopicBody, kw_only=True):
    """A group that this account has read up to a seq."""

    read_seq: Int = msgspec.field(name="MsgReadedSeq", default=0)


class RoamSystemRequest(Body):
    """A query for the account's own system timeline (timim extension): the newest MaxCnt of `TimelineRange`."""

    max_cnt: Int = msgspec.field(name="MaxCnt", default=20)
    timeline_range: SeqRange = msgspec.field(name="TimelineRange", default=(1, 1 << 62))
    until: Int = msgspec.field(name="TimelineUntil", default=0)  # only entries at or before this server time


class RoamSystemReply(RangeReply):
    """A page of the system timeline, newest first."""

    messages: list[msgspec.Raw] = msgspec.field(name="MsgList", default_factory=list)


class ReadSystemRequest(Body):
    """A seq up to which the system timeline is read (timim extension)."""

    read_seq: Int = msgspec.field(name="TimelineReadSeq", default=0)


SEND_C2C = Command("openim.sendmsg", SendC2CRequest, SendC2CReply, doors=Door.BOTH, required=("MsgRandom",))
SEND_GROUP = Command(
    "group_open_http_svc.send_group_msg", SendGroupRequest, SendGroupReply, doors=Door.BOTH, required=("Random",)
)
ROAM_C2C = Command("openim.getroammsg", RoamC2CRequest, RoamC2CReply)
ROAM_GROUP = Command("group_open_http_svc.group_msg_get", RoamGroupRequest, RoamGroupReply)
OFFLINE_C2C = Command("openim.getmsg", OfflineC2CRequest, OfflineC2CReply)
READ_C2C = Command("openim.msgreaded", ReadC2CRequest, Reply)
READ_GROUP = Command("group_open_http_svc.msg_read_report", ReadGroupRequest, Reply)
ROAM_SYSTEM = Command("timeline.system_get", RoamSystemRequest, RoamSystemReply)
READ_SYSTEM = Command("timeline.system_read", ReadSystemRequest, Reply)


SENDS = frozenset({SEND_C2C.name, SEND_GROUP.name})
SendReply = SendC2CReply | SendGroupReply
HistoryReply = RoamC2CReply | RoamGroupReply | RoamSystemReply


class Address(NamedTuple):
    """A conversation as requests name it: a peer, a group, or the account's own system timeline.

    On the client, only this class chooses between the C2C, the group and the system form of a command.
    """

    peer: str = ""
    group_id: str = ""
    system: int = 0

    @classmethod
    def of(cls, key: ConversationKey) -> Address:
        """Return the address of a conversation."""
        type, peer = key
        if type is ConversationType.C2C:
            return cls(peer)
        return cls(group_id=peer) if type is ConversationType.GROUP else cls(system=1)

    @property
    def key(self) -> ConversationKey:
        """The conversation that this address names."""
        if self.system:
            return SYSTEM_CONVERSATION
        if self.group_id:
            return ConversationKey(ConversationType.GROUP, self.group_id)
        return ConversationKey(ConversationType.C2C, self.peer)

    def history_request(self, first: int, last: int, count: int, *, until: int = 0) -> Request[HistoryReply]:
        """Return the request for the newest `count` entries of an interval, at or before `until` (server seconds)."""
        interval = (first, last)
        if self.system:
            return ROAM_SYSTEM.request(RoamSystemRequest(max_cnt=count, timeline_range=interval, until=until))
        if self.group_id:
            group = RoamGroupRequest(group_id=self.group_id, number=count, timeline_range=interval, until=until)
            return ROAM_GROUP.request(group)
        return ROAM_C2C.request(RoamC2CRequest(peer=self.peer, max_cnt=count, timeline_range=interval, until=until))
