"""The members of a group, fetched from the server page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Sequence

from .group_types import GroupMember, group_member_from_wire
from .protocol import group_members as wire
from .transport.connection import Connection
from .util.displayed import Displayed

__all__ = ["MemberList"]

PAGE = 100  # members in one request


class MemberList(Displayed):
    """Members of a group, fetched when read: `await` returns the whole list, `async for` fetches page by page.

    Raises:
        UnknownGroup: When read, there is no such group (10010).
        NotAMember: When read, this account is not in the group (10007).
        NetworkError: When read, the server did not answer; read again.
        InvalidArgument: When read, 4096 requests wait for replies already.
        NotLoggedIn: When read, the client is not logged in.
    """

    def __init__(self, group_id: str, roles: Sequence[str], connection: Connection) -> None:
        self._group_id = group_id
        self._roles = list(roles)
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[GroupMember]:
        """Fetch the members in pages, in the order of the server.

        Raises:
            NetworkError: The server did not answer; iterate again.
            NotLoggedIn: The client is not logged in.
            ServerRefused: The server refused the request, as with UnknownGroup and NotAMember.
        """
        offset = 0
        while True:
            body = wire.GetMembersRequest(group_id=self._group_id, limit=PAGE, offset=offset, roles=self._roles)
            reply = await self._connection.call(wire.GET_MEMBERS, body)
            for member in reply.members:
                yield group_member_from_wire(member)
            offset += PAGE
            if offset >= reply.member_num:
                return

    def __await__(self) -> Generator[object, None, list[GroupMember]]:
        return self._all().__await__()

    async def _all(self) -> list[GroupMember]:
        return [member async for member in self]
