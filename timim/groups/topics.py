"""The topics of a Community: `group.topics`. Each has a conversation of its own, with the members of the Community."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from ..conversation import Conversation, ConversationRegistry
from ..errors import InvalidArgument, error_for
from ..ids import ConversationType, GroupId, UserId, flat_ids
from ..protocol import group_members as member_wire
from ..protocol import topics as wire
from ..transport.connection import Connection
from ..util.arguments import Items, Number, Text, checked
from ..util.displayed import Displayed
from .state import GroupPins
from .types import unset_if_none

__all__ = ["GroupTopics", "Topic"]


@dataclass(frozen=True, slots=True)
class Topic(Displayed):
    """Topic of a Community. Times are in server seconds; `muted_until` is the end of this account's mute in the topic, or 0."""

    id: str
    group_id: str
    name: str
    introduction: str
    notification: str
    face_url: str
    custom: str
    created: int
    muted_all: bool
    last_seq: int
    read_seq: int
    muted_until: int


@checked(InvalidArgument)
class GroupTopics(Displayed):
    """Topics of a Community that was created with topics, 200 at most: `group.topics`. The owner and the admins change them.

    All methods share these errors; each names its further errors.

    Raises:
        UnknownGroup: There is no such group or topic (10010).
        NotAMember: This account is not in the group (10007).
        InvalidArgument: A named id cannot exist, or 4096 requests wait for replies already.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, group_id: str, conversations: ConversationRegistry, connection: Connection) -> None:
        self._group_id = group_id
        self._conversations = conversations
        self._connection = connection

    def conversation(self, topic_id: GroupId) -> Conversation:
        """Return the conversation of a topic, without I/O. It is that of `client.group(topic_id)`.

        Raises:
            InvalidArgument: The id is empty, over 104 bytes or has control characters.
        """
        return self._conversations.get(ConversationType.GROUP, topic_id, argument="topic_id")

    def pins(self, topic_id: GroupId) -> GroupPins:
        """Return the pinned messages of a topic, without I/O."""
        return GroupPins(topic_id, self._connection)

    async def create(
        self,
        name: Text,
        *,
        id: GroupId | None = None,
        introduction: Text = "",
        notification: Text = "",
        face_url: Text = "",
        custom: Text = "",
    ) -> str:
        """Create a topic, and return its id.

        Args:
            name: 1 to 150 bytes.
            id: The id, which begins with that of the group and `@TOPIC#_`; by default the server makes one.
            introduction: At most 400 bytes.
            notification: At most 400 bytes.
            face_url: The address of the topic's picture, at most 500 bytes.
            custom: A text of the program, at most 3000 bytes.

        Raises:
            NoPermission: This account is neither owner nor admin (10007).
            InvalidArgument: A text is too long, or the group has no topics (10004), or the id is wrong (10015).
            GroupExists: The id is in use (10021), also by a deleted topic.
            LimitReached: The group has 200 topics (10014).
        """
        body = wire.CreateTopicRequest(
            group_id=self._group_id,
            name=name,
            topic_id=id or "",
            introduction=introduction,
            notification=notification,
            face_url=face_url,
            custom=custom,
        )
        return (await self._connection.call(wire.CREATE_TOPIC, body)).topic_id

    async def list(self) -> tuple[Topic, ...]:
        """Fetch all topics, in the order in which they were created.

        Raises:
            NotAMember: This account is not in the group.
        """
        reply = await self._connection.call(wire.GET_TOPICS, wire.GetTopicsRequest(group_id=self._group_id))
        return tuple(_topic(item) for item in reply.topics if not item.error_code)

    async def edit(
        self,
        topic_id: GroupId,
        *,
        name: Text | None = None,
        introduction: Text | None = None,
        notification: Text | None = None,
        face_url: Text | None = None,
        custom: Text | None = None,
        muted_all: bool | None = None,
    ) -> None:
        """Change the given properties of a topic; `muted_all` True lets only the owner and the admins speak there.

        Raises:
            NoPermission: This account is neither owner nor admin (10007).
            InvalidArgument: A text is too long (10004).
        """
        muted: str | UnsetType = UNSET if muted_all is None else "On" if muted_all else "Off"
        body = wire.ModifyTopicRequest(
            group_id=self._group_id,
            topic_id=topic_id,
            name=unset_if_none(name),
            introduction=unset_if_none(introduction),
            notification=unset_if_none(notification),
            face_url=unset_if_none(face_url),
            custom=unset_if_none(custom),
            mute_all=muted,
        )
        await self._connection.call(wire.MODIFY_TOPIC, body)

    async def delete(self, *topic_ids: GroupId | Items[GroupId]) -> None:
        """Delete up to 50 topics with their messages. Those that exist are deleted, also if another one does not exist.

        Raises:
            UnknownGroup: One of the topics does not exist (10010).
            NoPermission: This account is neither owner nor admin (10007).
            InvalidArgument: There are more than 50 topics (10004).
        """
        body = wire.DestroyTopicsRequest(group_id=self._group_id, topic_ids=flat_ids(topic_ids))
        for one in (await self._connection.call(wire.DESTROY_TOPICS, body)).results:
            if one.error_code:
                raise error_for(one.error_code, one.error_info)

    async def mute(self, topic_id: GroupId, user_id: UserId, seconds: Number) -> None:
        """Mute a member in one topic for some seconds; 0 unmutes the member there. `group.mute` mutes in all topics.

        Raises:
            InvalidArgument: `seconds` is negative or too large (10004).
            NoPermission: The role of this account is not above the member's role (10007).
        """
        body = member_wire.ModifyMemberRequest(group_id=topic_id, account=user_id, mute_s=seconds)
        await self._connection.call(member_wire.MODIFY_MEMBER, body)


def _topic(item: wire.TopicItem) -> Topic:
    """Convert an item of a reply to a Topic."""
    topic = item.topic
    me = item.me if isinstance(item.me, wire.TopicSelfInfo) else wire.TopicSelfInfo()
    return Topic(
        topic.topic_id,
        topic.group_id,
        topic.name,
        topic.introduction,
        topic.notification,
        topic.face_url,
        topic.custom,
        topic.created,
        topic.mute_all == "On",
        topic.next_seq - 1,
        me.read_seq,
        me.muted_until,
    )
