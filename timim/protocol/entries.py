"""Entries of a timeline, as in pushes, history pages and range replies.

The server encodes an entry once, without its seq and time, which the commit assigns. `render_entry` prepends these, and the
same bytes are used in pages and in all pushes. A deleted message leaves a tombstone:
`{"TimelineSeq": 7, "TimelineTombstone": 1}`.

A message action is an entry too: see message_actions.py.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from .codec import decode, encode
from .numbers import Int, Stored
from .raw_json import DEPTH_LIMIT, is_deeper, is_utf8

C2C_RECALLED = 8  # MsgFlagBits of a recalled C2C message
HAS_TOPICS = 2  # MillionGroupFlag of a Community with topics, and of its topics
PLACEHOLDER_SKIPPED, PLACEHOLDER_RECALLED = 1, 2  # IsPlaceMsg in a group: a placeholder, and a recalled message


class MessageActionKind(enum.StrEnum):
    """The kinds of message actions, with their names in `Kind`. An entry may have a kind that only newer versions know."""

    RECALL = "recall"
    EDIT = "edit"
    REACT = "react"


class Reaction(msgspec.Struct, kw_only=True, gc=False):
    """A reaction and its users, in the order in which they reacted."""

    reaction: str = msgspec.field(name="Reaction")
    users: list[str] = msgspec.field(name="Reaction_Account", default_factory=list)


class EntryState(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The result of the actions on a message, with the seq of the last action of each kind, or 0 for none."""

    recall_seq: Int = msgspec.field(name="RecallSeq", default=0)
    recaller: str = msgspec.field(name="Revoker_Account", default="")
    recalled_at: Int = msgspec.field(name="RecallTime", default=0)
    edit_seq: Int = msgspec.field(name="EditSeq", default=0)
    editor: str = msgspec.field(name="Edit_Account", default="")
    edited_at: Int = msgspec.field(name="EditTime", default=0)
    version: Int = msgspec.field(name="MsgVersion", default=0)
    react_seq: Int = msgspec.field(name="ReactSeq", default=0)
    reactions: list[Reaction] = msgspec.field(name="Reactions", default_factory=list)


class EntryAction(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A message action: the seq and sender of its target, and the change. The new body of an edit is the entry's body."""

    kind: str = msgspec.field(name="Kind")
    target: Stored = msgspec.field(name="TargetSeq")
    target_from: str = msgspec.field(name="Target_Account", default="")
    reaction: str = msgspec.field(name="Reaction", default="")
    removed: Int = msgspec.field(name="Removed", default=0)
    reactions: list[Reaction] = msgspec.field(name="Reactions", default_factory=list)
    version: Int = msgspec.field(name="MsgVersion", default=0)


class RevokerInfo(msgspec.Struct, kw_only=True, gc=False):
    """The user who recalled a message, for Tencent's clients."""

    revoker: str = msgspec.field(name="Revoker_Account")


class PushInfo(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The text of an offline push, `OfflinePushInfo`. PushFlag 1 sends none; the last two are passed on."""

    push_flag: int = msgspec.field(name="PushFlag", default=0)  # any number, as in entries of earlier versions
    title: str = msgspec.field(name="Title", default="")
    desc: str = msgspec.field(name="Desc", default="")
    ext: str = msgspec.field(name="Ext", default="")
    android: dict[str, str | Int] = msgspec.field(name="AndroidInfo", default_factory=dict)
    apns: dict[str, str | Int] = msgspec.field(name="ApnsInfo", default_factory=dict)


class MessageControl(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True, gc=False):
    """The effects that a message does not have, `SendMsgControl`; each is 1 or 0."""

    # any number, because entries that earlier versions stored may have any
    no_unread: int | bool = msgspec.field(name="NoUnread", default=0)  # 1: not counted as unread
    no_last: int | bool = msgspec.field(name="NoLastMsg", default=0)  # 1: never the last message of the conversation list


class MentionItem(msgspec.Struct, kw_only=True, gc=False):
    """A member of `GroupAtInfo`: GroupAtAllFlag 1 means everybody. The web client ignores items without the flag."""

    all_flag: Int = msgspec.field(name="GroupAtAllFlag", default=0)
    account: str = msgspec.field(name="GroupAt_Account", default="")


class SenderCard(msgspec.Struct, kw_only=True, gc=False):
    """The sender's card in the group, in the form of the web client."""

    name_card: str = msgspec.field(name="NameCard")


class EntryGroupInfo(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The group's name and the sender's card in it, when the message was sent.

    In a topic, GroupId is the Community; ToGroupId of the entry is the topic, as `TopicId` here.
    """

    group_id: str = msgspec.field(name="GroupId", default="")
    topic_id: str = msgspec.field(name="TopicId", default="")
    topics_flag: Int = msgspec.field(name="MillionGroupFlag", default=0)
    group_name: str = msgspec.field(name="GroupName", default="")
    group_type: str = msgspec.field(name="GroupType", default="")
    nick: str = msgspec.field(name="From_AccountNick", default="")
    face_url: str = msgspec.field(name="From_AccountHeadurl", default="")
    name_card: str = msgspec.field(name="From_AccountNameCard", default="")
    role: str = msgspec.field(name="TimelineRole", default="")
    sender_card: SenderCard | msgspec.UnsetType = msgspec.field(name="MsgFrom_AccountExtraInfo", default=msgspec.UNSET)
    member_custom: Mapping[str, str] = msgspec.field(name="TimelineMemberCustom", default_factory=dict)


class EntryPayload(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """An entry without its seq and time, encoded by the server when it receives the message, and stored."""

    from_account: str = msgspec.field(name="From_Account")
    to_account: str = msgspec.field(name="To_Account", default="")
    to_group_id: str = msgspec.field(name="ToGroupId", default="")
    # the sender's number in C2C; absent in groups; any number, as in entries of earlier versions
    msg_seq: int = msgspec.field(name="MsgSeq", default=0)
    msg_random: Int = msgspec.field(name="MsgRandom", default=0)
    client_time: Int = msgspec.field(name="MsgClientTime", default=0)
    source: Int = msgspec.field(name="TimelineMsgSource", default=0)  # third part of the msg_id (timim extension)
    tiny_id: str = msgspec.field(name="TinyId", default="")
    nick: str = msgspec.field(name="From_AccountNick", default="")
    face_url: str = msgspec.field(name="From_AccountHeadurl", default="")
    custom: Mapping[str, str] = msgspec.field(name="TimelineCustom", default_factory=dict)
    group: EntryGroupInfo | msgspec.UnsetType = msgspec.field(name="GroupInfo", default=msgspec.UNSET)
    priority: str = msgspec.field(name="MsgPriority", default="")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")
    push: PushInfo | msgspec.UnsetType = msgspec.field(name="OfflinePushInfo", default=msgspec.UNSET)
    mentions: Sequence[MentionItem] = msgspec.field(name="GroupAtInfo", default_factory=list)
    receipt: Int = msgspec.field(name="NeedReadReceipt", default=0)  # 1: the sender of the group message requests a receipt
    c2c_receipt: Int = msgspec.field(name="IsNeedReadReceipt", default=0)  # the same in C2C
    extensible: Int = msgspec.field(name="SupportMessageExtension", default=0)  # 1: users may set extensions of the message
    control: MessageControl | msgspec.UnsetType = msgspec.field(name="SendMsgControl", default=msgspec.UNSET)
    # the only users who may see this entry: in a group the sender and some members, in C2C the receiver; all if it is empty
    audience: Sequence[str] = msgspec.field(name="TimelineAudience", default_factory=list)
    life_s: Int = msgspec.field(name="MsgLifeTime", default=0)  # seconds after which the message is not delivered as new
    unreported: Int = msgspec.field(name="TimelineUnreported", default=0)  # 1: no callback after sending
    expired: Int = msgspec.field(name="TimelineExpired", default=0)  # 1: that time was over when the entry was rendered
    state: EntryState | msgspec.UnsetType = msgspec.field(name="TimelineState", default=msgspec.UNSET)
    action: EntryAction | msgspec.UnsetType = msgspec.field(name="TimelineAct", default=msgspec.UNSET)
    # of a recalled message, Tencent's fields for C2C and for groups
    msg_flag_bits: Int = msgspec.field(name="MsgFlagBits", default=0)
    placeholder: Int = msgspec.field(name="IsPlaceMsg", default=0)
    revoker: RevokerInfo | msgspec.UnsetType = msgspec.field(name="RevokerInfo", default=msgspec.UNSET)
    version: Int = msgspec.field(name="MsgVersion", default=0)  # number of edits
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")

    def is_hidden_from(self, user: str) -> bool:
        """Return True if the entry is for other users only."""
        return bool(self.audience) and user not in self.audience


_UNREADABLE = b'[{"MsgType":"TimelineUnreadableElem","MsgContent":{"Reason":"nested too deeply"}}]'
_NOTHING: Mapping[str, str] = MappingProxyType({})  # shared by entries without custom fields


class DecodedGroupInfo(EntryGroupInfo, kw_only=True, gc=False):
    """EntryGroupInfo as a client decodes it; entries without custom fields share one mapping."""

    member_custom: Mapping[str, str] = msgspec.field(name="TimelineMemberCustom", default=_NOTHING)


class Entry(EntryPayload, kw_only=True, gc=False):
    """An entry as a client decodes it. `timeline_seq` is 0 for an online message."""

    custom: Mapping[str, str] = msgspec.field(name="TimelineCustom", default=_NOTHING)
    group: DecodedGroupInfo | msgspec.UnsetType = msgspec.field(name="GroupInfo", default=msgspec.UNSET)
    mentions: Sequence[MentionItem] = msgspec.field(name="GroupAtInfo", default=())
    audience: Sequence[str] = msgspec.field(name="TimelineAudience", default=())
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody", default=msgspec.Raw(b"[]"))
    from_account: str = msgspec.field(name="From_Account", default="")
    timeline_seq: Stored = msgspec.field(name="TimelineSeq", default=0)
    tombstone: Int = msgspec.field(name="TimelineTombstone", default=0)
    msg_time: Stored = msgspec.field(name="MsgTimeStamp", default=0)


def encode_payload(payload: EntryPayload) -> bytes:
    """Encode an entry for the store: its JSON object without the opening brace."""
    return encode(payload)[1:]


def render_entry(payload: bytes, *, seq: int, time: int, group: bool) -> msgspec.Raw:
    """Render an entry as JSON with its seq and time. In a group, MsgSeq is the timeline's seq."""
    if group:
        return msgspec.Raw(b'{"TimelineSeq":%d,"MsgSeq":%d,"MsgTimeStamp":%d,%b' % (seq, seq, time, payload))
    return msgspec.Raw(b'{"TimelineSeq":%d,"MsgTimeStamp":%d,%b' % (seq, time, payload))


def render_online(payload: bytes, *, time: int, group: bool) -> msgspec.Raw:
    """Render an online message as JSON, with a time and without a seq, and with the mark that Tencent's clients expect."""
    mark = b'"OnlineOnlyFlag":1' if group else b'"MsgLifeTime":0'
    return msgspec.Raw(b'{"MsgTimeStamp":%d,%b,%b' % (time, mark, payload))


def render_expired(payload: bytes, *, seq: int, time: int, group: bool) -> msgspec.Raw:
    """Render an entry whose `MsgLifeTime` is over."""
    return render_entry(b'"TimelineExpired":1,' + payload, seq=seq, time=time, group=group)


class _MessageName(msgspec.Struct, gc=False):
    """The numbers by which Tencent's clients name a message, with its time."""

    msg_seq: int = msgspec.field(name="MsgSeq", default=0)
    msg_random: int = msgspec.field(name="MsgRandom", default=0)


def msg_key_of(payload: bytes, time: int) -> str:
    """Return the `MsgKey` of a stored entry: `{MsgSeq}_{MsgRandom}_{MsgTime}`."""
    named = decode(_MessageName, b"{" + payload)
    return f"{named.msg_seq}_{named.msg_random}_{time}"


def readable_payload(payload: bytes) -> bytes:
    """Return the payload of a stored entry in a form that every client can decode.

    Versions before 0.2 stored bodies whose text is no UTF-8, or that are nested too deeply. Invalid text is shown with
    replacement characters; a body that is nested too deeply is replaced by one elem of an unknown type.
    """
    if not is_utf8(payload):
        payload = payload.decode(errors="replace").encode()
    if is_deeper(payload, DEPTH_LIMIT):
        # without a decoder, for which it may be too deep; the body is the last field, and the only array of this name
        head, body, _ = payload.partition(b',"MsgBody":[')
        return b'%b,"MsgBody":%b}' % (head, _UNREADABLE) if body else payload
    return payload


def decode_payload(payload: bytes) -> EntryPayload:
    """Decode an entry from the bytes in the store."""
    return decode(EntryPayload, b"{" + payload)


def audience_of(payload: bytes) -> Sequence[str]:
    """Return the only users who may see a stored entry of a group, or an empty sequence if all members may."""
    return decode_payload(payload).audience if b'"TimelineAudience":' in payload else ()


def life_of(payload: bytes) -> int:
    """Return the `MsgLifeTime` of a stored entry in seconds, or 0 if it has none."""
    return decode_payload(payload).life_s if b'"MsgLifeTime":' in payload else 0


def render_placeholder(seq: int) -> msgspec.Raw:
    """Render the placeholder of an action in a group's history, for clients that do not know actions."""
    return msgspec.Raw(b'{"MsgSeq":%d,"IsPlaceMsg":%d}' % (seq, PLACEHOLDER_SKIPPED))


def render_tombstone(seq: int) -> msgspec.Raw:
    """Render the tombstone of a deleted message."""
    return msgspec.Raw(b'{"TimelineSeq":%d,"TimelineTombstone":1}' % seq)
