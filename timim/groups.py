"""Groups: `client.groups.create(...)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .conversation import Conversation
from .ids import checked_group_id, checked_user_id
from .net.connection import Connection
from .wire import groups as wire


@dataclass(frozen=True, slots=True)
class Group:
    """A group this account is in."""

    id: str
    type: str
    conversation: Conversation


class Groups:
    """What a client does with groups."""

    def __init__(
        self, connection: Callable[[], Connection], conversation: Callable[[str], Conversation], *, timeout_s: float
    ) -> None:
        self._connection = connection
        self._conversation = conversation
        self._timeout_s = timeout_s

    async def create(self, type: str, *, name: str, id: str | None = None, members: Sequence[str] = ()) -> Group:
        """Make a group (Private/Work, Public, ChatRoom/Meeting, AVChatRoom, Community) with up to 100 members.

        Raises InvalidArgument (10004 type or name), UnknownUser, GroupExists (10021), NetworkError, NotLoggedIn.
        """
        body = wire.CreateGroup(
            type=type,
            name=name,
            group_id=checked_group_id(id) if id is not None else "",
            members=[wire.NewMember(account=checked_user_id(member)) for member in members],
        )
        reply = await self._connection().link().call(wire.CREATE_GROUP, body, timeout_s=self._timeout_s)
        return Group(reply.group_id, reply.type or type, self._conversation(reply.group_id))
