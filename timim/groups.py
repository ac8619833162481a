"""Groups: `client.groups` creates, finds and joins them, and a Group has the actions on one.

A group's type and the member's role decide about permissions. Every change reaches all members as a GroupChanged event
and as a message in the group's conversation. Applications, invitations and being kicked concern one user, who gets
GroupNoticeReceived and a system message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import UNSET, UnsetType

from .conversation import Conversation, ConversationRegistry
from .errors import error_for
from .group_types import (
    GroupInfo,
    GroupMember,
    GroupType,
    JoinOption,
    MemberRole,
    group_info_from_wire,
    group_member_from_wire,
)
from .ids import ConversationType, checked_group_id, checked_user_id
from .member_list import MemberList
from .protocol import group_members as member_wire
from .protocol import groups as wire
from .transport.connection import Connection

__all__ = ["Group", "Groups", "MemberList"]

PAGE = 100
T = TypeVar("T")


class Group:
    """A group; getting one does no I/O.

    Raises:
        UnknownGroup: no such group exists (10010). Every call of a group may raise this and the next three.
        NotAMember: this account is not in the group, or the named user is not (10007).
        NetworkError: the server did not answer; call again.
        NotLoggedIn: the client is not logged in.
    """

    id: str
    type: GroupType
    """UNKNOWN until `info()` was called, if the group was got by its id."""
    conversation: Conversation

    def __init__(self, id: str, type: GroupType, conversation: Conversation, connection: Connection) -> None:
        self.id = id
        self.type = type
        self.conversation = conversation
        self._connection = connection

    async def info(self) -> GroupInfo:
        """Fetch the group's properties.

        Raises:
            NotAMember: this account is not in the group; see `public_info`.
        """
        reply = await self._connection.call(wire.GET_GROUP_INFO, wire.GetGroupInfoRequest(group_ids=[self.id]))
        found = reply.groups[0]
        if found.error_code:
            raise error_for(found.error_code, found.error_info, reason=found.error_reason)
        self.type = GroupType(found.type)
        return group_info_from_wire(found)

    async def public_info(self) -> GroupInfo:
        """Fetch the public properties of a group that one can join: no notification, custom fields or mutes.

        Raises:
            NoPermission: the group can be joined by invitation only.
        """
        reply = await self._connection.call(wire.GET_PUBLIC_INFO, wire.GetGroupInfoRequest(group_ids=[self.id]))
        found = reply.groups[0]
        if found.error_code:
            raise error_for(found.error_code, found.error_info, reason=found.error_reason)
        return group_info_from_wire(found)

    async def set_info(
        self,
        *,
        name: str | None = None,
        introduction: str | None = None,
        notification: str | None = None,
        face_url: str | None = None,
        max_members: int | None = None,
        join_option: JoinOption | None = None,
        muted_all: bool | None = None,
        custom: Mapping[str, str] | None = None,
    ) -> None:
        """Change the given properties.

        Args:
            name: at most 30 bytes.
            introduction: at most 240 bytes.
            notification: at most 300 bytes.
            face_url: the address of the group's picture.
            max_members: the number of members that the group may have.
            join_option: how users join by themselves; fixed for some types.
            muted_all: True lets only the owner and the admins speak.
            custom: up to 20 fields by key; an empty value removes a field.

        Raises:
            InvalidArgument: a value is over its limit or not allowed for this type (10004).
            NoPermission: the member's role does not allow it.
        """
        body = wire.ModifyGroupRequest(
            group_id=self.id,
            name=_given(name),
            introduction=_given(introduction),
            notification=_given(notification),
            face_url=_given(face_url),
            max_members=_given(max_members),
            apply_option=_given(join_option),
            mute_all=UNSET if muted_all is None else "On" if muted_all else "Off",
            custom=_fields(custom),
        )
        await self._connection.call(wire.MODIFY_GROUP, body)

    def members(self, *roles: MemberRole | str) -> MemberList:
        """Return the members of these roles, or all, in the order they joined: `await group.members()`, or `async for`."""
        return MemberList(self.id, roles, self._connection)

    async def member(self, user_id: str) -> GroupMember | None:
        """Fetch one member; None if the user is not in the group. Raises NotAMember if this account is not."""
        body = member_wire.GetNamedMembersRequest(group_id=self.id, users=[checked_user_id(user_id)])
        reply = await self._connection.call(member_wire.GET_NAMED_MEMBERS, body)
        return group_member_from_wire(reply.members[0]) if reply.members else None

    async def invite(self, *user_ids: str | Sequence[str]) -> dict[str, bool]:
        """Invite up to 100 users.

        Returns:
            For each user True if the user is in the group now, False if an admin has to approve first.

        Raises:
            UnknownUser: a user does not exist (20003); the other users have been invited.
            LimitReached: the group is full (10014).
            InvalidArgument: there are no users, or more than 100 (10037).
            NoPermission: the member's role does not allow it.
        """
        users = _users(user_ids)
        body = member_wire.AddMembersRequest(group_id=self.id, members=[wire.NewMember(account=user) for user in users])
        reply = await self._connection.call(member_wire.ADD_MEMBERS, body)
        for one in reply.members:
            if one.result == member_wire.FAILED:
                raise error_for(20003, f"there is no account {one.account!r}")
        return {one.account: one.result != member_wire.PENDING for one in reply.members}

    async def kick(self, *user_ids: str | Sequence[str], reason: str = "") -> None:
        """Remove up to 500 members.

        Raises:
            InvalidArgument: there are no users, or more than 500 (10038).
            NoPermission: the member's role does not allow it; an admin cannot kick an admin.
        """
        body = member_wire.DeleteMembersRequest(group_id=self.id, users=_users(user_ids), reason=reason)
        await self._connection.call(member_wire.DELETE_MEMBERS, body)

    async def mute(self, user_id: str, seconds: int) -> None:
        """Forbid a member to speak for some seconds; 0 allows it again.

        Raises:
            InvalidArgument: `seconds` is negative or too large (10004).
            NoPermission: the role of one of the two does not allow it.
        """
        await self._modify(user_id, mute_s=seconds)

    async def set_role(self, user_id: str, role: MemberRole | str) -> None:
        """Make a member an ADMIN, or an admin a MEMBER again.

        Raises:
            InvalidArgument: the role is neither of the two (10004).
            NoPermission: this account is not the owner, or the type has no admins.
        """
        await self._modify(user_id, role=role)

    async def set_name_card(self, name_card: str, *, user_id: str | None = None) -> None:
        """Set a member's name in this group, at most 50 bytes; this account's own unless `user_id` is given.

        Raises:
            InvalidArgument: the name is too long (10004).
            NoPermission: the name is another's, and this account is neither owner nor admin.
        """
        await self._modify(user_id or "", name_card=name_card)

    async def set_member_custom(self, custom: Mapping[str, str], *, user_id: str | None = None) -> None:
        """Set custom fields of a member, at most 20; an empty value removes one.

        Raises:
            InvalidArgument: there are too many fields, or one is too long (10004).
            NoPermission: the fields are another's, and this account is neither owner nor admin.
        """
        await self._modify(user_id or "", custom=custom)

    async def transfer_ownership(self, user_id: str) -> None:
        """Make another member the owner.

        Raises:
            NoPermission: this account is not the owner, or the type's owner cannot change.
        """
        body = wire.ChangeOwnerRequest(group_id=self.id, new_owner=checked_user_id(user_id))
        await self._connection.call(wire.CHANGE_OWNER, body)

    async def quit(self) -> None:
        """Leave the group. The owner of a WORK group may leave too: the oldest member becomes the owner.

        Raises:
            OwnerCannotQuit: this account owns a group of another type (10009); transfer it, or dissolve it.
        """
        await self._connection.call(member_wire.QUIT_GROUP, wire.GroupIdRequest(group_id=self.id))

    async def dissolve(self) -> None:
        """End the group for all members. Its history can be read only where it was stored before.

        Raises:
            NoPermission: this account is not the owner, or the type cannot be dissolved.
        """
        await self._connection.call(wire.DESTROY_GROUP, wire.GroupIdRequest(group_id=self.id))

    async def accept(self, user_id: str, *, text: str = "") -> None:
        """Accept a user's application to join.

        Raises:
            NoSuchApplication: the user did not apply, or was answered already (10032).
            AlreadyMember: the user is in the group already (10013).
            LimitReached: the group is full (10014).
            NoPermission: this account is neither owner nor admin.
        """
        await self._answer_application(user_id, "Agree", text)

    async def refuse(self, user_id: str, *, text: str = "") -> None:
        """Refuse a user's application to join. Raises NoSuchApplication (10032) and NoPermission, as `accept`."""
        await self._answer_application(user_id, "Reject", text)

    async def accept_invitation(self, user_id: str, *, text: str = "") -> None:
        """Approve a member's invitation of this user. Raises the errors of `accept`."""
        await self._answer_invitation(user_id, "Agree", text)

    async def refuse_invitation(self, user_id: str, *, text: str = "") -> None:
        """Refuse a member's invitation of this user. Raises the errors of `refuse`."""
        await self._answer_invitation(user_id, "Reject", text)

    async def attributes(self) -> dict[str, str]:
        """Fetch the group's attributes: up to 16 small texts by key. Raises NotAMember if this account is no member."""
        reply = await self._connection.call(wire.GET_ATTRIBUTES, wire.GroupIdRequest(group_id=self.id))
        return {one.key: one.value for one in reply.attributes}

    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        """Set attributes of the group; an empty text removes one.

        Raises:
            InvalidArgument: a key is over 32 bytes, a value over 4000, or there are more than 16 attributes (10004).
            NoPermission: the member's role does not allow it.
        """
        wanted = [wire.GroupAttribute(key=key, value=value) for key, value in attributes.items()]
        body = wire.ModifyAttributesRequest(group_id=self.id, attributes=wanted)
        await self._connection.call(wire.MODIFY_ATTRIBUTES, body)

    async def _modify(
        self,
        user_id: str,
        *,
        role: str | None = None,
        name_card: str | None = None,
        mute_s: int | None = None,
        custom: Mapping[str, str] | None = None,
    ) -> None:
        body = member_wire.ModifyMemberRequest(
            group_id=self.id,
            account=checked_user_id(user_id) if user_id else self._connection.user_id,
            role=_given(role),
            name_card=_given(name_card),
            mute_s=_given(mute_s),
            custom=_fields(custom),
        )
        await self._connection.call(member_wire.MODIFY_MEMBER, body)

    async def _answer_application(self, user_id: str, action: str, text: str) -> None:
        applicant = checked_user_id(user_id)
        body = member_wire.HandleApplicationRequest(group_id=self.id, applicant=applicant, action=action, wording=text)
        await self._connection.call(member_wire.HANDLE_APPLICATION, body)

    async def _answer_invitation(self, user_id: str, action: str, text: str) -> None:
        invited = checked_user_id(user_id)
        body = member_wire.HandleInvitationRequest(group_id=self.id, invited=invited, action=action, wording=text)
        await self._connection.call(member_wire.HANDLE_INVITATION, body)

    def __repr__(self) -> str:
        return f"<Group {self.id}{' ' + self.type if self.type else ''}>"


class Groups:
    """`client.groups`: creates, finds and joins groups. Every coroutine may raise NetworkError and NotLoggedIn too."""

    def __init__(self, connection: Connection, conversations: ConversationRegistry) -> None:
        self._connection = connection
        self._conversations = conversations

    def of(self, id: str) -> Group:
        """Return the group with this id, without I/O. Raises InvalidArgument if it cannot be a group id."""
        return self._group(checked_group_id(id))

    async def create(
        self,
        type: GroupType | str,
        *,
        name: str,
        id: str | None = None,
        members: Sequence[str] = (),
        introduction: str = "",
        notification: str = "",
        face_url: str = "",
        max_members: int = 0,
        join_option: JoinOption | None = None,
        custom: Mapping[str, str] | None = None,
    ) -> Group:
        """Create a group, with this account as its owner and up to 100 first members.

        Raises:
            InvalidArgument: the type, a name or a text is wrong (10004), the id (10015), or the members (10037).
            UnknownUser: a member does not exist (20003).
            GroupExists: the id is taken (10021), also by a dissolved group.
            LimitReached: there are more members than the group may have (10014).
        """
        body = wire.CreateGroupRequest(
            type=type,
            name=name,
            group_id=checked_group_id(id) if id is not None else "",
            members=[wire.NewMember(account=checked_user_id(member)) for member in members],
            introduction=introduction,
            notification=notification,
            face_url=face_url,
            max_members=max_members,
            apply_option=join_option or "",
            custom=_fields(custom),
        )
        reply = await self._connection.call(wire.CREATE_GROUP, body)
        return self._group(reply.group_id, GroupType(reply.type or type))

    async def join(self, id: str, *, wording: str = "") -> bool:
        """Join a group, or apply to join.

        Returns:
            True if this account is in the group now; False if the owner and the admins were asked, and a notice will
            bring their answer.

        Raises:
            AlreadyMember: this account is in the group already (10013).
            NoPermission: the group can be joined by invitation only (10007).
            LimitReached: the group is full (10014).
            UnknownGroup: no such group exists (10010).
            InvalidArgument: the id or the text is wrong.
        """
        body = member_wire.JoinGroupRequest(group_id=checked_group_id(id), wording=wording)
        return (await self._connection.call(member_wire.JOIN_GROUP, body)).joined == member_wire.JOINED

    async def joined(self) -> list[Group]:
        """Fetch the groups that this account is in. Raises NetworkError and NotLoggedIn only."""
        found: list[Group] = []
        offset = 0
        while True:
            reply = await self._connection.call(wire.LIST_JOINED, wire.ListJoinedGroupsRequest(limit=PAGE, offset=offset))
            found += [self._group(info.group_id, GroupType(info.type)) for info in reply.groups]
            offset += PAGE
            if offset >= reply.total:
                return found

    def _group(self, id: str, type: GroupType = GroupType.UNKNOWN) -> Group:
        return Group(id, type, self._conversations.get(ConversationType.GROUP, id), self._connection)


def _users(user_ids: Iterable[str | Sequence[str]]) -> list[str]:
    users: list[str] = []
    for one in user_ids:
        users += [one] if isinstance(one, str) else one
    return [checked_user_id(user) for user in dict.fromkeys(users)]


def _given(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _fields(custom: Mapping[str, str] | None) -> list[wire.CustomField]:
    return [wire.CustomField(key=key, value=value) for key, value in (custom or {}).items()]
