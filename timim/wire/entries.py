"""Entries: how one message of a timeline stands in pushes, pages and range replies.

The server writes an entry's JSON once, without what only the commit knows; `render` puts the number and the time in
front, and the same bytes go to the store's readers, to pages and to every push. A seq whose message is gone is a
tombstone: `{"TimelineSeq": 7, "TimelineTombstone": 1}`.
"""

from __future__ import annotations

import msgspec

from .codec import encode
from .messages import PushInfo


class GroupFacts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The group's name and the sender's card in it, when the message was sent."""

    group_id: str = msgspec.field(name="GroupId", default="")
    group_name: str = msgspec.field(name="GroupName", default="")
    group_type: str = msgspec.field(name="GroupType", default="")
    nick: str = msgspec.field(name="From_AccountNick", default="")
    face_url: str = msgspec.field(name="From_AccountHeadurl", default="")
    name_card: str = msgspec.field(name="From_AccountNameCard", default="")
    role: str = msgspec.field(name="TimelineRole", default="")
    member_custom: dict[str, str] = msgspec.field(name="TimelineMemberCustom", default_factory=dict)


class EntryTail(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All of an entry but its number and time: what is stored, written by the server when the message comes in."""

    from_account: str = msgspec.field(name="From_Account")
    to_account: str = msgspec.field(name="To_Account", default="")
    to_group_id: str = msgspec.field(name="ToGroupId", default="")
    msg_seq: int = msgspec.field(name="MsgSeq", default=0)  # the sender's number in C2C; absent in groups
    msg_random: int = msgspec.field(name="MsgRandom", default=0)
    client_time: int = msgspec.field(name="MsgClientTime", default=0)
    tiny_id: str = msgspec.field(name="TinyId", default="")
    nick: str = msgspec.field(name="From_AccountNick", default="")
    face_url: str = msgspec.field(name="From_AccountHeadurl", default="")
    custom: dict[str, str] = msgspec.field(name="TimelineCustom", default_factory=dict)
    group: GroupFacts | msgspec.UnsetType = msgspec.field(name="GroupInfo", default=msgspec.UNSET)
    priority: str = msgspec.field(name="MsgPriority", default="")
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")
    push: PushInfo | msgspec.UnsetType = msgspec.field(name="OfflinePushInfo", default=msgspec.UNSET)
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")


class Entry(EntryTail, kw_only=True):
    """An entry as a client reads it. `timeline_seq` 0: an online message, which has no number."""

    msg_body: msgspec.Raw = msgspec.field(name="MsgBody", default=msgspec.Raw(b"[]"))
    from_account: str = msgspec.field(name="From_Account", default="")
    timeline_seq: int = msgspec.field(name="TimelineSeq", default=0)
    tombstone: int = msgspec.field(name="TimelineTombstone", default=0)
    msg_time: int = msgspec.field(name="MsgTimeStamp", default=0)


def encode_tail(tail: EntryTail) -> bytes:
    """The bytes a store keeps for an entry: its JSON object without the opening brace."""
    return encode(tail)[1:]


def render(tail: bytes, *, seq: int, time: int, group: bool) -> msgspec.Raw:
    """The entry's JSON, numbered and dated. In a group MsgSeq is the timeline's own seq."""
    if group:
        return msgspec.Raw(b'{"TimelineSeq":%d,"MsgSeq":%d,"MsgTimeStamp":%d,%b' % (seq, seq, time, tail))
    return msgspec.Raw(b'{"TimelineSeq":%d,"MsgTimeStamp":%d,%b' % (seq, time, tail))


def render_online(tail: bytes, *, time: int) -> msgspec.Raw:
    """An online message's JSON: dated, never numbered."""
    return msgspec.Raw(b'{"MsgTimeStamp":%d,%b' % (time, tail))


def render_tombstone(seq: int) -> msgspec.Raw:
    """What stands for a seq whose message is gone."""
    return msgspec.Raw(b'{"TimelineSeq":%d,"TimelineTombstone":1}' % seq)
