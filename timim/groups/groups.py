"""The groups of an account: `client.groups` creates, finds and joins groups."""

from __future__ import annotations

from ..conversation import ConversationRegistry
from ..errors import InvalidArgument
from ..ids import GroupId, UserId
from ..protocol import group_members as member_wire
from ..protocol import group_state as state_wire
from ..protocol import groups as wire
from ..transport.connection import Connection
from ..util.arguments import FieldTexts, Items, Number, PlainText, Text, checked
from ..util.displayed import Displayed
from .group import Group
from .types import GroupType, JoinApplication, JoinOption, custom_to_wire

__all__ = ["Groups"]

PAGE = 100  # groups in one request


@checked(InvalidArgument)
class Groups(Displayed):
    """Creation and joining of groups: `client.groups`. All coroutines can raise these errors; each documents its others.

    Raises:
        InvalidArgument: A named id cannot exist, or 4096 requests wait for replies already.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
        ServerRefused: The server refused the request for another reason.
    """

    def __init__(self, connection: Connection, conversations: ConversationRegistry, live_rooms: set[str]) -> None:
        self._connection = connection
        self._live_rooms = live_rooms
        self._conversations = conversations

    def of(self, id: GroupId) -> Group:
        """Return the group with this id, without I/O.

        Raises:
            InvalidArgument: The id is empty, over 48 bytes or has control characters.
        """
        return self._group(id)

    async def create(
        self,
        type: GroupType | PlainText,
        *,
        name: Text,
        id: GroupId | None = None,
        members: Items[UserId] = (),
        introduction: Text = "",
        notification: Text = "",
        face_url: Text = "",
        max_members: Number = 0,
        join_option: JoinOption | None = None,
        custom: FieldTexts | None = None,
        topics: bool = False,
    ) -> Group:
        """Create a group, with this account as its owner and up to 100 first members.

        A Community with `topics` has them for ever: its messages are in its topics, see `group.topics`.

        Raises:
            InvalidArgument: The type, a name or a text is wrong (10004), the id (10015), or the members (10037).
            UnknownUser: A member does not exist (20003).
            GroupExists: The id is in use (10021), also by a dissolved group.
            LimitReached: There are more members than the group may have (10014).
        """
        body = wire.CreateGroupRequest(
            type=type,
            name=name,
            group_id=id or "",
            members=[wire.NewMember(account=member) for member in members],
            introduction=introduction,
            notification=notification,
            face_url=face_url,
            max_members=max_members,
            apply_option=join_option or "",
            custom=custom_to_wire(custom),
            has_topics=int(topics),
        )
        reply = await self._connection.call(wire.CREATE_GROUP, body)
        return self._group(reply.group_id, GroupType(reply.type or type))

    async def join(self, id: GroupId, *, wording: Text = "") -> bool:
        """Join a group, or apply to join.

        A live room (AV_CHAT_ROOM) can be joined again by its members. A logout leaves it, and so does a connection that is
        lost for longer than the server's `live_room_grace_s`; the client joins it again when it reconnects.

        Returns:
            True if this account is in the group now; False if an admin has to approve first. A GroupNoticeReceived event
            reports the answer.

        Raises:
            AlreadyMember: This account is in the group already (10013).
            NoPermission: The group can be joined by invitation only (10007).
            LimitReached: The group is full (10014).
            UnknownGroup: No such group exists (10010).
            InvalidArgument: The id or the text is wrong.
        """
        body = member_wire.JoinGroupRequest(group_id=id, wording=wording)
        reply = await self._connection.call(member_wire.JOIN_GROUP, body)
        if reply.live == 1:
            self._live_rooms.add(id)
        return reply.joined == member_wire.JOINED

    async def joined(self) -> list[Group]:
        """Fetch the groups that this account is in.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        found: list[Group] = []
        offset = 0
        while True:
            page = wire.ListJoinedGroupsRequest(limit=PAGE, offset=offset, with_live=1)
            reply = await self._connection.call(wire.LIST_JOINED, page)
            found += [self._group(info.group_id, GroupType(info.type)) for info in reply.groups]
            offset += PAGE
            if offset >= reply.total:
                return found

    async def online_members(self, id: GroupId) -> int:
        """Fetch the number of members of a group who have a device online.

        Raises:
            NotAMember: This account is not in the group (10007).
            UnknownGroup: No such group exists (10010).
        """
        return (await self._connection.call(state_wire.COUNT_ONLINE, wire.GroupIdRequest(group_id=id))).count

    async def applications(self) -> tuple[JoinApplication, ...]:
        """Fetch the applications to join that this account may answer as an owner or admin, in all groups, oldest first.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        reply = await self._connection.call(state_wire.LIST_JOIN_APPLICATIONS, state_wire.JoinApplicationsRequest())
        return tuple(
            JoinApplication(
                item.group_id,
                item.to_account,
                item.from_account if item.from_account != item.to_account else "",
                item.wording,
                item.time,
            )
            for item in reply.items
        )

    def _group(self, id: str, type: GroupType = GroupType.UNKNOWN) -> Group:
        return Group(id, type, self._conversations, self._connection, self._live_rooms)
