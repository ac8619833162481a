"""A live room (AV_CHAT_ROOM): the members who are there now, their marks, and bans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InvalidArgument
from ..ids import UserId
from ..protocol import live_rooms as wire
from ..transport.connection import Connection
from ..util.arguments import Items, Number, Text, checked
from ..util.displayed import Displayed

__all__ = ["LiveMember", "LiveRoom"]


@dataclass(frozen=True, slots=True)
class LiveMember(Displayed):
    """A member of a live room. `joined` is in server seconds; the app gives the marks their meaning."""

    user_id: str
    joined: int
    nickname: str
    face_url: str
    marks: tuple[int, ...]


@checked(InvalidArgument)
class LiveRoom(Displayed):
    """The members, marks and bans of a live room: `group.live`. Only the owner marks and bans.

    All methods share these errors; each names its further errors.

    Raises:
        UnknownGroup: There is no such group (10010).
        NotAMember: This account is not in the group (10007).
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, group_id: str, connection: Connection) -> None:
        self._group_id = group_id
        self._connection = connection

    async def members(self, *, mark: Number = 0) -> tuple[LiveMember, ...]:
        """Fetch the members who are there now, in the order of joining: all, or those with a mark.

        Raises:
            InvalidArgument: 4096 requests wait for replies already.
            NotAMember: This account is not in the group.
        """
        found: list[LiveMember] = []
        after = 0
        while True:
            body = wire.LiveMembersRequest(group_id=self._group_id, after=after, mark=mark)
            reply = await self._connection.call(wire.LIVE_MEMBERS, body)
            found += [LiveMember(one.user, one.joined, one.nick, one.face_url, tuple(one.marks)) for one in reply.members]
            after = reply.next
            if not after:
                return tuple(found)

    async def mark(self, user_ids: Items[UserId], mark: Number) -> tuple[str, ...]:
        """Set a mark of up to 500 members.

        Returns:
            The users who are in the room and have the mark now.

        Raises:
            InvalidArgument: The mark is below 1000, or there are no users, or more than 500 (10004, 10005).
            NoPermission: This account is not the owner, or the group is no live room (10007).
            LimitReached: A member would have more than 10 marks, or more than 1000 members a mark (10014).
        """
        return await self._mark(user_ids, mark, wire.SET_MARKS)

    async def unmark(self, user_ids: Items[UserId], mark: Number) -> tuple[str, ...]:
        """Clear a mark of up to 500 members.

        Returns:
            The users who are in the room, and do not have the mark now.

        Raises:
            InvalidArgument: The mark is below 1000, or there are no users, or more than 500 (10004, 10005).
            NoPermission: This account is not the owner, or the group is no live room (10007).
        """
        return await self._mark(user_ids, mark, wire.CLEAR_MARKS)

    async def ban(self, user_ids: Items[UserId], seconds: Number, *, reason: Text = "") -> None:
        """Remove up to 20 users, who cannot come back for some seconds. They get a GroupNoticeReceived event.

        Raises:
            UnknownUser: A user does not exist (20003); nobody was banned.
            InvalidArgument: `seconds` is 0, there are no users, or more than 20, or the reason is over 300 bytes.
            NoPermission: This account is not the owner, a user is, or the group is no live room (10007).
            LimitReached: The room would have more than 1000 bans (10014).
        """
        body = wire.BanMembersRequest(group_id=self._group_id, users=list(user_ids), ban_s=seconds, reason=reason)
        await self._connection.call(wire.BAN_MEMBERS, body)

    async def unban(self, user_ids: Items[UserId]) -> None:
        """End the bans of up to 20 users.

        Raises:
            InvalidArgument: There are no users, or more than 20 (10005).
            NoPermission: This account is not the owner, or the group is no live room (10007).
        """
        await self._connection.call(wire.UNBAN_MEMBERS, wire.UnbanMembersRequest(group_id=self._group_id, users=list(user_ids)))

    async def bans(self) -> dict[str, int]:
        """Fetch the banned users, each with the server second in which the ban ends.

        Raises:
            InvalidArgument: 4096 requests wait for replies already.
            NotAMember: This account is not in the group.
        """
        found: dict[str, int] = {}
        offset = 0
        while True:
            reply = await self._connection.call(wire.LIST_BANS, wire.ListBansRequest(group_id=self._group_id, offset=offset))
            found |= {one.user: one.until for one in reply.bans}
            offset = reply.next
            if not offset:
                return found

    async def _mark(self, user_ids: Sequence[str], mark: int, kind: int) -> tuple[str, ...]:
        items = [wire.MarkedMember(user=user, marks=[mark]) for user in user_ids]
        body = wire.MarkMembersRequest(group_id=self._group_id, kind=kind, members=items)
        return tuple(one.user for one in (await self._connection.call(wire.MARK_MEMBERS, body)).members)
