"""Topics of Communities: their commands and notices, and the base of requests that can name a topic.

The conversation of a topic is that of a group whose id is the topic's, `{id of the Community}@TOPIC#_{own part}`. Tencent's
requests name it by GroupId and TopicId; timim's client, and some requests of the web client, by GroupId alone.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from ..ids import community_of
from .codec import BIG_GROUPS, Body, Command, Door, Reply
from .numbers import Int, at_most

TOPICS_AT_ONCE = 50


class TopicChange(enum.StrEnum):
    """Kind of change of topics. A notice may have a kind that only newer versions know."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


class TopicBody(Body, kw_only=True):
    """A request about messages of a group, or of its topic `TopicId`. Once decoded, `group_id` is the id of the topic."""

    group_id: str = msgspec.field(name="GroupId")
    topic_id: str = msgspec.field(name="TopicId", default="")

    def __post_init__(self) -> None:
        if self.topic_id:
            self.group_id = topic_of(self.group_id, self.topic_id)


def topic_of(group_id: str, topic_id: str) -> str:
    """Return the id of the conversation of a request with a TopicId.

    Raises:
        ValueError: The topic is not one of the group.
    """
    if topic_id not in ("", group_id) and community_of(topic_id) != group_id:
        raise ValueError(f"TopicId {topic_id[:120]!r} is no topic of the group {group_id[:60]!r} of GroupId")
    return topic_id or group_id


class CreateTopicRequest(Body, kw_only=True):
    """Create a topic in a Community. Without a TopicId the server assigns one (`{GroupId}@TOPIC#_…`)."""

    group_id: str = msgspec.field(name="GroupId")
    name: str = msgspec.field(name="TopicName")
    topic_id: str = msgspec.field(name="TopicId", default="")
    face_url: str = msgspec.field(name="FaceUrl", default="")
    introduction: str = msgspec.field(name="Introduction", default="")
    notification: str = msgspec.field(name="Notification", default="")
    custom: str = msgspec.field(name="CustomString", default="")


class CreateTopicReply(Reply):
    topic_id: str = msgspec.field(name="TopicId", default="")


class DestroyTopicsRequest(Body, kw_only=True):
    """Delete topics of a Community, with their messages."""

    group_id: str = msgspec.field(name="GroupId")
    topic_ids: Annotated[list[str], at_most(TOPICS_AT_ONCE)] = msgspec.field(name="TopicIdList", default_factory=list)


class DestroyedTopic(msgspec.Struct, kw_only=True):
    """The result of deleting one topic."""

    topic_id: str = msgspec.field(name="TopicId")
    error_code: Int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")


class DestroyTopicsReply(Reply):
    results: list[DestroyedTopic] = msgspec.field(name="DestroyResultItem", default_factory=list)


class ModifyTopicRequest(Body, kw_only=True):
    """Properties of a topic to change. ShutUpAllMember is "On" or "Off"."""

    group_id: str = msgspec.field(name="GroupId")
    topic_id: str = msgspec.field(name="TopicId")
    name: str | msgspec.UnsetType = msgspec.field(name="TopicName", default=msgspec.UNSET)
    introduction: str | msgspec.UnsetType = msgspec.field(name="Introduction", default=msgspec.UNSET)
    notification: str | msgspec.UnsetType = msgspec.field(name="Notification", default=msgspec.UNSET)
    face_url: str | msgspec.UnsetType = msgspec.field(name="FaceUrl", default=msgspec.UNSET)
    custom: str | msgspec.UnsetType = msgspec.field(name="CustomString", default=msgspec.UNSET)
    mute_all: str | msgspec.UnsetType = msgspec.field(name="ShutUpAllMember", default=msgspec.UNSET)


class GetTopicsRequest(Body, kw_only=True):
    """A query for topics of a Community; for all of them if no id is given."""

    group_id: str = msgspec.field(name="GroupId")
    topic_ids: Annotated[list[str], at_most(TOPICS_AT_ONCE)] = msgspec.field(name="TopicIdList", default_factory=list)


class LastTopicMessage(msgspec.Struct, kw_only=True):
    """The last message of a topic."""

    seq: Int = msgspec.field(name="LastMsgSeq")
    time: Int = msgspec.field(name="MsgTimeStamp")
    from_account: str = msgspec.field(name="From_Account")
    nick: str = msgspec.field(name="From_AccountNick", default="")
    face_url: str = msgspec.field(name="From_AccountHeadurl", default="")
    placeholder: Int = msgspec.field(name="IsPlaceMsg", default=0)  # 2: it was recalled
    version: Int = msgspec.field(name="MsgVersion", default=0)
    cloud_custom_data: str = msgspec.field(name="CloudCustomData", default="")
    msg_body: msgspec.Raw = msgspec.field(name="MsgBody")


class TopicInfo(msgspec.Struct, kw_only=True):
    """The properties of a topic."""

    topic_id: str = msgspec.field(name="TopicId")
    group_id: str = msgspec.field(name="GroupId", default="")
    name: str = msgspec.field(name="TopicName", default="")
    introduction: str = msgspec.field(name="Introduction", default="")
    notification: str = msgspec.field(name="Notification", default="")
    face_url: str = msgspec.field(name="FaceUrl", default="")
    custom: str = msgspec.field(name="CustomString", default="")
    created: Int = msgspec.field(name="CreateTime", default=0)
    mute_all: str = msgspec.field(name="ShutUpAllMember", default="Off")
    mute_all_flag: Int = msgspec.field(name="ShutUpAllFlag", default=0)  # the same for the web client: 1 is On
    next_seq: Int = msgspec.field(name="NextMsgSeq", default=0)
    last_time: Int = msgspec.field(name="LastMsgTime", default=0)
    last: LastTopicMessage | msgspec.UnsetType = msgspec.field(name="LastMsg", default=msgspec.UNSET)


class TopicSelfInfo(msgspec.Struct, kw_only=True):
    """The caller's state in a topic: the read seq, the end of a mute, and later seqs that do not count as unread."""

    read_seq: Int = msgspec.field(name="MsgSeq", default=0)
    muted_until: Int = msgspec.field(name="ShutUpTime", default=0)
    msg_flag: str = msgspec.field(name="MsgFlag", default="AcceptAndNotify")
    uncounted: list[Int] = msgspec.field(name="NoUnreadSeqList", default_factory=list)


class TopicItem(msgspec.Struct, kw_only=True):
    """A topic with the caller's state in it, or the error of fetching it. An administrator gets no such state."""

    error_code: Int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")
    topic: TopicInfo = msgspec.field(name="TopicInfo")
    me: TopicSelfInfo | msgspec.UnsetType = msgspec.field(name="SelfInfo", default=msgspec.UNSET)


class GetTopicsReply(Reply):
    """The topics, in the order of the request or of their creation."""

    topics: list[TopicItem] = msgspec.field(name="TopicAndSelfInfo", default_factory=list)


class TopicNotice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The creation, change or deletion of topics, for members who are online (timim extension)."""

    group_id: str = msgspec.field(name="GroupId")
    user: str = msgspec.field(name="Operator_Account", default="")
    kind: str = msgspec.field(name="Kind")  # a TopicChange
    topic_ids: list[str] = msgspec.field(name="TopicIdArray", default_factory=list)


CREATE_TOPIC = Command(f"{BIG_GROUPS}.create_topic", CreateTopicRequest, CreateTopicReply, doors=Door.BOTH)
DESTROY_TOPICS = Command(f"{BIG_GROUPS}.destroy_topic", DestroyTopicsRequest, DestroyTopicsReply, doors=Door.BOTH)
MODIFY_TOPIC = Command(f"{BIG_GROUPS}.modify_topic", ModifyTopicRequest, Reply, doors=Door.BOTH)
GET_TOPICS = Command(f"{BIG_GROUPS}.get_topic", GetTopicsRequest, GetTopicsReply, doors=Door.BOTH)
