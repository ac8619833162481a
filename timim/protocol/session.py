"""Bodies of the connection: login, logout, heartbeat, pushes and their acks."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from .codec import Body, Command, Reply
from .entries import Entry
from .numbers import Int
from .web_features import SERVED_FEATURES, purchase_bits

E = TypeVar("E")  # the type of entries: encoded bytes for writers, decoded for clients
PLATFORMS = ("desktop", "mobile", "pad", "web", "other")


class TimelineClient(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The properties of a timim client, sent at login (timim extension)."""

    version: Int = msgspec.field(name="Version", default=1)
    batch: bool = msgspec.field(name="Batch", default=False)  # several frames in one websocket message
    instance: str = msgspec.field(name="Instance", default="")  # the permanent id of this device
    platform: str = msgspec.field(name="Platform", default="")  # one of PLATFORMS
    resumed: bool = msgspec.field(name="Resumed", default=False)  # a reconnect after a lost connection
    run: str = msgspec.field(name="Run", default="")  # the id of this run of the program
    attempt: Int = msgspec.field(
        name="Attempt", default=0
    )  # number of this login in the run, because logins may arrive out of order
    max_frame_bytes: Int = msgspec.field(name="MaxFrameBytes", default=0)  # of a websocket message to the client; 0: not stated


class TimelineServer(msgspec.Struct, kw_only=True):
    """The properties of a timim server, sent at login (timim extension)."""

    version: Int = msgspec.field(name="Version", default=1)
    batch: bool = msgspec.field(name="Batch", default=False)
    epoch: str = msgspec.field(name="Epoch", default="")  # changes when the server has another history
    time_ms: Int = msgspec.field(name="TimeMs", default=0)
    max_message_bytes: Int = msgspec.field(name="MaxMessageBytes", default=0)  # of a message in all its parts; 0: not stated
    max_frame_bytes: Int = msgspec.field(name="MaxFrameBytes", default=0)  # of a websocket message to the server; 0: not stated
    media_url: str = msgspec.field(name="MediaUrl", default="")
    media_limits: dict[str, Int] = msgspec.field(name="MediaLimits", default_factory=dict)  # bytes by kind of content


class LoginRequest(Body):
    """A login. The head names the account (identifier, usersig)."""

    client: TimelineClient | msgspec.UnsetType = msgspec.field(name="TimelineClient", default=msgspec.UNSET)


class LoginReply(Reply):
    """The reply to a login. `A2Key` and `TinyId` replace usersig and identifier in later heads; HelloInterval is in seconds."""

    inst_id: Int = msgspec.field(name="InstId", default=0)
    a2_key: str = msgspec.field(name="A2Key", default="")
    tiny_id: str = msgspec.field(name="TinyId", default="")
    hello_interval: Int = msgspec.field(name="HelloInterval", default=60)
    time_stamp: Int = msgspec.field(name="TimeStamp", default=0)
    client_ip: str = msgspec.field(name="ClientIP", default="")
    custom_status: str = msgspec.field(name="CustomStatus", default="")
    purchase_bits: str = msgspec.field(name="PurchaseBits", default=purchase_bits(SERVED_FEATURES))
    expired_time: Int = msgspec.field(name="ExpiredTime", default=0)
    server: TimelineServer | msgspec.UnsetType = msgspec.field(name="TimelineServer", default=msgspec.UNSET)


EVENT_GROUP_MESSAGE = 3
EVENT_GROUP_TIP = 4
EVENT_GROUP_NOTICE = 5
EVENT_RELATION = 7
EVENT_PROFILE = 8
EVENT_C2C_MESSAGE = 9
EVENT_C2C_NOTICE = 10
EVENT_READ = 10001  # timim extension: event numbers that other clients ignore
EVENT_MESSAGE_ACTION = 10002
EVENT_RECEIPT = 10003
EVENT_CONVERSATION_SETTINGS = 10004
EVENT_GROUP_STATE = 10006  # see group_state.py
EVENT_FOLLOW = 10007  # see follows.py
EVENT_LABELS = 10011  # see labels.py
EVENT_DO_NOT_DISTURB = 10012  # see do_not_disturb.py
EVENT_DELETIONS = 10013  # see deletions.py
EVENT_EXTENSIONS = 10009  # see message_extensions.py
EVENT_STATUS = 10008  # see statuses.py
EVENT_TOPICS = 10017  # see topics.py
EVENT_FOREIGN = 10005  # between nodes only: an event for clients other than timim's
SUB_KICKED = 96


class HeartbeatReply(Reply):
    """The reply to a heartbeat, with the number of pushes sent before it, `TimelinePushes` (timim extension)."""

    pushes: Int | msgspec.UnsetType = msgspec.field(name="TimelinePushes", default=msgspec.UNSET)


class PushEvent(msgspec.Struct, Generic[E], kw_only=True, omit_defaults=True, gc=False):
    """A member of a push's EventArray. The number `Event` determines which of the array fields is set."""

    event: Int = msgspec.field(name="Event")
    c2c: list[E] = msgspec.field(name="C2cMsgArray", default_factory=list)
    group: list[E] = msgspec.field(name="GroupMsgArray", default_factory=list)
    tips: list[msgspec.Raw] = msgspec.field(name="GroupTips", default_factory=list)
    friends: list[msgspec.Raw] = msgspec.field(name="FriendListMod", default_factory=list)
    profiles: list[msgspec.Raw] = msgspec.field(name="ProfileDataMod", default_factory=list)
    reads: list[msgspec.Raw] = msgspec.field(name="TimelineReads", default_factory=list)
    actions: list[E] = msgspec.field(name="TimelineActs", default_factory=list)
    receipts: list[msgspec.Raw] = msgspec.field(name="TimelineReceipts", default_factory=list)
    settings: list[msgspec.Raw] = msgspec.field(name="TimelineMarks", default_factory=list)
    group_states: list[msgspec.Raw] = msgspec.field(name="TimelineGroupStates", default_factory=list)
    follows: list[msgspec.Raw] = msgspec.field(name="TimelineFollows", default_factory=list)
    labels: list[msgspec.Raw] = msgspec.field(name="TimelineLabels", default_factory=list)
    quiet_times: list[msgspec.Raw] = msgspec.field(name="TimelineQuietTimes", default_factory=list)
    deletions: list[msgspec.Raw] = msgspec.field(name="TimelineDeletions", default_factory=list)
    extensions: list[msgspec.Raw] = msgspec.field(name="TimelineExtensions", default_factory=list)
    statuses: list[msgspec.Raw] = msgspec.field(name="TimelineStatuses", default_factory=list)
    topics: list[msgspec.Raw] = msgspec.field(name="TimelineTopics", default_factory=list)
    notices: list[msgspec.Raw] = msgspec.field(name="C2cNotifyMsgArray", default_factory=list)  # see tencent_events.py
    kick: KickNotice | msgspec.UnsetType = msgspec.field(name="KickoutMsgNotify", default=msgspec.UNSET)
    sub_msg_type: Int = msgspec.field(name="SubMsgType", default=0)

    def items(self: PushEvent[msgspec.Raw]) -> list[msgspec.Raw]:
        """Return the array that belongs to the event's number."""
        if self.event == EVENT_C2C_MESSAGE:
            return self.c2c
        if self.event == EVENT_GROUP_MESSAGE:
            return self.group
        if self.event in (EVENT_GROUP_TIP, EVENT_GROUP_NOTICE):
            return self.tips
        others = {
            EVENT_RELATION: self.friends,
            EVENT_READ: self.reads,
            EVENT_MESSAGE_ACTION: self.actions,
            EVENT_RECEIPT: self.receipts,
            EVENT_CONVERSATION_SETTINGS: self.settings,
            EVENT_GROUP_STATE: self.group_states,
            EVENT_FOLLOW: self.follows,
            EVENT_LABELS: self.labels,
            EVENT_DO_NOT_DISTURB: self.quiet_times,
            EVENT_STATUS: self.statuses,
            EVENT_EXTENSIONS: self.extensions,
            EVENT_TOPICS: self.topics,
            EVENT_DELETIONS: self.deletions,
        }
        return others.get(self.event, self.profiles)


RawEvent = PushEvent[msgspec.Raw]


class ReadNotice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation that this account has read up to a seq, on any device (timim extension)."""

    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    system: Int = msgspec.field(name="TimelineSystem", default=0)  # 1: the system conversation
    read_seq: Int = msgspec.field(name="TimelineReadSeq", default=0)
    unread: Int = msgspec.field(name="TimelineUnread", default=0)
    mentioned: Int = msgspec.field(name="TimelineMentioned", default=0)
    unread_seq: Int = msgspec.field(name="TimelineUnreadSeq", default=0)  # up to which the server counted
    reset: Int = msgspec.field(name="TimelineReadReset", default=0)  # 1: an administrator set it; it may be lower than before


class ReceiptNotice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A receipt (timim extension): a peer has read up to a seq, or users have read the message `MsgSeq`."""

    peer: str = msgspec.field(name="To_Account", default="")
    read_seq: Int = msgspec.field(name="TimelineReadSeq", default=0)
    group_id: str = msgspec.field(name="GroupId", default="")
    seq: Int = msgspec.field(name="MsgSeq", default=0)
    readers: Int = msgspec.field(name="ReadNum", default=0)
    others: Int = msgspec.field(name="UnreadNum", default=0)


class ConversationSettingsNotice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """This account's settings of a conversation after a change on any device (timim extension)."""

    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    system: Int = msgspec.field(name="TimelineSystem", default=0)
    pinned: Int = msgspec.field(name="TimelinePinned", default=0)
    muted: Int = msgspec.field(name="TimelineMuted", default=0)
    draft: str = msgspec.field(name="TimelineDraft", default="")
    version: Int = msgspec.field(name="TimelineSettingsVersion", default=0)  # each change raises it


class KickNotice(msgspec.Struct, kw_only=True):
    """The end of this session, with the reason as text."""

    kick_type: Int = msgspec.field(name="KickType", default=1)
    reason: str = msgspec.field(name="Reason", default="")


class Push(Body, Generic[E]):
    """A message that the server sends without a request. The client replies with PUSH_ACK if NeedAck is 1."""

    session_data: str = msgspec.field(name="SessionData", default="")
    need_ack: Int = msgspec.field(name="NeedAck", default=0)
    events: list[PushEvent[E]] = msgspec.field(name="EventArray", default_factory=list)


DecodedEvent = PushEvent[Entry]
DecodedPush = Push[Entry]

LOGIN = Command("im_open_status.wslogin", LoginRequest, LoginReply)
LOGOUT = Command("im_open_status.wslogout", Body, Reply)
HEARTBEAT = Command("heartbeat.alive", Body, HeartbeatReply)
RESUME_SENDS = Command("timeline.resume_sends", Body, Reply)
PUSH_ACK = Command("openim.ws_msg_push_ack", Body, Reply)
