"""Relations: friends and applications to be one, remarks, friend groups, the blacklist.

Every change, also one of another device or of the other side, comes as a RelationChanged event and a system message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import error_for
from .ids import checked_user_id
from .protocol import friends as wire
from .transport.connection import Connection


@dataclass(frozen=True, slots=True)
class Friend:
    """A friend: the profile's nickname and face, and what this account calls them and puts them into."""

    user_id: str
    nickname: str = ""
    face_url: str = ""
    remark: str = ""
    groups: tuple[str, ...] = ()
    wording: str = ""
    added: int = 0  # server seconds


@dataclass(frozen=True, slots=True)
class FriendApplication:
    """Somebody asks to be a friend (or, `sent`, was asked). `time` in server seconds."""

    user_id: str
    nickname: str
    wording: str
    source: str
    time: int
    sent: bool


class Friends:
    """`client.friends`. Every call may raise NetworkError and NotLoggedIn; UnknownUser (20003) where it names nobody."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(
        self, user_id: str, *, wording: str = "", remark: str = "", group: str = "", source: str = "", both: bool = True
    ) -> bool:
        """Add a friend: True, they are one now; False, their profile wants a confirmation and the application waits.

        `both` False: on this side only. Limits: wording 256 bytes, remark 96, 1000 friends.
        Raises FriendRefused (30516), Blacklisted (30515, 30525), LimitReached (30010, 30012, 30014), InvalidArgument.
        """
        friend = wire.NewFriend(account=checked_user_id(user_id), remark=remark, group=group, source=source, wording=wording)
        body = wire.AddFriendsRequest(friends=[friend], type=wire.BOTH if both else wire.SINGLE)
        return _one(await self._connection.call(wire.ADD_FRIENDS, body), waits=wire.PENDING)

    async def accept(self, user_id: str, *, remark: str = "", group: str = "", add_back: bool = True) -> None:
        """Agree to an application; `add_back` False: they have this account as a friend, not the other way round.

        Raises NoSuchApplication (30614), LimitReached (30010, 30014).
        """
        action = wire.AGREE_AND_ADD if add_back else wire.AGREE
        answer = wire.ApplicationAnswer(account=checked_user_id(user_id), action=action, remark=remark, tag=group)
        _one(await self._connection.call(wire.ANSWER_APPLICATIONS, wire.AnswerApplicationsRequest(answers=[answer])))

    async def refuse(self, user_id: str) -> None:
        """Reject an application; they may ask again. Raises NoSuchApplication (30614)."""
        answer = wire.ApplicationAnswer(account=checked_user_id(user_id), action=wire.REJECT)
        _one(await self._connection.call(wire.ANSWER_APPLICATIONS, wire.AnswerApplicationsRequest(answers=[answer])))

    async def withdraw(self, user_id: str) -> None:
        """Take back one's own application. Raises NoSuchApplication (30614)."""
        body = wire.DeleteApplicationsRequest(users=[checked_user_id(user_id)], type=wire.SENT)
        _one(await self._connection.call(wire.DELETE_APPLICATIONS, body))

    async def delete(self, user_id: str, *, both: bool = False) -> None:
        """No friend of this account any more; `both`: nor it one of theirs. Raises NotFriends (31704)."""
        body = wire.DeleteFriendsRequest(
            friends=[checked_user_id(user_id)], type=wire.DELETE_BOTH if both else wire.DELETE_SINGLE
        )
        _one(await self._connection.call(wire.DELETE_FRIENDS, body))

    async def list(self) -> tuple[Friend, ...]:
        """All friends, in the order they were added."""
        found: tuple[Friend, ...] = ()
        start = 0
        while True:
            reply = await self._connection.call(wire.LIST_FRIENDS, wire.ListFriendsRequest(start_index=start))
            found += tuple(map(_friend, reply.friends))
            if reply.complete or reply.start_index <= start:
                return found
            start = reply.start_index

    async def set_remark(self, user_id: str, remark: str) -> None:
        """What this account calls a friend; at most 96 bytes. Raises NotFriends (31704), InvalidArgument (30001)."""
        await self._update(user_id, wire.FriendField(tag="Tag_SNS_IM_Remark", value=remark))

    async def set_groups(self, user_id: str, groups: Sequence[str]) -> None:
        """The friend groups that a friend is in; new names make new groups. Raises NotFriends, LimitReached (30011)."""
        await self._update(user_id, wire.FriendField(tag="Tag_SNS_IM_Group", value=[*groups]))

    async def groups(self) -> dict[str, tuple[str, ...]]:
        """The friend groups and who is in each."""
        reply = await self._connection.call(wire.LIST_FRIEND_GROUPS, wire.FriendGroupsRequest())
        return {group.name: tuple(group.friends) for group in reply.groups}

    async def add_group(self, name: str, members: Sequence[str] = ()) -> None:
        """Make a friend group (1 to 30 bytes; 32 of them) with these friends. Raises LimitReached, InvalidArgument."""
        body = wire.FriendGroupsRequest(names=[name], users=[checked_user_id(user) for user in members])
        await self._connection.call(wire.ADD_FRIEND_GROUPS, body)

    async def delete_group(self, name: str) -> None:
        """Delete a friend group; the friends in it stay friends."""
        await self._connection.call(wire.DELETE_FRIEND_GROUPS, wire.FriendGroupsRequest(names=[name]))

    async def applications(self, *, sent: bool = False) -> tuple[FriendApplication, ...]:
        """Applications that wait for this account's answer, or with `sent` for others'; the oldest first."""
        kind = wire.SENT if sent else wire.RECEIVED
        reply = await self._connection.call(wire.LIST_APPLICATIONS, wire.ListApplicationsRequest(type=kind))
        return tuple(
            FriendApplication(item.account, item.nick, item.wording, item.source, item.time, sent) for item in reply.items
        )

    async def read_applications(self) -> None:
        """Tell this account's other devices that the applications were looked at."""
        await self._connection.call(wire.REPORT_APPLICATIONS, wire.ReportApplicationsRequest())

    async def block(self, user_id: str) -> None:
        """Put on the blacklist: their messages are refused (20007), a friendship ends both ways.

        Raises LimitReached (30013).
        """
        _one(await self._connection.call(wire.ADD_BLOCKED, wire.AccountsRequest(users=[checked_user_id(user_id)])))

    async def unblock(self, user_id: str) -> None:
        """Take off the blacklist."""
        _one(await self._connection.call(wire.DELETE_BLOCKED, wire.AccountsRequest(users=[checked_user_id(user_id)])))

    async def blacklist(self) -> tuple[str, ...]:
        """Who is on the blacklist, in the order they were put there."""
        found: tuple[str, ...] = ()
        start = 0
        while True:
            reply = await self._connection.call(wire.LIST_BLOCKED, wire.ListBlockedRequest(start_index=start))
            found += tuple(item.account for item in reply.items)
            if reply.start_index <= start:
                return found
            start = reply.start_index

    async def _update(self, user_id: str, item: wire.FriendField) -> None:
        update = wire.FriendUpdate(account=checked_user_id(user_id), items=[item])
        _one(await self._connection.call(wire.UPDATE_FRIENDS, wire.UpdateFriendsRequest(updates=[update])))


def _one(reply: wire.FriendResultsReply, *, waits: int = 0) -> bool:
    """True when it is done, False when it `waits`. Raises what the one result says."""
    for result in reply.items:
        if waits and result.code == waits:
            return False
        if result.code:
            raise error_for(result.code, result.info)
    return True


def _friend(info: wire.FriendInfo) -> Friend:
    values = {item.tag: item.value for item in info.values}
    groups = values.get("Tag_SNS_IM_Group", [])
    added = values.get("Tag_SNS_IM_AddTime", 0)
    return Friend(
        info.account,
        str(values.get("Tag_Profile_IM_Nick", "")),
        str(values.get("Tag_Profile_IM_Image", "")),
        str(values.get("Tag_SNS_IM_Remark", "")),
        tuple(groups) if isinstance(groups, list) else (),
        str(values.get("Tag_SNS_IM_AddWording", "")),
        int(added) if isinstance(added, int | str) else 0,
    )
