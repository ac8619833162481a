"""One group: its properties, members, applications and attributes.

The type of the group and the role of the member define the permissions. All members get each change as a GroupChanged
event and as a message in the group's conversation. The user concerned by an application, an invitation or a kick gets a
GroupNoticeReceived event and a system message.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from ..conversation import Conversation, ConversationRegistry
from ..errors import InvalidArgument, error_for
from ..ids import ConversationType, UserId, flat_ids
from ..protocol import group_members as member_wire
from ..protocol import groups as wire
from ..transport.connection import Connection
from ..util.arguments import FieldTexts, Items, Number, PlainText, Text, checked
from ..util.displayed import Displayed
from ..util.read_only import assigned_once
from .live_room import LiveRoom
from .state import GroupCounters, GroupPins
from .topics import GroupTopics
from .types import (
    GroupInfo,
    GroupMember,
    GroupType,
    JoinOption,
    MemberList,
    MemberRole,
    custom_to_wire,
    group_info_from_wire,
    group_member_from_wire,
    unset_if_none,
)

__all__ = ["Group"]


@assigned_once("take another group: client.groups.of(…)")
@checked(InvalidArgument)
class Group(Displayed):
    """Group, from `client.groups.of(id)` without I/O. All coroutines can raise these errors; each documents its others.

    Raises:
        UnknownGroup: There is no such group (10010).
        NotAMember: This account, or the named user, is not in the group (10007).
        InvalidArgument: A named id cannot be a user id, or 4096 requests wait for replies already.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
        ServerRefused: The server refused the request for another reason.
    """

    type: GroupType
    """Type of the group; UNKNOWN before `info()` for a group from `client.groups.of()`."""

    def __init__(
        self, id: str, type: GroupType, conversations: ConversationRegistry, connection: Connection, live_rooms: set[str]
    ) -> None:
        self.id: str = id
        self.type = type
        self.conversation: Conversation = conversations.get(ConversationType.GROUP, id)
        self.counters: GroupCounters = GroupCounters(id, connection)
        self.pins: GroupPins = GroupPins(id, connection)
        self.topics: GroupTopics = GroupTopics(id, conversations, connection)
        self.live: LiveRoom = LiveRoom(id, connection)
        self._connection = connection
        self._live_rooms = live_rooms

    async def info(self) -> GroupInfo:
        """Fetch the group's properties.

        Raises:
            NotAMember: This account is not in the group; use `public_info`.
        """
        reply = await self._connection.call(wire.GET_GROUP_INFO, wire.GetGroupInfoRequest(group_ids=[self.id]))
        found = reply.groups[0]
        if found.error_code:
            raise error_for(found.error_code, found.error_info, reason=found.error_reason)
        vars(self)["type"] = GroupType(found.type)
        return group_info_from_wire(found)

    async def public_info(self) -> GroupInfo:
        """Fetch the public properties of the group: all except notification, custom fields and mutes.

        Raises:
            NoPermission: The group can be joined by invitation only.
        """
        reply = await self._connection.call(wire.GET_PUBLIC_INFO, wire.GetGroupInfoRequest(group_ids=[self.id]))
        found = reply.groups[0]
        if found.error_code:
            raise error_for(found.error_code, found.error_info, reason=found.error_reason)
        return group_info_from_wire(found)

    async def set_info(
        self,
        *,
        name: Text | None = None,
        introduction: Text | None = None,
        notification: Text | None = None,
        face_url: Text | None = None,
        max_members: Number | None = None,
        join_option: JoinOption | None = None,
        muted_all: bool | None = None,
        custom: FieldTexts | None = None,
    ) -> None:
        """Change the given properties.

        Args:
            name: At most 30 bytes.
            introduction: At most 240 bytes.
            notification: At most 300 bytes.
            face_url: The address of the group's picture.
            max_members: The number of members that the group may have.
            join_option: Way in which users join by themselves; fixed for some types.
            muted_all: True lets only the owner and the admins speak.
            custom: Up to 20 fields by key; an empty value removes a field.

        Raises:
            InvalidArgument: A value is over its limit or not allowed for this type (10004).
            NoPermission: The member's role does not allow it.
        """
        body = wire.ModifyGroupRequest(
            group_id=self.id,
            name=unset_if_none(name),
            introduction=unset_if_none(introduction),
            notification=unset_if_none(notification),
            face_url=unset_if_none(face_url),
            max_members=unset_if_none(max_members),
            apply_option=unset_if_none(join_option),
            mute_all=UNSET if muted_all is None else "On" if muted_all else "Off",
            custom=custom_to_wire(custom),
        )
        await self._connection.call(wire.MODIFY_GROUP, body)

    def members(self, *roles: MemberRole | PlainText) -> MemberList:
        """Return the members with these roles, by default all, in the order of joining; `await` or `async for` fetches them."""
        return MemberList(self.id, roles, self._connection)

    async def member(self, user_id: UserId) -> GroupMember | None:
        """Fetch one member; None if the user is not in the group.

        Raises:
            NotAMember: This account is not in the group.
        """
        body = member_wire.GetNamedMembersRequest(group_id=self.id, users=[user_id])
        reply = await self._connection.call(member_wire.GET_NAMED_MEMBERS, body)
        return group_member_from_wire(reply.members[0]) if reply.members else None

    async def invite(self, *user_ids: UserId | Items[UserId]) -> dict[str, bool]:
        """Invite up to 100 users.

        Returns:
            For each user True if the user is in the group now, False if an admin, or the user, has to approve first.

        Raises:
            UnknownUser, Blacklisted: A user does not exist, or has blocked this account; the others have been invited.
            LimitReached: The group is full (10014).
            InvalidArgument: There are no users, or more than 100 (10037).
            NoPermission: The member's role does not allow it.
        """
        users = flat_ids(user_ids)
        body = member_wire.AddMembersRequest(group_id=self.id, members=[wire.NewMember(account=user) for user in users])
        reply = await self._connection.call(member_wire.ADD_MEMBERS, body)
        for one in reply.members:
            if one.result == member_wire.FAILED:
                raise error_for(one.code, one.info or f"there is no account {one.account!r}")
        return {one.account: one.result != member_wire.PENDING for one in reply.members}

    async def kick(self, *user_ids: UserId | Items[UserId], reason: Text = "") -> None:
        """Remove up to 500 members.

        Raises:
            InvalidArgument: There are no users, or more than 500 (10038).
            NoPermission: The member's role does not allow it; an admin cannot kick an admin.
        """
        body = member_wire.DeleteMembersRequest(group_id=self.id, users=flat_ids(user_ids), reason=reason)
        await self._connection.call(member_wire.DELETE_MEMBERS, body)

    async def mute(self, user_id: UserId, seconds: Number) -> None:
        """Mute a member for some seconds; 0 unmutes the member.

        Raises:
            InvalidArgument: `seconds` is negative or too large (10004).
            NoPermission: The role of this account is not above the member's role.
        """
        await self._modify(user_id, mute_s=seconds)

    async def set_role(self, user_id: UserId, role: MemberRole | PlainText) -> None:
        """Make a member an ADMIN, or an admin a MEMBER again.

        Raises:
            InvalidArgument: The role is neither ADMIN nor MEMBER (10004).
            NoPermission: This account is not the owner, or the type has no admins.
        """
        await self._modify(user_id, role=role)

    async def set_name_card(self, name_card: Text, *, user_id: UserId | None = None) -> None:
        """Set the name card of a member, by default of this account, at most 50 bytes.

        Raises:
            InvalidArgument: The name is too long (10004).
            NoPermission: `user_id` is another user, and this account is neither owner nor admin.
        """
        await self._modify(user_id or "", name_card=name_card)

    async def set_member_custom(self, custom: FieldTexts, *, user_id: UserId | None = None) -> None:
        """Set up to 20 custom fields of a member, by default of this account; an empty value removes a field.

        Raises:
            InvalidArgument: There are too many fields, or one is too long (10004).
            NoPermission: `user_id` is another user, and this account is neither owner nor admin.
        """
        await self._modify(user_id or "", custom=custom)

    async def transfer_ownership(self, user_id: UserId) -> None:
        """Make another member the owner.

        Raises:
            NoPermission: This account is not the owner, or the type's owner cannot change.
        """
        body = wire.ChangeOwnerRequest(group_id=self.id, new_owner=user_id)
        await self._connection.call(wire.CHANGE_OWNER, body)

    async def quit(self) -> None:
        """Leave the group. The owner of a WORK group may leave too: the oldest member becomes the owner.

        Raises:
            OwnerCannotQuit: This account owns a group of another type (10009); transfer it, or dissolve it.
        """
        await self._connection.call(member_wire.QUIT_GROUP, wire.GroupIdRequest(group_id=self.id))
        self._live_rooms.discard(self.id)

    async def dissolve(self) -> None:
        """Dissolve the group for all members. After that, only locally stored history can be read.

        Raises:
            NoPermission: This account is not the owner, or the type cannot be dissolved.
        """
        await self._connection.call(wire.DESTROY_GROUP, wire.GroupIdRequest(group_id=self.id))

    async def accept(self, user_id: UserId, *, text: Text = "") -> None:
        """Accept a user's application to join.

        Raises:
            NoSuchApplication: The user did not apply, or was answered already (10032).
            AlreadyMember: The user is in the group already (10013).
            LimitReached: The group is full (10014).
            NoPermission: This account is neither owner nor admin.
        """
        await self._answer_application(user_id, "Agree", text)

    async def refuse(self, user_id: UserId, *, text: Text = "") -> None:
        """Refuse a user's application to join.

        Raises:
            NoSuchApplication: The user did not apply, or was answered already (10032).
            NoPermission: This account is neither owner nor admin.
        """
        await self._answer_application(user_id, "Reject", text)

    async def accept_invitation(self, user_id: UserId, *, text: Text = "") -> None:
        """Approve a member's invitation of this user, as an admin, or as the user who demands to be asked.

        Raises:
            NoSuchApplication: There is no invitation, or it was answered already (10032).
            AlreadyMember: The user is in the group already (10013).
            LimitReached: The group is full (10014).
            NoPermission: This account is neither owner nor admin.
        """
        await self._answer_invitation(user_id, "Agree", text)

    async def refuse_invitation(self, user_id: UserId, *, text: Text = "") -> None:
        """Refuse a member's invitation of this user.

        Raises:
            NoSuchApplication: There is no invitation, or it was answered already (10032).
            NoPermission: This account is neither owner nor admin.
        """
        await self._answer_invitation(user_id, "Reject", text)

    async def attributes(self) -> dict[str, str]:
        """Fetch the group's attributes: up to 16 short texts by key.

        Raises:
            NotAMember: This account is not in the group.
        """
        reply = await self._connection.call(wire.GET_ATTRIBUTES, wire.GroupIdRequest(group_id=self.id))
        return {one.key: one.value for one in reply.attributes}

    async def set_attributes(self, attributes: FieldTexts) -> None:
        """Set attributes of the group; an empty text removes an attribute.

        Raises:
            InvalidArgument: A key is over 32 bytes, a value over 4000, or there are more than 16 attributes (10004).
            NoPermission: The member's role does not allow it.
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
            account=user_id or self._connection.user_id,
            role=unset_if_none(role),
            name_card=unset_if_none(name_card),
            mute_s=unset_if_none(mute_s),
            custom=custom_to_wire(custom),
        )
        await self._connection.call(member_wire.MODIFY_MEMBER, body)

    async def _answer_application(self, user_id: str, action: str, text: str) -> None:
        body = member_wire.HandleApplicationRequest(group_id=self.id, applicant=user_id, action=action, wording=text)
        await self._connection.call(member_wire.HANDLE_APPLICATION, body)

    async def _answer_invitation(self, user_id: str, action: str, text: str) -> None:
        body = member_wire.HandleInvitationRequest(group_id=self.id, invited=user_id, action=action, wording=text)
        await self._connection.call(member_wire.HANDLE_INVITATION, body)

    def __repr__(self) -> str:
        return f"<Group {self.id}{' ' + self.type if self.type else ''}>"
