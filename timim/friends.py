"""Relations: friends, friend applications, remarks, friend groups and the blacklist.

Each change by any device of either user is delivered as a RelationChanged event and a system message.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import InvalidArgument, error_for
from .ids import UserId
from .protocol import follows as follow_wire
from .protocol import friends as wire
from .protocol.follows import FollowList
from .transport.connection import Connection
from .util.arguments import Items, Text, checked
from .util.displayed import Displayed

__all__ = ["FollowCounts", "FollowList", "Follows", "Friend", "FriendApplication", "FriendRelation", "Friends"]


class FriendRelation(enum.StrEnum):
    """Friendship of this account and another user: which of the two has the other one as a friend."""

    NONE = "NoRelation"
    MINE = "AWithB"
    THEIRS = "BWithA"
    MUTUAL = "BothWay"


@dataclass(frozen=True, slots=True)
class Friend(Displayed):
    """Friend, with the nickname and picture of the profile, and this account's remark and friend groups."""

    user_id: str
    nickname: str = ""
    face_url: str = ""
    remark: str = ""
    groups: tuple[str, ...] = ()
    wording: str = ""
    added: int = 0  # server seconds


@dataclass(frozen=True, slots=True)
class FriendApplication(Displayed):
    """Application to become a friend, received or `sent` by this account. `time` is in server seconds."""

    user_id: str
    nickname: str
    wording: str
    source: str
    time: int
    sent: bool


@checked(InvalidArgument)
class Friends(Displayed):
    """Friends, friend applications and blacklist of this account: `client.friends`.

    All methods share these errors; each names its further errors.

    Raises:
        UnknownUser: The named user does not exist (20003).
        InvalidArgument: The named id cannot be a user id or is this account's own, or 4096 requests wait for replies.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
        ServerRefused: The server refused the request for another reason.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(
        self, user_id: UserId, *, wording: Text = "", remark: Text = "", group: Text = "", source: Text = "", both: bool = True
    ) -> bool:
        """Add a friend, or apply to become one if the user's profile asks for confirmation.

        Args:
            user_id: The user to add.
            wording: The text of the application, at most 256 bytes.
            remark: This account's name for the friend, at most 96 bytes.
            group: The friend group to put the friend into.
            source: Origin of the application, as the program names it.
            both: False adds the friend to this account's list only.

        Returns:
            True if the user is a friend now; False if the application waits for an answer.

        Raises:
            FriendRefused: The user accepts no friend requests (30516).
            Blacklisted: One of the two users has blocked the other (30515, 30525).
            LimitReached: A user has too many friends or applications (30010, 30012, 30014).
            InvalidArgument: A text is too long (30001).
        """
        friend = wire.NewFriend(account=user_id, remark=remark, group=group, source=source, wording=wording)
        body = wire.AddFriendsRequest(friends=[friend], type=wire.BOTH if both else wire.SINGLE)
        return _one(await self._connection.call(wire.ADD_FRIENDS, body), pending=wire.PENDING)

    async def accept(self, user_id: UserId, *, remark: Text = "", group: Text = "", add_back: bool = True) -> None:
        """Accept an application. With `add_back=False`, this account becomes the applicant's friend, but not vice versa.

        Raises:
            NoSuchApplication: The user did not apply, or was answered already (30614).
            LimitReached: One of the two users has too many friends (30010, 30014).
        """
        action = wire.AGREE_AND_ADD if add_back else wire.AGREE
        answer = wire.ApplicationAnswer(account=user_id, action=action, remark=remark, tag=group)
        _one(await self._connection.call(wire.ANSWER_APPLICATIONS, wire.AnswerApplicationsRequest(answers=[answer])))

    async def refuse(self, user_id: UserId) -> None:
        """Refuse an application; the user may apply again.

        Raises:
            NoSuchApplication: The user did not apply, or was answered already (30614).
        """
        answer = wire.ApplicationAnswer(account=user_id, action=wire.REJECT)
        _one(await self._connection.call(wire.ANSWER_APPLICATIONS, wire.AnswerApplicationsRequest(answers=[answer])))

    async def withdraw(self, user_id: UserId) -> None:
        """Withdraw this account's own application.

        Raises:
            NoSuchApplication: The application does not exist, or was answered already (30614).
        """
        body = wire.DeleteApplicationsRequest(users=[user_id], type=wire.SENT)
        _one(await self._connection.call(wire.DELETE_APPLICATIONS, body))

    async def delete(self, user_id: UserId, *, both: bool = False) -> None:
        """Remove a friend from this account's list. If `both`, remove this account from the friend's list too.

        Raises:
            NotFriends: The user is no friend (31704).
        """
        body = wire.DeleteFriendsRequest(friends=[user_id], type=wire.DELETE_BOTH if both else wire.DELETE_SINGLE)
        _one(await self._connection.call(wire.DELETE_FRIENDS, body))

    async def list(self) -> tuple[Friend, ...]:
        """Fetch all friends, in the order of their addition.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        found: tuple[Friend, ...] = ()
        start = 0
        while True:
            reply = await self._connection.call(wire.LIST_FRIENDS, wire.ListFriendsRequest(start_index=start))
            found += tuple(map(_friend, reply.friends))
            if reply.complete or reply.start_index <= start:
                return found
            start = reply.start_index

    async def set_remark(self, user_id: UserId, remark: Text) -> None:
        """Set this account's name for a friend, at most 96 bytes.

        Raises:
            NotFriends: The user is no friend (31704).
            InvalidArgument: The remark is too long (30001).
        """
        await self._update(user_id, wire.FriendField(tag="Tag_SNS_IM_Remark", value=remark))

    async def set_groups(self, user_id: UserId, groups: Items[Text]) -> None:
        """Set the friend groups of a friend. A new name creates a friend group.

        Raises:
            NotFriends: The user is no friend (31704).
            LimitReached: There are too many friend groups (30011).
            InvalidArgument: A name is empty or over 30 bytes (30001).
        """
        await self._update(user_id, wire.FriendField(tag="Tag_SNS_IM_Group", value=[*groups]))

    async def groups(self) -> dict[str, tuple[str, ...]]:
        """Fetch the friend groups, and the user ids in each.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        reply = await self._connection.call(wire.LIST_FRIEND_GROUPS, wire.FriendGroupsRequest())
        return {group.name: tuple(group.friends) for group in reply.groups}

    async def add_group(self, name: Text, members: Items[UserId] = ()) -> None:
        """Create a friend group with these friends; other users are ignored.

        Raises:
            LimitReached: There are 32 friend groups already (30011).
            InvalidArgument: The name is empty or over 30 bytes (30001).
        """
        body = wire.FriendGroupsRequest(names=[name], users=list(members))
        await self._connection.call(wire.ADD_FRIEND_GROUPS, body)

    async def delete_group(self, name: Text) -> None:
        """Delete a friend group, without removing its friends.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        await self._connection.call(wire.DELETE_FRIEND_GROUPS, wire.FriendGroupsRequest(names=[name]))

    async def rename_group(self, name: Text, new_name: Text) -> None:
        """Rename a friend group; its friends stay in it.

        Raises:
            InvalidArgument: There is no such friend group, or the new name is taken, empty or over 30 bytes (30001).
        """
        body = wire.UpdateFriendGroupRequest(old_name=name, new_name=new_name)
        await self._connection.call(wire.UPDATE_FRIEND_GROUP, body)

    async def check(self, user_ids: Items[UserId]) -> dict[str, FriendRelation]:
        """Fetch who has whom as a friend, for up to 1000 users.

        Raises:
            UnknownUser: One of the users does not exist (20003).
            InvalidArgument: There are no users, or more than 1000 (30001).
        """
        body = wire.CheckRequest(account=self._connection.user_id, users=list(user_ids), type=wire.CHECK_BOTH)
        reply = await self._connection.call(wire.CHECK_FRIENDS, body)
        for item in reply.items:
            if item.code:
                raise error_for(item.code, item.info)
        return {item.account: FriendRelation(item.relation.removeprefix(wire.CHECKED)) for item in reply.items}

    async def applications(self, *, sent: bool = False) -> tuple[FriendApplication, ...]:
        """Fetch the unanswered applications to this account, or with `sent` those of this account, oldest first.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        kind = wire.SENT if sent else wire.RECEIVED
        reply = await self._connection.call(wire.LIST_APPLICATIONS, wire.ListApplicationsRequest(type=kind))
        return tuple(
            FriendApplication(item.account, item.nick, item.wording, item.source, item.time, sent) for item in reply.items
        )

    async def read_applications(self) -> None:
        """Mark all applications as read on all devices of this account.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        await self._connection.call(wire.REPORT_APPLICATIONS, wire.ReportApplicationsRequest())

    async def block(self, user_id: UserId) -> None:
        """Put a user on the blacklist. Their messages are refused (20007), and a friendship ends for both.

        Raises:
            LimitReached: The blacklist is full (30013).
        """
        _one(await self._connection.call(wire.ADD_BLOCKED, wire.AccountsRequest(users=[user_id])))

    async def unblock(self, user_id: UserId) -> None:
        """Remove a user from the blacklist.

        Raises:
            UnknownUser: The user does not exist (20003).
        """
        _one(await self._connection.call(wire.DELETE_BLOCKED, wire.AccountsRequest(users=[user_id])))

    async def blacklist(self) -> tuple[str, ...]:
        """Fetch the user ids on the blacklist, in the order of their addition.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        found: tuple[str, ...] = ()
        start = 0
        while True:
            reply = await self._connection.call(wire.LIST_BLOCKED, wire.ListBlockedRequest(start_index=start))
            found += tuple(item.account for item in reply.items)
            if reply.start_index <= start:
                return found
            start = reply.start_index

    async def _update(self, user_id: str, item: wire.FriendField) -> None:
        update = wire.FriendUpdate(account=user_id, items=[item])
        _one(await self._connection.call(wire.UPDATE_FRIENDS, wire.UpdateFriendsRequest(updates=[update])))


@dataclass(frozen=True, slots=True)
class FollowCounts(Displayed):
    """Numbers of a user's followers, of the users whom that user follows, and of those in both lists."""

    followers: int
    following: int
    mutual: int


@checked(InvalidArgument)
class Follows(Displayed):
    """Users whom this account follows, up to 1000, and its followers: `client.follows`. Nobody is asked.

    Each change is delivered as a FollowsChanged event to both users, while they are online.

    Raises:
        UnknownUser: The named user does not exist (20003).
        InvalidArgument: The named id cannot be a user id or is this account's own.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, user_id: UserId) -> None:
        """Follow a user. A second call changes nothing.

        Raises:
            UnknownUser: The user does not exist (20003).
            LimitReached: This account follows 1000 users (10014).
        """
        body = follow_wire.FollowRequest(items=[follow_wire.FollowItem(account=user_id)])
        _raise_first((await self._connection.call(follow_wire.FOLLOW, body)).items)

    async def remove(self, user_id: UserId) -> None:
        """Stop following a user. A second call changes nothing.

        Raises:
            UnknownUser: The user does not exist (20003).
        """
        body = follow_wire.FollowUsersRequest(users=[user_id])
        _raise_first((await self._connection.call(follow_wire.UNFOLLOW, body)).items)

    async def list(self, list: FollowList) -> tuple[str, ...]:
        """Fetch the user ids of a list, in the order of their ids.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        found: tuple[str, ...] = ()
        cursor = ""
        while True:
            body = follow_wire.ListFollowsRequest(list=list, cursor=cursor, count=500)
            reply = await self._connection.call(follow_wire.LIST_FOLLOWS, body)
            found += tuple(item.account for item in reply.items)
            if reply.next <= cursor:
                return found
            cursor = reply.next

    async def counts(self, user_id: UserId) -> FollowCounts:
        """Fetch the numbers of followers and followed users of any user.

        Raises:
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        body = follow_wire.FollowUsersRequest(users=[user_id])
        (item,) = (await self._connection.call(follow_wire.COUNT_FOLLOWS, body)).items
        return FollowCounts(item.followers, item.following, item.mutual)

    async def check(self, user_ids: Items[UserId]) -> dict[str, FollowList]:
        """Fetch the list in which each of up to 100 users is; NONE for strangers.

        Raises:
            InvalidArgument: There are no users, or more than 100 (30001).
        """
        body = follow_wire.FollowUsersRequest(users=[*user_ids])
        reply = await self._connection.call(follow_wire.CHECK_FOLLOWS, body)
        return {item.account: FollowList(item.list) for item in reply.items}


def _raise_first(results: Sequence[wire.FriendResult]) -> None:
    for result in results:
        if result.code:
            raise error_for(result.code, result.info)


def _one(reply: wire.FriendResultsReply, *, pending: int = 0) -> bool:
    """Return True if the single result is a success, False if it is `pending`; raise the error of a failed result."""
    for result in reply.items:
        if pending and result.code == pending:
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
