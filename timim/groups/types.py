"""Values of groups: types, roles, ways to join, properties and members, and the list of members that is fetched in pages."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar

from msgspec import UNSET, UnsetType

from ..protocol import group_members as member_wire
from ..protocol.group_members import MemberInfo
from ..protocol.groups import CustomField, GroupInfoItem
from ..transport.connection import Connection
from ..util.displayed import Displayed

__all__ = [
    "GroupInfo",
    "GroupMember",
    "GroupType",
    "JoinApplication",
    "JoinOption",
    "MemberList",
    "MemberRole",
    "custom_to_wire",
    "group_info_from_wire",
    "group_member_from_wire",
    "unset_if_none",
]

T = TypeVar("T")
PAGE = 100  # members in one request


class _TencentName(enum.StrEnum):
    """Enumeration of Tencent's names. A name that this version does not know becomes a new value, equal to its text."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member


class GroupType(_TencentName):
    """Type of a group. WORK and MEETING are newer names of PRIVATE and CHAT_ROOM; a group keeps the name it was made with."""

    PRIVATE = "Private"
    WORK = "Work"
    PUBLIC = "Public"
    CHAT_ROOM = "ChatRoom"
    MEETING = "Meeting"
    AV_CHAT_ROOM = "AVChatRoom"
    COMMUNITY = "Community"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class JoinApplication(Displayed):
    """Application of a user to join a group, or of a member, the `inviter`, to add the user. `time` is in server seconds."""

    group_id: str
    user_id: str
    inviter: str
    wording: str
    time: int


class MemberRole(_TencentName):
    """Role of a group's member."""

    OWNER = "Owner"
    ADMIN = "Admin"
    MEMBER = "Member"


class JoinOption(_TencentName):
    """Policy for joining a group: without approval, after an admin's approval, or by invitation only."""

    FREE = "FreeAccess"
    APPROVAL = "NeedPermission"
    CLOSED = "DisableApply"


@dataclass(frozen=True, slots=True)
class GroupInfo(Displayed):
    """Properties of a group. Times are in server seconds."""

    id: str
    type: GroupType
    name: str
    owner: str
    introduction: str
    notification: str
    face_url: str
    created: int
    member_count: int
    max_members: int
    join_option: JoinOption
    muted_all: bool
    custom: Mapping[str, str] = field(default_factory=dict)
    has_topics: bool = False


@dataclass(frozen=True, slots=True)
class GroupMember(Displayed):
    """Member of a group. `muted_until` is in server seconds, or 0 if the member may speak."""

    user_id: str
    role: MemberRole
    name_card: str
    nickname: str
    face_url: str
    joined: int
    muted_until: int
    custom: Mapping[str, str] = field(default_factory=dict)


def group_info_from_wire(info: GroupInfoItem) -> GroupInfo:
    """Convert an item of a reply to a GroupInfo."""
    return GroupInfo(
        info.group_id,
        GroupType(info.type),
        info.name,
        info.owner,
        info.introduction,
        info.notification,
        info.face_url,
        info.created,
        info.member_num,
        info.max_member_num,
        JoinOption(info.apply_option),
        info.mute_all == "On",
        {one.key: one.value for one in info.custom},
        bool(info.has_topics),
    )


def group_member_from_wire(info: MemberInfo) -> GroupMember:
    """Convert an item of a reply to a GroupMember."""
    return GroupMember(
        info.account,
        MemberRole(info.role),
        info.name_card,
        info.nick,
        info.face_url,
        info.joined,
        info.muted_until,
        {one.key: one.value for one in info.custom},
    )


def custom_to_wire(custom: Mapping[str, str] | None) -> list[CustomField]:
    """Return custom fields as members of a request."""
    return [CustomField(key=key, value=value) for key, value in (custom or {}).items()]


def unset_if_none(value: T | None) -> T | UnsetType:
    """Return the value for an optional member of a request; UNSET leaves the member out."""
    return UNSET if value is None else value


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
            body = member_wire.GetMembersRequest(group_id=self._group_id, limit=PAGE, offset=offset, roles=self._roles)
            reply = await self._connection.call(member_wire.GET_MEMBERS, body)
            for member in reply.members:
                yield group_member_from_wire(member)
            offset += PAGE
            if offset >= reply.member_num:
                return

    def __await__(self) -> Generator[object, None, list[GroupMember]]:
        return self._all().__await__()

    async def _all(self) -> list[GroupMember]:
        return [member async for member in self]
