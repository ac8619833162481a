"""Groups: `client.groups.create(...)`, and what one does with a Group. Who may do what depends on its type and one's role.

Every change comes to all members as a GroupChanged event and a message in the group's own conversation; what concerns
one user alone (applications, invitations, being kicked) as GroupNoticeReceived, in the system conversation.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import UNSET, UnsetType

from .conversation import Conversation, ConversationRegistry
from .errors import error_for
from .ids import ConversationType, checked_group_id, checked_user_id
from .protocol import group_members as member_wire
from .protocol import groups as wire
from .transport.connection import Connection

PAGE = 100
T = TypeVar("T")


class JoinOption(enum.StrEnum):
    """How one comes into a group by itself: at once, after an admin's approval, or not at all."""

    FREE = "FreeAccess"
    APPROVAL = "NeedPermission"
    CLOSED = "DisableApply"


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """What is known of a group. Times in server seconds."""

    id: str
    type: str
    name: str
    owner: str
    introduction: str
    notification: str
    face_url: str
    created: int
    member_count: int
    max_members: int
    join_option: str
    muted_all: bool
    custom: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member. `role`: Owner, Admin or Member; `muted_until`: server seconds, 0 when it may speak."""

    user_id: str
    role: str
    name_card: str
    nickname: str
    face_url: str
    joined: int
    muted_until: int
    custom: Mapping[str, str] = field(default_factory=dict)


class Members:
    """`await` it for the whole list, or `async for` page by page; the server is asked anew each time."""

    def __init__(self, page: Callable[[int], AsyncIterator[GroupMember]]) -> None:
        self._page = page

    def __aiter__(self) -> AsyncIterator[GroupMember]:
        return self._page(0)

    def __await__(self) -> Generator[object, None, list[GroupMember]]:
        return self._all().__await__()

    async def _all(self) -> list[GroupMember]:
        return [member async for member in self]


class Group:
    """A group. Getting one does no I/O. Every call may raise NetworkError, NotLoggedIn, UnknownGroup (10010),
    NotAMember and NoPermission (10007).
    """

    def __init__(self, id: str, type: str, conversation: Conversation, connection: Connection) -> None:
        self.id = id
        self.type = type  # "" when it is not known yet: see facts()
        self.conversation = conversation
        self._connection = connection

    async def info(self) -> GroupInfo:
        """What the group is now."""
        reply = await self._connection.call(wire.GET_GROUP_INFO, wire.GetGroupInfoRequest(group_ids=[self.id]))
        info = reply.groups[0]
        if info.error_code:
            raise error_for(info.error_code, info.error_info, reason=info.error_reason)
        self.type = info.type
        return _facts(info)

    async def public_info(self) -> GroupInfo:
        """What anybody may know of a group that one can join or ask to: not its notification, custom fields or mutes.

        Raises NoPermission for a group by invitation only.
        """
        reply = await self._connection.call(wire.GET_PUBLIC_INFO, wire.GetGroupInfoRequest(group_ids=[self.id]))
        info = reply.groups[0]
        if info.error_code:
            raise error_for(info.error_code, info.error_info, reason=info.error_reason)
        return _facts(info)

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
        """Change what is given. Limits in bytes: name 30, introduction 240, notification 300; 20 custom fields, an
        empty value removes one. `muted_all`: only owner and admins speak. Raises InvalidArgument (10004).
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

    def members(self, *roles: str) -> Members:
        """The members in the order they joined: `await group.members()`, or `async for`; of these roles, or all."""

        async def walk(offset: int) -> AsyncIterator[GroupMember]:
            while True:
                body = member_wire.GetMembersRequest(group_id=self.id, limit=PAGE, offset=offset, roles=list(roles))
                reply = await self._connection.call(member_wire.GET_MEMBERS, body)
                for member in reply.members:
                    yield _member(member)
                offset += PAGE
                if offset >= reply.member_num:
                    return

        return Members(walk)

    async def member(self, user_id: str) -> GroupMember | None:
        """One member, None when this is none."""
        body = member_wire.GetNamedMembersRequest(group_id=self.id, users=[checked_user_id(user_id)])
        reply = await self._connection.call(member_wire.GET_NAMED_MEMBERS, body)
        return _member(reply.members[0]) if reply.members else None

    async def invite(self, *user_ids: str | Sequence[str]) -> dict[str, bool]:
        """Let users in, at most 100 at once: user → True, in now (or before); False, waits for an admin's approval.

        Raises UnknownUser for who is nobody (the others are in then), LimitReached (10014), InvalidArgument (10037).
        """
        users = _users(user_ids)
        body = member_wire.AddMembersRequest(group_id=self.id, members=[wire.NewMember(account=user) for user in users])
        reply = await self._connection.call(member_wire.ADD_MEMBERS, body)
        for one in reply.members:
            if one.result == member_wire.FAILED:
                raise error_for(20003, f"there is no account {one.account!r}")
        return {one.account: one.result != member_wire.PENDING for one in reply.members}

    async def kick(self, *user_ids: str | Sequence[str], reason: str = "") -> None:
        """Put members out, at most 500 at once. Admins cannot kick admins. Raises InvalidArgument (10038)."""
        body = member_wire.DeleteMembersRequest(group_id=self.id, users=_users(user_ids), reason=reason)
        await self._connection.call(member_wire.DELETE_MEMBERS, body)

    async def mute(self, user_id: str, seconds: int) -> None:
        """A member may not speak for this long; 0 ends it."""
        await self._modify(user_id, mute_s=seconds)

    async def set_role(self, user_id: str, role: str) -> None:
        """Make a member "Admin", or an admin "Member" again."""
        await self._modify(user_id, role=role)

    async def set_name_card(self, name_card: str, *, user_id: str | None = None) -> None:
        """What a member is called here, at most 50 bytes; one's own, or as owner or admin another's."""
        await self._modify(user_id or "", name_card=name_card)

    async def set_member_custom(self, custom: Mapping[str, str], *, user_id: str | None = None) -> None:
        """Custom fields of a member, 20 at most; an empty value removes one."""
        await self._modify(user_id or "", custom=custom)

    async def transfer_ownership(self, user_id: str) -> None:
        """Another member owns the group from now on."""
        body = wire.ChangeOwnerRequest(group_id=self.id, new_owner=checked_user_id(user_id))
        await self._connection.call(wire.CHANGE_OWNER, body)

    async def quit(self) -> None:
        """Leave. Raises OwnerCannotQuit (10009) but for the owner of a Work group, whose oldest member follows."""
        await self._connection.call(member_wire.QUIT_GROUP, wire.GroupIdRequest(group_id=self.id))

    async def dissolve(self) -> None:
        """End the group: nobody is in it any more, and its history is read nowhere but where it was stored before."""
        await self._connection.call(wire.DESTROY_GROUP, wire.GroupIdRequest(group_id=self.id))

    async def accept(self, user_id: str, *, text: str = "") -> None:
        """Agree to an application. Raises NoSuchApplication (10032), AlreadyMember (10013), LimitReached (10014)."""
        await self._handle(user_id, "Agree", text)

    async def refuse(self, user_id: str, *, text: str = "") -> None:
        """Refuse an application. Raises NoSuchApplication (10032)."""
        await self._handle(user_id, "Reject", text)

    async def accept_invitation(self, user_id: str, *, text: str = "") -> None:
        """Let in whom a member asked to invite. Raises as `accept`."""
        await self._handle_invitation(user_id, "Agree", text)

    async def refuse_invitation(self, user_id: str, *, text: str = "") -> None:
        """Do not let in whom a member asked to invite. Raises NoSuchApplication (10032)."""
        await self._handle_invitation(user_id, "Reject", text)

    async def attributes(self) -> dict[str, str]:
        """The group's attributes: up to 16 small texts by key."""
        reply = await self._connection.call(wire.GET_ATTRIBUTES, wire.GroupIdRequest(group_id=self.id))
        return {one.key: one.value for one in reply.attributes}

    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        """Set some; an empty text removes one. Keys 32 bytes, values 4000. Raises InvalidArgument (10004)."""
        wanted = [wire.GroupAttribute(key=key, value=value) for key, value in attributes.items()]
        await self._connection.call(wire.MODIFY_ATTRIBUTES, wire.ModifyAttributesRequest(group_id=self.id, attributes=wanted))

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

    async def _handle(self, user_id: str, action: str, text: str) -> None:
        body = member_wire.HandleApplicationRequest(
            group_id=self.id, applicant=checked_user_id(user_id), action=action, wording=text
        )
        await self._connection.call(member_wire.HANDLE_APPLICATION, body)

    async def _handle_invitation(self, user_id: str, action: str, text: str) -> None:
        body = member_wire.HandleInvitationRequest(
            group_id=self.id, invited=checked_user_id(user_id), action=action, wording=text
        )
        await self._connection.call(member_wire.HANDLE_INVITATION, body)

    def __repr__(self) -> str:
        return f"<Group {self.id}{' ' + self.type if self.type else ''}>"


class Groups:
    """`client.groups`: making, finding and joining groups."""

    def __init__(self, connection: Connection, conversations: ConversationRegistry) -> None:
        self._connection = connection
        self._conversations = conversations

    def of(self, id: str) -> Group:
        """The group with this id; local, no I/O."""
        return self._group(checked_group_id(id))

    async def create(
        self,
        type: str,
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
        """Make a group (Private/Work, Public, ChatRoom/Meeting, AVChatRoom, Community) with up to 100 members.

        Raises InvalidArgument (10004 type, name or text; 10015 id; 10037 members), UnknownUser, GroupExists (10021; also
        of a dissolved group), LimitReached (10014), NetworkError, NotLoggedIn.
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
        return self._group(reply.group_id, reply.type or type)

    async def join(self, id: str, *, wording: str = "") -> bool:
        """Join: True, in now; False, the owner and admins were asked, and a notice brings their answer.

        Raises AlreadyMember (10013), NoPermission (10007: by invitation only), LimitReached (10014), UnknownGroup.
        """
        body = member_wire.JoinGroupRequest(group_id=checked_group_id(id), wording=wording)
        return (await self._connection.call(member_wire.JOIN_GROUP, body)).joined == member_wire.JOINED

    async def joined(self) -> list[Group]:
        """The groups that this account is in."""
        found: list[Group] = []
        offset = 0
        while True:
            reply = await self._connection.call(wire.LIST_JOINED, wire.ListJoinedGroupsRequest(limit=PAGE, offset=offset))
            found += [self._group(info.group_id, info.type) for info in reply.groups]
            offset += PAGE
            if offset >= reply.total:
                return found

    def _group(self, id: str, type: str = "") -> Group:
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


def _facts(info: wire.GroupInfoItem) -> GroupInfo:
    return GroupInfo(
        info.group_id,
        info.type,
        info.name,
        info.owner,
        info.introduction,
        info.notification,
        info.face_url,
        info.created,
        info.member_num,
        info.max_member_num,
        info.apply_option,
        info.mute_all == "On",
        {one.key: one.value for one in info.custom},
    )


def _member(info: member_wire.MemberInfo) -> GroupMember:
    return GroupMember(
        info.account,
        info.role,
        info.name_card,
        info.nick,
        info.face_url,
        info.joined,
        info.muted_until,
        {one.key: one.value for one in info.custom},
    )
